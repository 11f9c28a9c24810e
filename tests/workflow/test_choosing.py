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


def add_halving(experiment: dict) -> None:
    """Three training sets for an epoch, of which the better two are trained for two."""
    add_methods(experiment)
    sets = {"recipe.epochs": [1], "data": ["directrefusal", "safechain", "reasoning"]}
    experiment["alignments"] = {
        **{name: experiment["alignments"][name] for name in ("directrefusal", "safechain")},
        "set": {"data": "directrefusal", **SFT, "evaluate": False, "sweep": sets},
        "best": {
            "method": "select",
            "among": ["set"],
            "lowest": "harmful_score",
            "at_least": {"reasoning_accuracy": 0},
            "halving": [2],
        },
    }


def test_the_better_half_of_a_sweep_is_trained_for_longer(again, snakemake):
    edit(again, add_halving)
    plan = planned(snakemake(again, "-n", "--config", "experiment=tiny", ONLY))
    counts = {"safety_sft": 5, "derive_model": 1, "generate_samples": 5, "score_samples": 5}
    assert plan == Counter(counts)
    done = snakemake(again, "-c2", "--config", "experiment=tiny", ONLY)
    assert done.returncode == 0, done.stdout + done.stderr
    models = again / "results/tiny/models/aligned/tiny"
    ranks = [manifest(models / f"best-epochs2-rank{rank}/seed1") for rank in (1, 2)]
    candidates = ranks[0]["lineage"]["promotion"]["candidates"]
    harm = {one["run"].split("/")[2]: one["figures"]["harmful_score"] for one in candidates}
    assert list(harm) == [
        f"set-epochs1-{name}" for name in ("directrefusal", "safechain", "reasoning")
    ]
    for one, origin in zip(ranks, sorted(harm, key=harm.__getitem__), strict=False):
        assert one["lineage"]["promotion"]["origin"] == origin
        assert one["lineage"]["data"]["name"] == origin.removeprefix("set-epochs1-")
        assert one["recipe"]["epochs"] == 2 and list(one["checkpoints"]) == ["epoch2"]
        assert one["lineage"]["base"]["run"] == "lrm/tiny/seed1"
    # trained anew: as the alignment that was trained for two epochs from the start
    for one in ranks:
        name = one["lineage"]["data"]["name"]
        if name != "reasoning":
            own = manifest(models / f"{name}/seed1")["checkpoints"]["epoch2"]
            weights = [files["model.safetensors"] for files in (one["checkpoints"]["epoch2"], own)]
            assert weights[0] == weights[1]
    chosen = manifest(models / "best/seed1")["lineage"]["selection"]
    assert [one["origin"] for one in chosen["candidates"]] == [
        one["lineage"]["promotion"]["origin"] for one in ranks
    ]


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())
