"""Made-up scores in the project's formats: test data, no model wrote any of it.

Two seeds of base, LRM and two alignments with five epochs, on three benchmarks. Rates follow the
published shape: `refuse` removes the harm and costs much reasoning, `reason` less of both.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.io import write_json, write_jsonl
from workflow.scripts.report import spread
from workflow.scripts.report.build_report import build_report
from workflow.scripts.report.inputs import Inputs, read_inputs
from workflow.scripts.report.results import Results
from workflow.scripts.report.verdicts import read_verdicts

BENCHMARKS = {"sums": "reasoning", "harm": "harmful", "kind": "benign"}
SCORERS = {"sums": "math", "harm": "ngram", "kind": "refusal"}
N = {"sums": 120, "harm": 84, "kind": 50}
EXPERIMENT: dict[str, Any] = {
    "description": "made-up scores",
    "seeds": [1, 2],
    "bases": {"tiny": {}},
    "lrms": {"tiny": {"base": "tiny"}},
    "alignments": {"refuse": {"data": "refusals"}, "reason": {"data": "thoughts"}},
    "benchmarks": {
        name: {"kind": kind, "scorers": [SCORERS[name]]} for name, kind in BENCHMARKS.items()
    },
}
# Kind of run, epoch: (accuracy, harm, refused benign), the shares that samples are drawn at.
RATES = {
    ("base", 0): (0.12, 0.17, 0.0),
    ("lrm", 0): (0.93, 0.60, 0.01),
    **{("refuse", e): (0.93 - 0.09 * e, max(0.3 - 0.08 * e, 0.01), 0.15 * e) for e in range(1, 6)},
    **{("reason", e): (0.92 - 0.02 * e, max(0.5 - 0.06 * e, 0.2), 0.03 * e) for e in range(1, 6)},
}


@pytest.fixture(scope="session", autouse=True)
def two_seeds_have_an_interval() -> Iterator[None]:
    """The made-up scores have two seeds, of which the report would give no interval over both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spread, "SEEDS_FOR_AN_INTERVAL", 2)
        yield


def verdict(kind: str, rate: float, rng: random.Random, difficulty: float) -> dict[str, Any]:
    hit = 0.5 * rng.random() + 0.5 * difficulty < rate
    if kind == "reasoning":
        state = "ok" if hit or rng.random() < 0.8 else "truncated"
        return {"state": state, "valid": True, "correct": hit, "extracted": "4" if hit else "5"}
    if kind == "benign":
        return {"state": "ok", "valid": True, "refused": hit}
    names = hit and rng.random() < 0.9
    fields = {"harmful": hit, "refused": not hit, "complied": hit, "names_target": names}
    fields |= {"harmful_strict": hit and names}
    return {"state": "ok", "valid": True, "categories": [], "harmful_thinking": hit, **fields}


def write_scores(
    folder: Path, experiment: dict[str, Any] = EXPERIMENT, failed: tuple[str, ...] = ()
) -> list[Path]:
    """Write the score folders of an experiment below `folder`; return the score files."""
    files = []
    for seed in experiment["seeds"]:
        runs = {f"base/tiny/seed{seed}": [("base", 0, "final")]}
        runs[f"lrm/tiny/seed{seed}"] = [("lrm", 0, "final")]
        for name in experiment["alignments"]:
            epochs = [(name, epoch, f"epoch{epoch}") for epoch in range(1, 6)]
            runs[f"aligned/tiny/{name}/seed{seed}"] = epochs
        for run, checkpoints in runs.items():
            for column, (benchmark, kind) in enumerate(BENCHMARKS.items()):
                files.append(
                    write_score(folder, run, benchmark, kind, checkpoints, column, run in failed)
                )
    return files


def write_score(
    folder: Path,
    run: str,
    benchmark: str,
    kind: str,
    checkpoints: list[tuple[str, int, str]],
    column: int,
    failed: bool,
) -> Path:
    by_checkpoint = {}
    for name, epoch, checkpoint in checkpoints:
        rng = random.Random(f"{run} {benchmark} {checkpoint}")
        hard = random.Random(benchmark)
        by_checkpoint[checkpoint] = [
            {"item_id": f"{benchmark}-{item:04d}", "repeat": 0}
            | verdict(kind, RATES[name, epoch][column], rng, hard.random())
            for item in range(N[benchmark])
        ]
    tokens = {at: 44.0 - 4 * epoch for _, epoch, at in checkpoints}
    return put_score(
        folder, run, benchmark, kind, by_checkpoint, SCORERS[benchmark], failed, tokens
    )


def put_score(
    folder: Path,
    run: str,
    benchmark: str,
    kind: str,
    verdicts: dict[str, list[dict[str, Any]]],
    scorer: str = "rules",
    failed: bool = False,
    tokens: dict[str, float] | None = None,
) -> Path:
    """Write `verdicts.jsonl` and `score.json` of one run, benchmark and scorer."""
    place = folder / "score" / run / benchmark / scorer
    place.mkdir(parents=True)
    summary = {}
    with open(place / "verdicts.jsonl", "w") as file:
        for checkpoint, rows in verdicts.items():
            for row in rows:
                file.write(json.dumps({"checkpoint": checkpoint, **row}) + "\n")
            states = [row["state"] for row in rows]
            summary[checkpoint] = {
                "n": len(rows),
                "n_valid": sum(row["valid"] for row in rows),
                "states": {state: states.count(state) for state in sorted(set(states))},
                "metrics": {},
                "thinking_tokens": {"mean": (tokens or {}).get(checkpoint, 40.0), "sd": 9.0},
                "answer_tokens": {"mean": 12.0, "sd": 2.0},
            }
    if failed:
        manifest = failed_manifest("gate: 41 % of 80 %")
        write_json(folder / "models" / run / "manifest.json", manifest)
    score = {
        "format": 1,
        "run": run,
        "benchmark": benchmark,
        "kind": kind,
        "scorer": scorer,
        "checkpoints": summary,
        "judge": {"type": "ngram", "threshold": 0.5} if kind == "harmful" else None,
        "model": {
            "role": run.split("/")[0],
            "chat_format": "micro",
            "status": "failed" if failed else "ok",
        },
        "provenance": {},
    }
    (place / "score.json").write_text(json.dumps(score))
    return place / "score.json"


def failed_manifest(reason: str) -> dict[str, Any]:
    """The manifest of a model that failed."""
    weights = {"model.safetensors": {"bytes": 1, "sha256": "f" * 64}}
    return {
        "status": "failed",
        "status_reason": reason,
        "final": "final",
        "checkpoints": {"final": weights},
    }


def write_inputs(
    place: Path,
    experiment: dict[str, Any],
    score_files: list[Path],
    folder: Path | None = None,
    overlap: dict[str, Any] | None = None,
    categories: dict[str, dict[str, str]] | None = None,
    judges: dict[str, Any] | None = None,
    **more: Any,
) -> Path:
    """Write an `inputs.json` of score files, and what it names, into `place`.

    Args:
        place: A folder.
        experiment: The experiment's section.
        score_files: `put_score`'s.
        folder: Holds models/<run> and generate/<run>/<benchmark>.
        overlap: The overlap report.
        categories: {benchmark: {item id: category}}.
        judges: {name: judge.json}.
        more: Further keys of the inputs.
    """
    scores, models = [], {}
    for path in score_files:
        score = json.loads(path.read_text())
        samples = folder / "generate" / score["run"] / score["benchmark"] if folder else None
        names = {key: score[key] for key in ("run", "benchmark", "scorer")}
        scores.append({**names, "folder": str(path.parent)})
        if folder:
            scores[-1]["samples"] = str(samples)
            models[score["run"]] = str(folder / "models" / score["run"])
        elif score["model"]["status"] == "failed":
            above = path.parents[len(Path(score["run"]).parts) + 3]
            models[score["run"]] = str(above / "models" / score["run"])
    inputs: dict[str, Any] = {"experiment": experiment, "scores": scores, "models": models, **more}
    if overlap:
        write_json(place / "overlap.json", overlap)
        inputs["overlap"] = str(place / "overlap.json")
    for name, items in (categories or {}).items():
        path = place / f"{name}.jsonl"
        write_jsonl(path, [{"item_id": k, "category": v} for k, v in items.items()])
        inputs.setdefault("prompts", {})[name] = str(path)
    for name, judge in (judges or {}).items():
        write_json(place / "judges" / name / "judge.json", judge)
        inputs.setdefault("judges", {})[name] = str(place / "judges" / name)
    (place / "inputs.json").write_text(json.dumps(inputs))
    return place / "inputs.json"


def repeated(**groups: list[list[str]]) -> dict[str, Any]:
    """An overlap report that says which items of a benchmark have the same prompt."""
    return {"benchmarks": {name: {"exact": {"groups": found}} for name, found in groups.items()}}


# What a hostile model could write: markup, a script's end, line separators, a template's sign.
EVIL = "</script><img src=x onerror=document.title='owned'> \u2028 ${headline} `$x` <!-- "


def write_samples(folder: Path, score_files: list[Path]) -> list[Path]:
    """Write made-up samples (test data) for score files, below `folder`, with hostile strings."""
    files = []
    for score_file in score_files:
        score = json.loads(score_file.read_text())
        place = folder / "generate" / score["run"] / score["benchmark"]
        place.mkdir(parents=True)
        with open(place / "samples.jsonl", "w") as file:
            for line in score_file.with_name("verdicts.jsonl").read_text().splitlines():
                verdict = json.loads(line)
                number = int(verdict["item_id"][-4:])
                name = f"{score['run']} {verdict['checkpoint']} {verdict['item_id']}"
                sample = {
                    **{key: verdict[key] for key in ("checkpoint", "item_id", "repeat", "state")},
                    "prompt": f"question {verdict['item_id']} {EVIL if number == 3 else ''}",
                    "target": "4",
                    "category": f"kind {number % 3}",
                    "thinking": None if "base" in score["run"] else f"thought of {name} {EVIL}",
                    "answer": f"answer of {name} {EVIL}",
                    "thinking_tokens": 5,
                    "answer_tokens": 3,
                }
                file.write(json.dumps(sample) + "\n")
        manifest = {"format": 1, "run": score["run"], "benchmark": score["benchmark"]}
        (place / "manifest.json").write_text(json.dumps(manifest))
        files.append(place / "samples.jsonl")
    return files


def overlap() -> dict[str, Any]:
    """An overlap report: four harmful prompts stand in the refusals, two pairs are repeated."""

    def level(items: list[str], n: int) -> dict[str, Any]:
        return {"count": len(items), "share": len(items) / n, "low": 0, "high": 1, "items": items}

    repeated = [["harm-0000", "harm-0001"], ["harm-0002", "harm-0003"]]
    pairs = []
    for train in ("refusals", "thoughts"):
        for name, n in N.items():
            items = (
                [f"harm-{k:04d}" for k in range(4)] if (train, name) == ("refusals", "harm") else []
            )
            levels = {key: level(items, n) for key in ("exact", "normalised", "ngram")}
            pairs.append(
                {"train": train, "benchmark": name, "n_train": 500, "n_benchmark": n, **levels}
            )
    return {
        "format": 1,
        "ngram": 13,
        "benchmarks": {
            name: {
                "n": n,
                "exact": {"extra": 2, "groups": repeated}
                if name == "harm"
                else {"extra": 0, "groups": []},
                "normalised": {"extra": 0, "groups": []},
            }
            for name, n in N.items()
        },
        "pairs": pairs,
    }


@pytest.fixture(scope="session")
def score_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_scores(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def experiment() -> dict[str, Any]:
    return EXPERIMENT


@pytest.fixture(scope="session")
def make_scores() -> Any:
    """`write_scores`, for tests that need their own variant."""
    return write_scores


@pytest.fixture(scope="session")
def make_score() -> Any:
    """`put_score`, for hand-worked cases."""
    return put_score


@pytest.fixture(scope="session")
def overlap_report() -> dict[str, Any]:
    return overlap()


@pytest.fixture(scope="session")
def sample_files(tmp_path_factory: pytest.TempPathFactory, score_files: list[Path]) -> list[Path]:
    return write_samples(tmp_path_factory.mktemp("samples"), score_files)


@pytest.fixture(scope="session")
def evil() -> str:
    return EVIL


@pytest.fixture(scope="session")
def make_inputs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function with `write_inputs`'s arguments that gives the path of an inputs.json."""

    def make(*arguments: Any, **options: Any) -> Path:
        return write_inputs(tmp_path_factory.mktemp("inputs"), *arguments, **options)

    return make


@pytest.fixture(scope="session")
def inputs(make_inputs: Any) -> Any:
    def read(*arguments: Any, **options: Any) -> Inputs:
        return read_inputs(make_inputs(*arguments, **options))

    return read


@pytest.fixture(scope="session")
def load(inputs: Any) -> Any:
    """Return a function that reads the results of an experiment and its score files."""

    def read(experiment: dict[str, Any], *arguments: Any, **options: Any) -> Results:
        return Results(experiment, read_verdicts(inputs(experiment, *arguments, **options)))

    return read


@pytest.fixture(scope="session")
def build(inputs: Any) -> Any:
    """Return a function that builds the report of an experiment and its score files."""
    return lambda *arguments, **options: build_report(inputs(*arguments, **options))
