"""Select the best of several models by a rule on their scores on development benchmarks.

Makes a run folder with the chosen weights, as hard links where the file system allows, and a
manifest whose lineage tells which model was chosen, by what rule, and the figures of all.

python -m workflow.scripts.models.select_model --rule '{"highest": "reasoning_accuracy", \
    "at_most": {"harmful_score": 5}}' --seed 1 --role aligned --run aligned/tiny/best/seed1 \
    --candidate results/micro/models/aligned/tiny/directrefusal/seed1 \
    --candidate results/micro/models/aligned/tiny/safechain/seed1 \
    --score results/micro/score/aligned/tiny/directrefusal/seed1/dev_sums/math/score.json \
    --score … --chat-format micro --out best
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from workflow.scripts.common.chat import chat_format
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import read_json, read_jsonl
from workflow.scripts.common.manifest import (
    Manifest,
    ScoredCheckpoint,
    Selection,
    load_checkpoint,
    read_manifest,
    write_manifest,
)
from workflow.scripts.common.result import making
from workflow.scripts.config.section import parse_section
from workflow.scripts.models.lineage import describe_parent, hash_parents
from workflow.scripts.models.methods.select import Rule
from workflow.scripts.models.selection import Candidate, choose, figures_of


@dataclass(frozen=True)
class Score:
    """What one benchmark's `score.json` says of a model.

    Attributes:
        kind: Of the benchmark.
        checkpoints: Those that were scored.
        verdicts: The file of them beside it.
    """

    kind: str
    checkpoints: list[str]
    verdicts: Path


def list_candidates(models: list[Path], scores: list[Path], rule: Rule) -> list[Candidate]:
    """Return the checkpoints of models that were scored, in order, with their figures.

    Args:
        models: Run folders or manifests.
        scores: `score.json` of each model and benchmark, with its `verdicts.jsonl` beside it.
        rule: What they are chosen by.

    Raises:
        InputError: A model was not scored, or not at the same checkpoints on all benchmarks.
    """
    found: dict[str, list[Score]] = {}
    for path in scores:
        score = read_json(path)
        verdicts = path.with_name("verdicts.jsonl")
        about = Score(score["kind"], list(score["checkpoints"]), verdicts)
        found.setdefault(score["run"], []).append(about)
    candidates = []
    for model in models:
        manifest = read_manifest(model)
        name = manifest["run"]
        if name not in found:
            raise InputError(f"{name}: no --score is of this candidate, expected one at least")
        checkpoints = [score.checkpoints for score in found[name]]
        if checkpoints.count(checkpoints[0]) != len(checkpoints):
            raise InputError(
                f"{name}: scored at {checkpoints}, expected the same on each benchmark"
            )
        read = [(score.kind, list(read_jsonl(score.verdicts))) for score in found[name]]
        failure = manifest.get("status_reason") if manifest["status"] == "failed" else None
        for checkpoint in checkpoints[0]:
            scored = [
                (kind, [row for row in rows if row["checkpoint"] == checkpoint])
                for kind, rows in read
            ]
            figures = figures_of(scored, rule)
            candidates.append(Candidate(name, checkpoint, figures, failure, origin_of(manifest)))
    return candidates


def origin_of(manifest: Manifest) -> str | None:
    """Return the alignment whose settings a promoted model was trained with; None for others."""
    lineage = manifest.get("lineage")
    promotion = lineage.get("promotion") if lineage else None
    return promotion["origin"] if promotion else None


def link_files(source: Path, target: Path) -> None:
    """Give a folder's files a second name, or copy them where that cannot be."""
    shutil.rmtree(target, ignore_errors=True)
    for path in sorted(source.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            new = target / path.relative_to(source)
            new.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, new)
            except OSError:
                shutil.copyfile(path, new)


def describe(candidates: list[Candidate], chosen: Candidate, rule: Rule) -> Selection:
    """Return the choice as the manifest's lineage has it."""
    scored: list[ScoredCheckpoint] = []
    for one in candidates:
        about: ScoredCheckpoint = {
            "run": one.run,
            "checkpoint": one.checkpoint,
            "figures": dict(one.figures),
        }
        if one.origin:
            about["origin"] = one.origin
        scored.append(about)
    return {
        "rule": str(rule),
        "chosen": {"run": chosen.run, "checkpoint": chosen.checkpoint},
        "candidates": scored,
    }


def add_candidates(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what is chosen among, and by what."""
    parser.add_argument("--candidate", required=True, type=Path, action="append", help="a run")
    parser.add_argument("--score", required=True, type=Path, action="append", help="score.json")
    parser.add_argument("--rule", required=True, help="what is the best, as JSON")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add_candidates(parser)
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--role", required=True, choices=("lrm", "aligned"))
    parser.add_argument("--chat-format", required=True)
    parser.add_argument("--seed", required=True, type=int, help="of the models; recorded")
    parser.add_argument("--out", required=True, type=Path, help="the run's folder")
    parser.add_argument("--result", type=json.loads, help="what it is made from, as JSON")
    args = parser.parse_args(argv)
    chat_format(args.chat_format)
    rule = parse_section(Rule, args.rule, "--rule")
    with making(args.out, args.result):
        candidates = list_candidates(args.candidate, args.score, rule)
        chosen, reason = choose(candidates, rule)
        models = {read_manifest(path)["run"]: path for path in args.candidate}
        model = models[chosen.run]
        link_files(load_checkpoint(model, chosen.checkpoint), args.out / "final")
        write_manifest(
            args.out,
            ["final"],
            run=args.run,
            role=args.role,
            chat_format=args.chat_format,
            thinking=True,
            status="failed" if reason else "ok",
            status_reason=reason,
            seed=args.seed,
            recipe={"method": "select", **rule.without_defaults()},
            lineage={
                "base": describe_parent(model, chosen.checkpoint),
                "data": None,
                "selection": describe(candidates, chosen, rule),
            },
            parents=hash_parents({"chosen": model}),
            train=None,
        )


if __name__ == "__main__":
    run(main)
