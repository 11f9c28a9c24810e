"""Models that are an LRM with other prompts: what the report says of them, and beside whom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.report.build_report import build_report
from workflow.scripts.report.comparisons import compare_alignments
from workflow.scripts.report.write_cards import write_cards

SHA = "ab" * 32
EXPERIMENT: dict[str, Any] = {
    "bases": {},
    "lrms": {"m": {"hub": "org/m"}, "own": {}},
    "alignments": {
        "told": {"method": "prompt", "prefix": "Safety first.", "lrms": ["m"]},
        "less": {"method": "prompt", "prefix": "Okay.", "close_thinking": True, "lrms": ["own"]},
        "zero": {"method": "prompt", "close_thinking": True, "system": "Be safe.", "effort": "low"},
        "trained": {"data": "refusals", "recipe": "safety"},
    },
    "benchmarks": {"sums": {"kind": "reasoning", "scorers": ["math"]}},
}
LRM = {"m": "lrm/m/hub", "own": "lrm/own/seed1"}
TOLD = ["aligned/m/told/hub", "aligned/own/less/seed1", "aligned/m/zero/hub"]
TRAINED = ["aligned/m/trained/seed1", "aligned/m/trained/seed2"]


def graded(*correct: int) -> list[dict[str, Any]]:
    return [
        {"item_id": f"q{k}", "repeat": 0, "state": "ok", "valid": True, "correct": bool(c)}
        for k, c in enumerate(correct)
    ]


@pytest.fixture
def files(tmp_path: Path, make_score: Any) -> list[Path]:
    correct = {**dict.fromkeys(LRM.values(), (1, 1, 1, 1)), **dict.fromkeys(TOLD, (1, 1, 0, 1))}
    correct |= {TRAINED[0]: (0, 0, 0, 1), TRAINED[1]: (1, 0, 0, 1)}
    return [
        make_score(tmp_path, run, "sums", "reasoning", {"final": graded(*one)}, "math")
        for run, one in correct.items()
    ]


@pytest.fixture
def told_inputs(tmp_path: Path, files: list[Path], inputs: Any) -> Any:
    """The inputs of a report, with a manifest of each LRM and of one training."""
    folders = {}
    for run in (*LRM.values(), TRAINED[0]):
        folders[run] = tmp_path / "models" / run
        folders[run].mkdir(parents=True)
        manifest = {
            "run": run,
            "checkpoints": {"final": {"model.safetensors": {"sha256": SHA, "bytes": 9}}},
            "final": "final",
            "lineage": {"base": {"run": "base/b/hub"}, "data": {"name": "thoughts", "n": 9}},
            "train": {"wall_s": 3600.0},
            "hardware": {"device": "cuda", "gpus": ["H100"], "world_size": 1},
        }
        (folders[run] / "manifest.json").write_text(json.dumps(manifest))
    models = {run: folders[LRM[run.split("/")[1]]] for run in TOLD} | folders
    return inputs(EXPERIMENT, files, models={run: str(one) for run, one in models.items()})


def test_origins_say_what_the_lrm_is_told_and_count_its_training_once(told_inputs: Any) -> None:
    report = build_report(told_inputs)
    found = {one["run"]: one for one in report["origins"]["models"]}
    assert {run: found[run]["source"] for run in TOLD} == {
        TOLD[0]: "the LRM with a prefix of its thinking, 'Safety first.'",
        TOLD[1]: "the LRM with a prefix of its thinking, 'Okay.' and its thinking closed after it",
        TOLD[2]: "the LRM with its thinking closed at once, the system text 'Be safe.' and effort "
        "low",
    }
    for run in TOLD:
        lrm = LRM[run.split("/")[1]]
        assert (found[run]["parent"], found[run]["data"], found[run]["gpu_hours"]) == (lrm, "", 0)
        assert found[run]["weights_sha256"] == found[lrm]["weights_sha256"] == SHA
    assert report["provenance"]["gpu_hours_training"] == 3.0


def test_there_is_no_card_of_weights_that_are_another_models(
    told_inputs: Any, tmp_path: Path
) -> None:
    write_cards(build_report(told_inputs), told_inputs, tmp_path / "report")
    cards = {
        str(path.parent.relative_to(tmp_path / "report/cards"))
        for path in (tmp_path / "report").rglob("README.md")
    }
    assert cards == {"lrm/own/seed1", TRAINED[0]}


def test_a_told_ready_made_lrm_is_compared_with_each_seed_of_a_training(
    files: list[Path], load: Any
) -> None:
    found = compare_alignments(load(EXPERIMENT, files))
    pairs = {(one["first"], one["second"]): one["change"] for one in found if one["lrm"] == "m"}
    change = pairs["told", "trained"]["reasoning_accuracy"]
    # 3 of 4 told, against 1 and 2 of 4: the mean over the two seeds is −1.5 of 4
    assert change["estimate"] == pytest.approx(-0.375)
    assert change["seed_sd"] == pytest.approx(0.25 / 2**0.5)
    same = pairs["told", "zero"]["reasoning_accuracy"]
    assert (same["estimate"], same["seed_sd"], same["n"]) == (0.0, None, 4)
