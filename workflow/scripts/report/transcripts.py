"""What the models wrote at their final checkpoints, as script files beside the page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow.scripts.common.io import read_jsonl, write_text
from workflow.scripts.common.progress import track
from workflow.scripts.report.inputs import Inputs, Score
from workflow.scripts.report.metrics import value_of
from workflow.scripts.report.runs import Model, parse_run
from workflow.scripts.report.tables.table import model_name

SHARD_CHARACTERS = 2_000_000
FOLDER = "transcripts"
Items = dict[str, dict[str, Any]]  # by id


def to_json(value: Any) -> str:
    """Return JSON that is safe inside a script element: no `<`, no line separators."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    for character in "<>\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def write_transcripts(report: Mapping[str, Any], inputs: Inputs, out: Path) -> dict[str, Any]:
    """Write the samples of the final epochs as script files, and return what the page must know.

    Returns:
        {"benchmarks": [{"name", "kind", "categories", "shards": [file relative to the page]}],
        "models": [{"role", "label", "seed", "lrms": LRMs that it is shown with}]}
    """
    final, models = _final_checkpoints(report), _models(report)
    scores = _shown_scores(report, inputs)
    items: dict[str, Items] = {name: {} for name in report["benchmarks"]}
    for score in track(scores, len(scores), "reading transcripts"):
        model, _ = parse_run(score.run)
        if model in models:
            kind = report["benchmarks"][score.benchmark]["kind"]
            checkpoints = final[model.role, model.name, model.alignment]
            _add_samples(items[score.benchmark], score, kind, checkpoints, models.index(model))
    remove_transcripts(out)
    return {
        "benchmarks": [
            {
                "name": name,
                "kind": report["benchmarks"][name]["kind"],
                "categories": sorted({i["category"] for i in items[name].values()} - {""}),
                "shards": _write_shards(out / FOLDER, index, list(items[name].values())),
            }
            for index, name in enumerate(items)
        ],
        "models": [
            {
                "role": model.role,
                "label": model_name({"role": model.role, "alignment": model.alignment}),
                "seed": model.seed_label,
                "lrms": _lrms(final[model.role, model.name, model.alignment]),
            }
            for model in models
        ],
    }


def remove_transcripts(out: Path) -> None:
    """Remove the transcripts of an earlier page."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)


def _shown_scores(report: Mapping[str, Any], inputs: Inputs) -> list[Score]:
    """Return the scores by each benchmark's first scorer whose samples were not deleted."""
    benchmarks = report["benchmarks"]
    return [
        one
        for one in sorted(inputs.scores, key=lambda one: (one.run, one.benchmark))
        if one.benchmark in benchmarks
        and one.scorer == benchmarks[one.benchmark]["scorers"][0]
        and one.samples
        and (one.samples / "samples.jsonl").exists()
    ]


def _add_samples(
    items: Items, score: Score, kind: str, checkpoints: Mapping[str, Any], model: int
) -> None:
    """Add a model's samples at its final checkpoints to the items that they answer."""
    assert score.samples is not None
    verdicts = {
        (one["checkpoint"], one["item_id"], one["repeat"]): one
        for one in read_jsonl(score.folder / "verdicts.jsonl")
        if one["checkpoint"] in checkpoints
    }
    for sample in read_jsonl(score.samples / "samples.jsonl"):
        if sample["checkpoint"] in checkpoints:
            about = {key: sample[key] for key in ("prompt", "target", "category")}
            item = items.setdefault(
                sample["item_id"], {"id": sample["item_id"], **about, "samples": []}
            )
            key = (sample["checkpoint"], sample["item_id"], sample["repeat"])
            item["samples"].append(_shown(sample, verdicts.get(key, {}), kind, model))


def _shown(
    sample: Mapping[str, Any], verdict: Mapping[str, Any], kind: str, model: int
) -> dict[str, Any]:
    value = value_of(verdict, kind)
    shown = {
        "m": model,
        "r": sample["repeat"],
        "thinking": sample["thinking"],
        "answer": sample["answer"],
        "tokens": [sample["thinking_tokens"], sample["answer_tokens"]],
        "state": verdict.get("state", sample["state"]),
        "v": value,
    }
    if type(value) is float:
        shown |= {"v": value >= 0.5, "grade": value}
    if isinstance(verdict.get("refused"), bool):
        shown["f"] = verdict["refused"]
    if "extracted" in verdict:
        shown["extracted"] = verdict["extracted"]
    return shown


def _lrms(checkpoints: Mapping[str, list[str]]) -> list[str]:
    return sorted({lrm for found in checkpoints.values() for lrm in found})


def _models(report: Mapping[str, Any]) -> list[Model]:
    """Return the report's models in the order of its rows."""
    found = [
        Model(
            row["role"],
            row["name"],
            row["alignment"],
            None if row["seed"] == "hub" else int(row["seed"]),
        )
        for row in report["rows"]
        if row["final"] and not row["seed"].startswith("mean")
    ]
    return list(dict.fromkeys(found))


def _final_checkpoints(
    report: Mapping[str, Any],
) -> dict[tuple[str, str, str | None], dict[str, list[str]]]:
    """Return {(role, name, alignment): {final checkpoint: LRMs that the model is shown with}}."""
    found: dict[tuple[str, str, str | None], dict[str, list[str]]] = {}
    for row in report["rows"]:
        if row["final"]:
            key = (row["role"], row["name"], row["alignment"])
            found.setdefault(key, {}).setdefault(row["checkpoint"], []).append(row["lrm"])
    return found


def _write_shards(folder: Path, benchmark: int, items: list[dict[str, Any]]) -> list[str]:
    # Files are numbered by benchmark: its name may hold any character.
    files: list[str] = []
    chunk: list[str] = []

    def flush() -> None:
        name = f"{benchmark}-{len(files)}.js"
        write_text(folder / name, f"addTranscripts({benchmark}, [{','.join(chunk)}]);\n")
        files.append(f"{FOLDER}/{name}")
        chunk.clear()

    for item in items:
        chunk.append(to_json(item))
        if sum(map(len, chunk)) > SHARD_CHARACTERS:
            flush()
    if chunk:
        flush()
    return files
