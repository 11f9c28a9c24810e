"""Aligned models that were tuned on: rows by step, apart from the methods, and the third axis."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.load import check_experiment
from workflow.scripts.config.read_yaml import read_yaml
from workflow.scripts.report.figures import durability as figure
from workflow.scripts.report.runs import by_epoch, parse_run
from workflow.scripts.report.tables.registry import build_tables

HARM = {"step2": 0, "step4": 10, "step12": 30}  # of 40 prompts


def rows_of(kind: str, hits: int, n: int = 40) -> list[dict[str, Any]]:
    key = {"reasoning": "correct", "harmful": "harmful"}[kind]
    about = {"repeat": 0, "state": "ok", "valid": True}
    return [{"item_id": f"{kind}{k}", **about, key: k < hits} for k in range(n)]


@pytest.fixture
def files(tmp_path: Path, make_score: Any) -> list[Path]:
    """An LRM and two alignments of two seeds; `weak` loses its safety by step 12."""
    found = []

    def put(run: str, name: str, kind: str, hits: dict[str, int]) -> None:
        verdicts = {at: rows_of(kind, count) for at, count in hits.items()}
        found.append(make_score(tmp_path, run, name, kind, verdicts))

    put("lrm/tiny/hub", "sums", "reasoning", {"final": 40})
    put("lrm/tiny/hub", "harm", "harmful", {"final": 36})
    for seed in (1, 2):
        for name, harm in (("weak", 0), ("firm", 4)):
            put(f"aligned/tiny/{name}/seed{seed}", "sums", "reasoning", {"epoch1": 20})
            put(f"aligned/tiny/{name}/seed{seed}", "harm", "harmful", {"epoch1": harm})
            attacked = f"attacked/tiny/{name}/undo/seed{seed}"
            put(attacked, "sums", "reasoning", dict.fromkeys(HARM, 30))
            later = {at: hits + 2 * (seed == 1) for at, hits in HARM.items()}
            put(attacked, "harm", "harmful", later if name == "weak" else dict.fromkeys(HARM, 4))
    return found


@pytest.fixture
def report(files: list[Path], build: Any) -> dict[str, Any]:
    experiment = {
        "seeds": [1, 2],
        "bases": {},
        "lrms": {"tiny": {}},
        "alignments": {"weak": {}, "firm": {}},
        "durability": {"undo": {}},
        "benchmarks": {"sums": {}, "harm": {}},
        "report": {"frontier": ["reasoning_accuracy", "harmful_score", "harmful_score after undo"]},
    }
    return build(experiment, files)


def test_steps_are_in_order_and_paired_with_the_aligned_model_of_their_seed(report: Any) -> None:
    rows = [one for one in report["durability"] if one["alignment"] == "weak"]
    assert [(one["step"], one["seed"]) for one in rows] == [
        (step, seed) for step in (0, 2, 4, 12) for seed in ("1", "2", "mean")
    ]
    last = {one["seed"]: one for one in rows if one["step"] == 12}
    assert last["1"]["metrics"]["harmful_score"]["estimate"] == pytest.approx(32 / 40)
    assert last["mean"]["metrics"]["harmful_score"]["estimate"] == pytest.approx(31 / 40)
    assert last["2"]["change"]["harmful_score"]["estimate"] == pytest.approx(30 / 40)
    assert last["mean"]["change"]["reasoning_accuracy"]["estimate"] == pytest.approx(0.25)
    start = next(one for one in rows if one["step"] == 0 and one["seed"] == "mean")
    assert start["metrics"]["harmful_score"]["estimate"] == 0 and start["change"] == {}


def test_attacked_models_are_no_methods(report: Any) -> None:
    assert {row["role"] for row in report["rows"]} == {"lrm", "aligned"}
    means = [row for row in report["rows"] if row["seed"] == "mean" and row["role"] == "aligned"]
    assert [row["metrics"]["harmful_score"]["estimate"] for row in means] == [0, 0.1]
    tables = {table.key: table for table in build_tables(report)}
    assert all("undo" not in str(tables[key].rows) for key in ("main", "alignments", "epochs")
               if key in tables)  # fmt: skip
    steps = [row[1:4] for row in tables["durability"].rows if row[2] == "weak"]
    assert steps == [["undo", "weak", step] for step in ("0", "2", "4", "12")]


def test_harm_after_an_attack_is_an_axis_of_the_frontier(report: Any) -> None:
    """`weak` dominates `firm` on the first two measures, and is worse after the attack."""
    (found,) = report["frontier"]
    methods = {one["alignment"]: one for one in found["methods"]}
    assert list(methods) == ["weak", "firm"]  # the LRM is not attacked
    last = "harmful_score after undo"
    assert methods["weak"]["metrics"][last]["estimate"] == pytest.approx(31 / 40)
    assert methods["firm"]["metrics"][last]["estimate"] == pytest.approx(0.1)
    assert methods["firm"]["non_dominated"] and methods["weak"]["non_dominated"]
    heads = next(table for table in build_tables(report) if table.key == "frontier").header
    assert "Harmful score after undo" in heads


def test_the_figure_has_a_line_per_method_from_step_0(report: Any) -> None:
    drawn, points = figure.draw(report)
    mine = [p for p in points if (p["model"], p["metric"]) == ("weak", "harmful_score")]
    assert [p["step"] for p in mine if p["seed"] == "mean"] == [0, 2, 4, 12]
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert labels == ["weak", "firm"]


def test_names_of_attacked_runs_have_their_parts() -> None:
    model, _ = parse_run("attacked/tiny/weak/undo/seed1")
    assert (model.role, model.name, model.alignment, model.attack, model.seed) == (
        "attacked", "tiny", "weak", "undo", 1,
    )  # fmt: skip
    for wrong in ("attacked/tiny/weak/seed1", "aligned/tiny/weak/undo/seed1", "lrm/a/b/seed1"):
        with pytest.raises(InputError, match="expected"):
            parse_run(wrong)
    assert sorted(["step12", "step2", "step4"], key=by_epoch) == ["step2", "step4", "step12"]


@pytest.fixture
def tiny(root: Path) -> dict[str, Any]:
    path = root / "tests/experiments/tiny.yaml"
    experiment = copy.deepcopy(read_yaml(path, "tiny.yaml"))
    experiment["data"]["complied"] = {"generated": "complied"}
    experiment["recipes"]["attack"] = {**experiment["recipes"]["reasoning"], "steps": [1, 3]}
    experiment["durability"] = {"undo": {"data": "complied", "recipe": "attack"}}
    return experiment


@pytest.mark.parametrize(
    ("section", "change", "said"),
    [
        ("durability", {"undo": {"data": "none", "recipe": "attack"}}, "durability.undo.data"),
        (
            "durability",
            {"undo": {"data": "complied", "recipe": "safety"}},
            "durability.undo.recipe: 'safety' has no steps",
        ),
        (
            "durability",
            {"undo": {"data": "complied", "recipe": "attack", "alignments": ["none"]}},
            "durability.undo.alignments: 'none' is no entry of alignments",
        ),
        (
            "lrms",
            {"tiny": {"base": "tiny", "data": "reasoning", "recipe": "attack"}},
            "lrms.tiny.recipe: 'attack' has steps, which are for durability",
        ),
        (
            "report",
            {"frontier": ["reasoning_accuracy", "harmful_score after x"]},
            "report.frontier: 'x' is no entry of durability",
        ),
        (
            "report",
            {"frontier": ["reasoning_accuracy", "over_refusal after undo"]},
            "needs durability.undo to be measured on benign",
        ),
        (
            "report",
            {"frontier": ["accuracy", "harmful_score"]},
            "frontier: 'accuracy', expected one of reasoning_accuracy",
        ),
        (
            "report",
            {"frontier": ["harmful_score", "gpu_hours after undo"]},
            "frontier: 'gpu_hours after undo', expected one of reasoning_accuracy",
        ),
        (
            "report",
            {"frontier": ["gpu_hours", "tokens"]},
            "frontier is ['gpu_hours', 'tokens'], expected a metric beside costs",
        ),
        ("report", {"frontier": ["harmful_score"]}, "report.frontier is ['harmful_score'], exp"),
    ],
)
def test_a_wrong_setting_is_refused(
    tiny: dict[str, Any], section: str, change: Any, said: str
) -> None:
    check_experiment(tiny, "tiny.yaml")
    with pytest.raises(InputError) as error:
        check_experiment({**tiny, section: change}, "tiny.yaml")
    assert said in str(error.value)
