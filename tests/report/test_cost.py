"""What an alignment took, from manifests written by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.report.build_report import build_report
from workflow.scripts.report.cost import NOTHING, Costs
from workflow.scripts.report.figures import frontier as figure
from workflow.scripts.report.render import to_csv
from workflow.scripts.report.tables.registry import build_tables

GPUS = {"device": "cuda", "gpus": ["H100"] * 8, "world_size": 8}
CPU = {"device": "cpu", "gpus": [], "world_size": 1}
EXPERIMENT: dict[str, Any] = {
    "bases": {},
    "lrms": {"m": {}},
    "alignments": {
        **{"sft": {}, "merged": {}, "gated": {}, "told": {"prefix": "Hm."}},
        **{"best": {}, "own": {}},
    },
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
BEST = "aligned/m/best/seed1"
OWN = "aligned/m/own/seed1"
OTHERS = {"other": {"run": SFT, "checkpoint": "epoch2", "lineage": lineage()}}
MANIFESTS: dict[str, dict[str, Any]] = {
    LRM: trained(9000, 9_000_000, GPUS),
    SFT: trained(4500, 1_000_000, GPUS),
    GATED: trained(100, 4000, CPU, rounds=2),
    MERGED: {"train": None, "lineage": {**lineage(others=OTHERS), "data": None}},
    # chosen is epoch 2 of SFT; the others are OWN and the merge, which is made from SFT, too
    BEST: {
        "train": None,
        "lineage": {
            "base": {"run": SFT, "checkpoint": "epoch2", "lineage": lineage()},
            "data": None,
            "selection": {
                "rule": "highest reasoning_accuracy",
                "chosen": {"run": SFT, "checkpoint": "epoch2"},
                "candidates": [
                    {"run": run, "checkpoint": checkpoint, "figures": {}}
                    for run, checkpoint in (
                        *((SFT, "epoch2"), (SFT, "epoch5")),
                        *((OWN, "final"), (MERGED, "final")),
                    )
                ],
            },
        },
    },
    OWN: trained(450, 100_000, GPUS),
}
SAMPLES = {"hardware": GPUS, "throughput": {"wall_s": 900}}  # 2 GPU-hours


@pytest.fixture
def cost_inputs(tmp_path: Path, make_score: Any, inputs: Any) -> Any:
    checkpoints = {LRM: ["final"], SFT: ["epoch2", "epoch5"], MERGED: ["final"]}
    checkpoints |= {GATED: ["epoch5"], TOLD: ["final"], BEST: ["final"], OWN: ["epoch5"]}
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
    samples = tmp_path / "generate"
    samples.mkdir()
    (samples / "manifest.json").write_text(json.dumps(SAMPLES))
    folders = {run: str(one) for run, one in models.items()}
    return inputs(EXPERIMENT, files, models=folders, sampled={OWN: [str(samples)]})


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


def test_what_an_lrm_wrote_itself_costs_its_sampling(cost_inputs: Any) -> None:
    one = Costs(cost_inputs).of(OWN, "epoch5")
    assert one is not None
    # 450 s on 8 GPUs are 1 GPU-hour; the sampling is another 2, and is no training on tokens
    assert (one["gpu_hours"], one["whole_gpu_hours"]) == (1.0, 3.0)
    assert one["whole_tokens"] == one["tokens"] == 100_000.0


def test_a_selection_costs_all_its_candidates_to_their_end_each_once(cost_inputs: Any) -> None:
    one = Costs(cost_inputs).of(BEST, "final")
    assert one is not None
    # SFT 10, of which the merge has a part, and OWN 3 with its sampling
    assert (one["gpu_hours"], one["whole_gpu_hours"]) == (0.0, 13.0)
    assert one["whole_tokens"] == 1_100_000.0


def test_a_promoted_model_costs_those_that_it_was_chosen_among(cost_inputs: Any) -> None:
    """It starts from the LRM again, with more epochs."""
    path = cost_inputs.models[GATED] / "manifest.json"
    manifest = json.loads(path.read_text())
    candidates = [{"run": run, "checkpoint": "epoch5"} for run in (SFT, OWN)]
    manifest["lineage"]["promotion"] = {"candidates": candidates}
    path.write_text(json.dumps(manifest))
    one = Costs(cost_inputs).of(GATED, "epoch5")
    assert one is not None and (one["gpu_hours"], one["whole_gpu_hours"]) == (0.0, 13.0)
    assert one["whole_tokens"] == 2000.0 + 1_100_000.0


def test_where_samples_were_deleted_the_cost_is_not_known(cost_inputs: Any) -> None:
    for folder in cost_inputs.sampled[OWN]:
        (folder / "manifest.json").unlink()
    costs = Costs(cost_inputs)
    assert costs.of(OWN, "epoch5") is None and costs.of(BEST, "final") is None
    assert costs.of(SFT, "epoch5") is not None


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
        ["best", "0.00", "0.0", "0", "13.00", "1100.0"],
        ["own", "1.00", "100.0", "500", "3.00", "100.0"],
    ]


def test_the_whole_cost_is_an_axis_of_table_and_figure(cost_inputs: Any) -> None:
    """All are right on every item, so that those which took nothing are the frontier."""
    asked = {"frontier": ["reasoning_accuracy", "gpu_hours"]}
    changed = {**EXPERIMENT, "report": asked}
    report = build_report(cost_inputs.model_copy(update={"experiment": changed}))
    table = next(table for table in build_tables(report) if table.key == "frontier")
    assert [(row[1], row[2], row[-1]) for row in table.rows] == [
        ("LRM", "yes", "0.00"),
        ("sft", "no", "10.00"),
        ("merged", "no", "4.00"),
        ("gated", "yes", "0.00"),  # on a CPU
        ("told", "yes", "0.00"),
        ("best", "no", "13.00"),
        ("own", "no", "3.00"),
    ]
    drawn, points = figure.draw(report)
    assert {point["model"]: point["gpu_hours"] for point in points}["best"] == 13.0
    (axis,) = drawn.axes
    assert axis.get_xlabel() == "Whole GPU-hours, lower is better"
    assert axis.get_xlim()[0] < 0 < 13 < axis.get_xlim()[1] < 14
