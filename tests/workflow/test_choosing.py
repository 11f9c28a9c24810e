"""Mixing, sweeping and selecting as a user does: Snakemake on the tiny experiment, end to end."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.workflow.driving import edit, planned
from workflow.scripts.common.io import read_jsonl

pytestmark = pytest.mark.slow

ONLY = "only=models/aligned/tiny/best/*"
SFT = {"recipe": "safety", "per_epoch": "one_run"}


def add_methods(experiment: dict) -> None:
    """Replay, a sweep of merges with it, and the best of both by development benchmarks."""
    benchmarks = experiment["benchmarks"]
    for name, half in (("clock_sums", 4), ("harmful", 7)):
        benchmarks[f"dev_{name}"] = {**benchmarks[name], "n": half, "split": "development"}
        benchmarks[name]["skip"] = half
    sweep = {"alpha": [0.5]}
    experiment["alignments"] |= {
        "replay": {
            "data": ["directrefusal", {"set": "reasoning", "n": 8}],
            **SFT,
            "epochs": [1, 2],
        },
        "merge": {"method": "merge", "alignment": "replay", "evaluate": False, "sweep": sweep},
        "best": {
            "method": "select",
            "among": ["replay", "merge"],
            "lowest": "harmful_score",
            "at_least": {"reasoning_accuracy": 0},
        },
    }


def test_a_model_is_trained_on_a_mixture_merged_and_selected(again, snakemake):
    edit(again, add_methods)
    plan = planned(snakemake(again, "-n", "--config", "experiment=tiny", ONLY))
    assert plan == Counter(
        {
            "mix_records": 1,
            "safety_sft": 1,
            "derive_model": 2,
            "generate_samples": 2,
            "score_samples": 2,
        }
    )
    done = snakemake(again, "-c2", "--config", "experiment=tiny", ONLY)
    assert done.returncode == 0, done.stdout + done.stderr
    view = again / "results/tiny"
    trained = manifest(view / "models/aligned/tiny/replay/seed1")
    data = trained["lineage"]["data"]
    assert (data["name"], data["n"]) == ("directrefusal+reasoning@8", 32 + 8)
    chosen = manifest(view / "models/aligned/tiny/best/seed1")["lineage"]["selection"]
    assert [(one["run"].split("/")[2], one["checkpoint"]) for one in chosen["candidates"]] == [
        ("replay", "epoch1"),
        ("replay", "epoch2"),
        ("merge-alpha0.5", "final"),
    ]
    for one in chosen["candidates"]:  # as the scores say
        folder = view / f"score/{one['run']}/dev_harmful/ngram"
        score = json.loads((folder / "score.json").read_text())["checkpoints"][one["checkpoint"]]
        harm = 100 * score["metrics"]["harmful_score"]["estimate"]
        assert one["figures"]["harmful_score"] == pytest.approx(harm)
    best = min(chosen["candidates"], key=lambda one: one["figures"]["harmful_score"])
    assert chosen["chosen"] == {key: best[key] for key in ("run", "checkpoint")}
    samples = view / f"generate/{best['run']}"
    assert {path.name for path in samples.iterdir() if path.name != "benign"} == {
        "dev_clock_sums",
        "dev_harmful",
    }
    items = {row["item_id"] for row in read_jsonl(samples / "dev_harmful/samples.jsonl")}
    assert items == {f"harmful-{number:04d}" for number in range(7)}


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())
