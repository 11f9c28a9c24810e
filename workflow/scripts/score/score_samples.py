"""Score samples: each item of a list is the samples of one run on one benchmark, and a scorer.

Reads `samples.jsonl` and `manifest.json` of a generate folder; writes `verdicts.jsonl` (one line
per sample) and, last, `score.json` (per checkpoint: n, n_valid, states, metrics with 95 %
intervals, token counts; judge, model, provenance). Each item is a result of its own, skipped when
it is complete. Items with the same scorer share it: a classifier is loaded once, and a chat model's
caps hold for all of them. When an item fails the others are still done; what failed is said in one
line each, and the exit status is 1.

python -m workflow.scripts.score.score_samples --runtime '{"batch_size": 8}' --replies replies <<<'[
    {"samples": "results/micro/generate/base/tiny/seed1/clock_sums", "scorer_name": "math",
     "scorer": {"type": "math_verify"}, "out": "scored/base/clock_sums"}]'
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from pydantic import RootModel, model_validator

from workflow.scripts.common.errors import InputError, report, run
from workflow.scripts.common.io import (
    canonical_json,
    read_json,
    read_jsonl,
    sha256_file,
    sha256_text,
    write_json,
    write_jsonl,
)
from workflow.scripts.common.manifest import git_commit, versions
from workflow.scripts.common.result import MadeFrom, is_complete, making
from workflow.scripts.config.planning import ScoringRuntime
from workflow.scripts.config.section import Section, parse_section
from workflow.scripts.score.registry import read_scorer
from workflow.scripts.score.scorer import Place, SampleRow, Scorer, ScorerSection, VerdictRow
from workflow.scripts.score.summary import CheckpointSummary, summarize

if TYPE_CHECKING:
    from workflow.scripts.generate.samples import SampledModel, SamplesManifest
    from workflow.scripts.score.judging import JudgeDescription

FORMAT = 1
_FIELDS: dict[str, tuple[type, ...]] = {
    "checkpoint": (str,),
    "item_id": (str,),
    "repeat": (int,),
    "prompt": (str,),
    "target": (str,),
    "thinking": (str, type(None)),
    "answer": (str,),
    "thinking_finish": (str,),
    "thinking_tokens": (int,),
    "answer_tokens": (int,),
    "state": (str,),
}
_STATES = ("ok", "truncated", "no_answer")


class Provenance(TypedDict):
    """What a score was made from: the samples' file and manifest, and the scorer's section."""

    samples_sha256: str
    generate_manifest_sha256: str
    scorer: dict[str, Any]
    scorer_sha256: str
    decoding: dict[str, Any] | None  # with defaults, see `Decoding`
    engine: str | None
    repeats: int
    seed: int | None
    versions: dict[str, str]
    git_commit: str | None


class ScoreSummary(TypedDict):
    """What score.json holds: one run's samples of one benchmark, as one scorer scores them."""

    format: int
    run: str
    benchmark: str
    kind: str
    scorer: str  # its name in the experiment
    checkpoints: dict[str, CheckpointSummary]
    judge: JudgeDescription
    model: SampledModel
    provenance: Provenance


class Item(Section):
    """One result to make."""

    samples: str
    """A generate folder"""
    scorer: dict[str, Any]
    """The scorer's section"""
    scorer_name: str
    """Its name in the experiment"""
    judge: str | None = None
    """Folder of a trained judge, for the type ngram"""
    prompts: str | None = None
    """Folder of the benchmark's items, for the type lm_eval"""
    out: str
    """Folder of the result"""
    result: dict[str, Any] | None = None
    """What the result is made from, see common/result.py; null by hand"""


class Items(RootModel[tuple[Item, ...]]):
    """The results to make."""

    @model_validator(mode="after")
    def _check(self) -> Items:
        for out, count in Counter(item.out for item in self.root).items():
            if count > 1:
                raise ValueError(f"duplicate out {out!r}, expected a folder for each item")
        return self


def read_samples(folder: Path) -> tuple[list[SampleRow], SamplesManifest]:
    """Read the samples of a generate folder and its manifest.

    Raises:
        InputError: With file and row, for a missing field or one of another type, an unknown
            state, a duplicate sample, or checkpoints and counts other than the manifest's.
    """
    manifest_path, path = folder / "manifest.json", folder / "samples.jsonl"
    manifest = read_json(manifest_path)
    for field in ("run", "benchmark", "kind", "model", "checkpoints", "n_items", "repeats"):
        if not isinstance(manifest, dict) or field not in manifest:
            raise InputError(
                f"{manifest_path}: no {field}, expected a manifest of generated samples"
            )
    samples: list[SampleRow] = []
    seen: set[tuple[str, str, int]] = set()
    for number, row in enumerate(read_jsonl(path), 1):
        where = f"{path}: row {number}"
        _check_sample(row, where)
        key = (row["checkpoint"], row["item_id"], row["repeat"])
        if key in seen:
            raise InputError(f"{where}: duplicate sample {key}, expected it once")
        seen.add(key)
        samples.append(cast(SampleRow, row))
    found = Counter(row["checkpoint"] for row in samples)
    wanted = dict.fromkeys(manifest["checkpoints"], manifest["n_items"] * manifest["repeats"])
    for checkpoint in sorted({*wanted, *found}):
        if found[checkpoint] != wanted.get(checkpoint, 0):
            raise InputError(
                f"{path}: {found[checkpoint]} samples of {checkpoint}, the manifest has "
                f"{wanted.get(checkpoint, 0)}"
            )
    return samples, manifest


def _check_sample(row: dict[str, Any], where: str) -> None:
    for name, kinds in _FIELDS.items():
        if name not in row or not isinstance(row[name], kinds):
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise InputError(f"{where}: {name} is {row.get(name)!r:.40}, expected {expected}")
    if row["state"] not in _STATES:
        raise InputError(f"{where}: state is {row['state']!r}, expected one of {_STATES}")


def score_folder(
    item: Item, section: ScorerSection, scorer: Scorer
) -> tuple[list[VerdictRow], ScoreSummary]:
    """Score a generate folder; return the rows of `verdicts.jsonl` and `score.json`.

    Args:
        item: The folder, and what the scorer is called.
        section: The scorer's section.
        scorer: What it loaded.
    """
    folder = Path(item.samples)
    samples, manifest = read_samples(folder)
    kind, kinds = manifest["kind"], section.scored_kinds()
    if kind not in kinds:
        raise InputError(
            f"scorer {item.scorer_name} scores {' or '.join(kinds)} benchmarks, this one is {kind}"
        )
    scored = scorer.score(samples)
    verdicts: list[VerdictRow] = [
        {
            "checkpoint": sample["checkpoint"],
            "item_id": sample["item_id"],
            "repeat": sample["repeat"],
            **verdict,
        }
        for sample, verdict in zip(samples, scored.verdicts, strict=True)
    ]
    checkpoints = {}
    for checkpoint in manifest["checkpoints"]:
        chosen = [i for i, sample in enumerate(samples) if sample["checkpoint"] == checkpoint]
        checkpoints[checkpoint] = summarize(
            [samples[i] for i in chosen], [verdicts[i] for i in chosen], section.metrics(kind)
        )
        if scored.task:
            checkpoints[checkpoint]["task"] = scored.task[checkpoint]
    return verdicts, {
        "format": FORMAT,
        "run": manifest["run"],
        "benchmark": manifest["benchmark"],
        "kind": kind,
        "scorer": item.scorer_name,
        "checkpoints": checkpoints,
        "judge": scored.judge,
        "model": manifest["model"],
        "provenance": {
            "samples_sha256": sha256_file(folder / "samples.jsonl"),
            "generate_manifest_sha256": sha256_file(folder / "manifest.json"),
            "scorer": item.scorer,
            "scorer_sha256": sha256_text(canonical_json(item.scorer)),
            "decoding": manifest.get("decoding"),
            "engine": manifest.get("engine"),
            "repeats": manifest["repeats"],
            "seed": manifest.get("seed"),
            "versions": versions(),
            "git_commit": git_commit(),
        },
    }


def score_items(
    items: Sequence[Item], runtime: ScoringRuntime, replies: Path | None
) -> Iterator[InputError]:
    """Make the results that are not complete, one by one; yield the errors of those that fail.

    Each scorer is loaded once for all its items, and freed before the next is loaded.

    Args:
        items: The results to make.
        runtime: What cannot change a verdict.
        replies: Folder that keeps the replies of chat models.
    """
    groups: dict[str, list[Item]] = {}
    for item in items:
        if not is_complete(Path(item.out)):
            loaded = canonical_json([item.scorer, item.judge, item.prompts])
            groups.setdefault(loaded, []).append(item)
    for group in groups.values():
        first = group[0]
        place = Place(
            where=f"scorer {first.scorer_name}",
            judge=Path(first.judge) if first.judge else None,
            prompts=Path(first.prompts) if first.prompts else None,
            replies=replies,
            batch_size=runtime.batch_size,
            device=runtime.device,
        )
        try:
            section = read_scorer(first.scorer, place.where)
            scorer = section.load(place)
        except InputError as error:
            yield error
            continue
        for item in group:
            try:
                score_item(item, section, scorer)
            except InputError as error:
                yield InputError(f"{item.out}: {error}")
        del scorer


def score_item(item: Item, section: ScorerSection, scorer: Scorer) -> None:
    """Make one result with its loaded scorer."""
    out = Path(item.out)
    (out / "score.json").unlink(missing_ok=True)
    with making(out, cast(MadeFrom | None, item.result)):
        verdicts, score = score_folder(item, section, scorer)
        write_jsonl(out / "verdicts.jsonl", verdicts)
        write_json(out / "score.json", score)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--items", type=Path, default=Path("/dev/stdin"), help="JSON list, see Item; default stdin"
    )
    parser.add_argument("--runtime", default="{}", help="JSON, see ScoringRuntime")
    parser.add_argument("--replies", type=Path, help="folder that keeps an endpoint's replies")
    args = parser.parse_args(argv)
    runtime = parse_section(ScoringRuntime, args.runtime, "--runtime")
    items = parse_section(Items, args.items.read_text(), "--items").root
    failed = 0
    for error in score_items(items, runtime, args.replies):
        report(error)
        failed += 1
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    run(main)
