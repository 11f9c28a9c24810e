"""Score the samples of one run on one benchmark.

Reads `samples.jsonl` and `manifest.json` of a generate folder; writes `verdicts.jsonl` (one line
per sample) and, last, `score.json` (per checkpoint: n, n_valid, states, metrics with 95 %
intervals, token counts; judge, model, provenance). Scorer types and their keys: `scorers.py`.

python -m workflow.scripts.score.score_samples \
    --samples results/micro/generate/base/tiny/seed1/clock_sums \
    --scorer '{"type": "math_verify"}' --scorer-name math \
    --out results/micro/score/base/tiny/seed1/clock_sums/math
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError, run
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
from workflow.scripts.config.planning import ScoringRuntime
from workflow.scripts.config.section import parse_section
from workflow.scripts.score.scorers import make_scorer
from workflow.scripts.score.summary import summarize

FORMAT = 1
# What cannot change a verdict.
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


def read_samples(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Read the samples of a generate folder and its manifest.

    Raises:
        InputError: With file and row, for a missing or ill-typed field, an unknown state, a
            sample that stands twice, or checkpoints and counts other than the manifest's.
    """
    manifest_path, path = folder / "manifest.json", folder / "samples.jsonl"
    manifest = read_json(manifest_path)
    for field in ("run", "benchmark", "kind", "model", "checkpoints", "n_items", "repeats"):
        if not isinstance(manifest, dict) or field not in manifest:
            raise InputError(
                f"{manifest_path}: no {field}, expected a manifest of generated samples"
            )
    samples, seen = [], set()
    for number, row in enumerate(read_jsonl(path), 1):
        where = f"{path}: row {number}"
        for name, kinds in _FIELDS.items():
            if name not in row or not isinstance(row[name], kinds):
                expected = " or ".join(kind.__name__ for kind in kinds)
                raise InputError(f"{where}: {name} is {row.get(name)!r:.40}, expected {expected}")
        if row["state"] not in _STATES:
            raise InputError(f"{where}: state is {row['state']!r}, expected one of {_STATES}")
        key = (row["checkpoint"], row["item_id"], row["repeat"])
        if key in seen:
            raise InputError(f"{where}: sample {key} stands twice, expected it once")
        seen.add(key)
        samples.append(row)
    per_checkpoint = manifest["n_items"] * manifest["repeats"]
    for checkpoint in sorted({*manifest["checkpoints"], *(row["checkpoint"] for row in samples)}):
        found = sum(row["checkpoint"] == checkpoint for row in samples)
        wanted = per_checkpoint if checkpoint in manifest["checkpoints"] else 0
        if found != wanted:
            raise InputError(f"{path}: {found} samples of {checkpoint}, the manifest has {wanted}")
    return samples, manifest


def score_folder(
    folder: Path,
    section: dict[str, Any],
    scorer_name: str,
    judge_folder: Path | None,
    runtime: dict[str, Any],
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Score a generate folder; return the rows of `verdicts.jsonl` and `score.json`."""
    samples, manifest = read_samples(folder)
    scorer = make_scorer(section, manifest["kind"], judge_folder, runtime)
    verdicts = [
        {name: sample[name] for name in ("checkpoint", "item_id", "repeat")} | verdict
        for sample, verdict in zip(samples, scorer.score(samples), strict=True)
    ]
    checkpoints = {}
    for checkpoint in manifest["checkpoints"]:
        chosen = [i for i, sample in enumerate(samples) if sample["checkpoint"] == checkpoint]
        checkpoints[checkpoint] = summarize(
            [samples[i] for i in chosen], [verdicts[i] for i in chosen], scorer.metrics
        )
    return verdicts, {
        "format": FORMAT,
        "run": manifest["run"],
        "benchmark": manifest["benchmark"],
        "kind": manifest["kind"],
        "scorer": scorer_name,
        "checkpoints": checkpoints,
        "judge": scorer.describe(),
        "model": manifest["model"],
        "provenance": {
            "samples_sha256": sha256_file(folder / "samples.jsonl"),
            "generate_manifest_sha256": sha256_file(folder / "manifest.json"),
            "scorer": section,
            "scorer_sha256": sha256_text(canonical_json(section)),
            "task": manifest.get("task"),
            "decoding": manifest.get("decoding"),
            "engine": manifest.get("engine"),
            "repeats": manifest["repeats"],
            "seed": manifest.get("seed"),
            "versions": versions(),
            "git_commit": git_commit(),
        },
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--samples", required=True, type=Path, help="generate folder")
    parser.add_argument("--scorer", required=True, help="scorer section, as JSON")
    parser.add_argument("--scorer-name", required=True, help="its name in the experiment")
    parser.add_argument("--judge", type=Path, help="folder of a trained n-gram judge")
    parser.add_argument("--runtime", default="{}", help="JSON, see ScoringRuntime")
    parser.add_argument("--replies", type=Path, help="folder that keeps an endpoint's replies")
    parser.add_argument("--out", required=True, type=Path, help="folder for verdicts and score")
    args = parser.parse_args(argv)
    runtime = parse_section(ScoringRuntime, args.runtime, "--runtime").with_defaults()
    runtime["replies"] = args.replies or args.out / "replies"
    try:
        section = json.loads(args.scorer)
    except ValueError as error:
        raise InputError(f"--scorer: not JSON ({error})") from None
    (args.out / "score.json").unlink(missing_ok=True)
    verdicts, score = score_folder(args.samples, section, args.scorer_name, args.judge, runtime)
    write_jsonl(args.out / "verdicts.jsonl", verdicts)
    write_json(args.out / "score.json", score)


if __name__ == "__main__":
    run(main)
