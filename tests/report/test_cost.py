"""What an alignment took, from manifests written by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.report.build_report import build_report
from workflow.scripts.report.cost import NOTHING, Costs
from workflow.scripts.report.render import to_csv
from workflow.scripts.report.tables.registry import build_tables

GPUS = {"device": "cuda", "gpus": ["H100"] * 8, "world_size": 8}
CPU = {"device": "cpu", "gpus": [], "world_size": 1}
EXPERIMENT: dict[str, Any] = {
    "bases": {},
    "lrms": {"m": {}},
    "alignments": {"sft": {}, "merged": {}, "gated": {}, "told": {"prefix": "Hm."}},
    "benchmarks": {"sums": {"kind": "reasoning", "scorers": ["math"]}},
}
LRM = "lrm/m/seed1"


def lineage(**others: Any) -> dict[str, Any]:
    """What a model of the LRM is made from."""
    found = {"run": LRM, "checkpoint": "final", "lineage": {"base": None}}
    return {"base": found, "data": {"name": "refusals", "n": 500}, **others}


def trained(wall_s: float, tokens: int, hardware: dict[str, Any], **more: Any) -> dict[str, Any]:
    train = {"wall_s": wall_s, "tokens": tokens, "rounds": more.pop("rounds", 1)}
    recipe = {"epochs": 5}
    return {"train": train, "hardware": hardware, "recipe": recipe, "lineage": lineage(), **more}


SFT = "aligned/m/sft/seed1"
MERGED = "aligned/m/merged/seed1"
GATED = "aligned/m/gated/seed1"
TOLD = "aligned/m/told/seed1"
OTHERS = {"other": {"run": SFT, "checkpoint": "epoch2", "lineage": lineage()}}
MANIFESTS: dict[str, dict[str, Any]] = {
    LRM: trained(9000, 9_000_000, GPUS),
    SFT: trained(4500, 1_000_000, GPUS),
    GATED: trained(100, 4000, CPU, rounds=2),
    MERGED: {"train": None, "lineage": {**lineage(others=OTHERS), "data": None}},
}


@pytest.fixture
def cost_inputs(tmp_path: Path, make_score: Any, inputs: Any) -> Any:
    checkpoints = {LRM: ["final"], SFT: ["epoch2", "epoch5"], MERGED: ["final"]}
    checkpoints |= {GATED: ["epoch5"], TOLD: ["final"]}
    verdicts = [
        {"item_id": f"q{k}", "repeat": 0, "state": "ok", "valid": True, "correct": True}
        for k in range(3)
    ]
    files = [
        make_score(tmp_path, run, "sums", "reasoning", dict.fromkeys(names, verdicts), "math")
        for run, names in checkpoints.items()
    ]
    models = {}
    for run, manifest in MANIFESTS.items():
        models[run] = tmp_path / "models" / run
        models[run].mkdir(parents=True)
        files_of = {name: {} for name in checkpoints[run]}
        about = {"run": run, "checkpoints": files_of, "final": checkpoints[run][-1]}
        (models[run] / "manifest.json").write_text(json.dumps({**about, **manifest}))
    (models[MERGED] / "result.json").write_text('{"seconds": 12.5}')
    models[TOLD] = models[LRM]
    return inputs(EXPERIMENT, files, models={run: str(one) for run, one in models.items()})


def test_a_training_costs_its_share_at_each_epoch(cost_inputs: Any) -> None:
    costs = Costs(cost_inputs)
    # 4500 s on 8 GPUs are 10 GPU-hours
    last, second = costs.of(SFT, "epoch5"), costs.of(SFT, "epoch2")
    assert last is not None and second is not None
    own = {"gpu_hours": 10.0, "cpu_seconds": 0.0, "tokens": 1_000_000.0, "rows": 500.0}
    assert last == own | {f"whole_{name}": value for name, value in own.items()}
    assert (second["gpu_hours"], second["tokens"], second["rows"]) == (4.0, 400_000.0, 500.0)


def test_rounds_of_a_gate_are_more_epochs_and_a_cpu_counts_seconds(cost_inputs: Any) -> None:
    one = Costs(cost_inputs).of(GATED, "epoch5")  # the first of two rounds
    assert one is not None
    assert (one["gpu_hours"], one["cpu_seconds"], one["tokens"]) == (0.0, 50.0, 2000.0)


def test_a_merge_costs_seconds_of_its_own_and_as_a_whole_what_it_merges(cost_inputs: Any) -> None:
    one = Costs(cost_inputs).of(MERGED, "final")
    assert one == {
        **NOTHING,
        "cpu_seconds": 12.5,
        "whole_gpu_hours": 4.0,
        "whole_cpu_seconds": 12.5,
        "whole_tokens": 400_000.0,
        "whole_rows": 500.0,
    }


def test_the_shared_lrm_and_other_prompts_cost_nothing(cost_inputs: Any) -> None:
    costs = Costs(cost_inputs)
    for run in (LRM, TOLD):
        found = costs.of(run, "final")
        assert found is not None and set(found.values()) == {0.0} and len(found) == 8


def test_means_over_seeds_need_every_manifest(cost_inputs: Any) -> None:
    costs = Costs(cost_inputs)
    assert costs.mean([(SFT, "epoch5"), (SFT, "epoch2")])["gpu_hours"] == 7.0
    assert costs.mean([(SFT, "epoch5"), ("aligned/m/gone/seed1", "epoch5")]) == {}
    assert costs.mean([]) == {}


def test_costs_are_columns_and_a_table(cost_inputs: Any) -> None:
    report = build_report(cost_inputs)
    lines = to_csv(report["rows"]).splitlines()
    rows = [row for row in csv.DictReader(lines) if row["seed"] == "mean"]
    found = {(row["alignment"], row["epoch"]): row for row in rows}
    assert found["sft", "2"]["cost.gpu_hours"] == "4.0"
    assert found["sft", "5"]["cost.tokens"] == "1000000.0"
    assert found["", "0"]["cost.whole_gpu_hours"] == "0.0"  # the LRM
    table = next(table for table in build_tables(report) if table.key == "cost")
    assert [row[1:] for row in table.rows] == [
        ["sft", "10.00", "1000.0", "500", "10.00", "1000.0"],
        ["merged", "0.00", "0.0", "0", "4.00", "400.0"],
        ["gated", "0.00", "2.0", "500", "0.00", "2.0"],
        ["told", "0.00", "0.0", "0", "0.00", "0.0"],
    ]
