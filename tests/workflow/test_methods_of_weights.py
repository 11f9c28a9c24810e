"""Task arithmetic, adapters that are kept apart, and SafePath, as an experiment runs them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.workflow.driving import edit, planned

pytestmark = pytest.mark.slow


def add_methods(experiment: dict[str, Any]) -> None:
    lora = {"alpha": 8, "dropout": 0, "target_modules": ["up_proj"], "layers": [1, 1]}
    for rank in (1, 2):
        recipe = {**experiment["recipes"]["safety"], "lora": {**lora, "r": rank, "merge": False}}
        experiment["recipes"][f"rank{rank}"] = recipe
        entry = {"data": "safechain", "recipe": f"rank{rank}", "per_epoch": "one_run"}
        experiment["alignments"][f"rank{rank}"] = entry
    experiment["alignments"]["summed"] = {
        "method": "task_arithmetic",
        "vectors": {"safechain": {"scale": 0.5}, "directrefusal": {"scale": 0.25, "epoch": 1}},
    }
    experiment["alignments"]["primed"] = {
        **{"method": "safepath", "data": "directrefusal", "retain": "reasoning"},
        **{"recipe": "safety", "per_epoch": "one_run"},
    }


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_each_method_runs_from_data_to_report(again, snakemake):
    edit(again, add_methods)
    # the two ranks are adapters of one model: one start answers with both
    assert planned(snakemake(again, "-n")) == Counter(
        derive_model=1, safety_sft=3, generate_samples=3, score_samples=4, make_report=1
    )
    done = snakemake(again, "-c2")
    assert done.returncode == 0, done.stdout + done.stderr
    view = again / "results/tiny"
    rows = (view / "report/tradeoff.csv").read_text()
    assert all(f",{name}," in rows for name in ("rank1", "rank2", "summed", "primed"))
    models = {one["run"]: one for one in read(view / "report/tradeoff.json")["origins"]["models"]}
    assert models["aligned/tiny/summed/seed1"]["source"] == (
        "merged from lrm/tiny/seed1 and differences from it: "
        "0.25 × aligned/tiny/directrefusal/seed1 (epoch1), "
        "0.5 × aligned/tiny/safechain/seed1 (epoch2)"
    )
    primed = models["aligned/tiny/primed/seed1"]
    assert (primed["source"], primed["data"]) == (
        "trained here by safepath, recipe safety",
        "directrefusal (32), reasoning (32)",
    )
    trained = read(view / "models/aligned/tiny/primed/seed1/manifest.json")
    assert trained["recipe"]["primer"] == "Let's think about safety first."
    for rank in (1, 2):
        folder = view / f"models/aligned/tiny/rank{rank}/seed1/epoch2"
        files = {path.name for path in folder.iterdir()}
        assert files == {"adapter_config.json", "adapter_model.safetensors"}
    assert "Nothing to be done" in snakemake(again, "-c2").stderr
