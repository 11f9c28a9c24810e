"""Sweeps: the runs that they stand for, what these share, and errors that name the sweep's key."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.load import check_experiment
from workflow.scripts.graph.results import list_keys, list_results

MERGE = {"method": "merge", "alignment": "safechain"}
SFT = {"data": "directrefusal", "recipe": "safety", "per_epoch": "one_run"}


@pytest.fixture(scope="module")
def tiny(root: Path) -> dict[str, Any]:
    text = (root / "tests/experiments/tiny.yaml").read_text()
    return json.loads(json.dumps(yaml.safe_load(text)))


def loaded(tiny: dict[str, Any], **alignments: Any) -> dict[str, Any]:
    experiment = copy.deepcopy(tiny)
    experiment["alignments"] |= copy.deepcopy(alignments)
    return check_experiment(experiment, "mine.yaml")


def keys(experiment: dict[str, Any]) -> dict[str, str]:
    return list_keys(list_results(experiment, "it"))


def test_a_sweep_is_what_its_entries_written_out_are(tiny):
    swept = loaded(tiny, merge={**MERGE, "sweep": {"alpha": [0.25, 0.5, 1]}})
    one_by_one = {f"merge-alpha{alpha}": {**MERGE, "alpha": alpha} for alpha in (0.25, 0.5, 1)}
    assert swept == loaded(tiny, **one_by_one)
    assert keys(swept) == keys(loaded(tiny, **one_by_one))


def test_a_title_says_the_values(tiny):
    sweep = {"alpha": [0.25, 0.5], "alignment": ["safechain"]}
    found = loaded(tiny, merge={**MERGE, "title": "Merged", "sweep": sweep})
    titles = [entry.get("title") for name, entry in found["alignments"].items() if "merge-" in name]
    assert titles == ["Merged, alpha 0.25, safechain", "Merged, alpha 0.5, safechain"]


def test_a_swept_recipe_is_a_recipe_of_its_own(tiny):
    sft = {**SFT, "sweep": {"recipe.learning_rate": [5.0e-5, 1.0e-4], "data": ["safechain"]}}
    swept = loaded(tiny, rate=sft)
    assert list(swept["alignments"])[2:] == [
        "rate-learning_rate5e-05-safechain",
        "rate-learning_rate0.0001-safechain",
    ]
    for name, rate in (("learning_rate5e-05", 5e-5), ("learning_rate0.0001", 1e-4)):
        recipe = {**swept["recipes"]["safety"], "learning_rate": rate}
        assert swept["recipes"][f"safety-{name}"] == recipe
        entry = {**SFT, "data": "safechain", "recipe": f"safety-{name}"}
        assert swept["alignments"][f"rate-{name}-safechain"] == entry
    assert swept["recipes"]["safety"] == loaded(tiny)["recipes"]["safety"]


def test_doses_and_parts_of_lists_can_be_swept_in_every_combination(tiny):
    mixed = {**SFT, "data": ["directrefusal", {"set": "reasoning"}]}
    lora = {"r": 2, "alpha": 4, "dropout": 0.0, "target_modules": ["q_proj"]}
    modules = [["q_proj"], ["up_proj", "down_proj"]]
    sweep = {"data.1.ratio": [0.25, 0.5], "recipe.lora.target_modules": modules}
    experiment = copy.deepcopy(tiny)
    experiment["recipes"]["safety"]["lora"] = lora
    experiment["alignments"]["mixed"] = {**mixed, "sweep": sweep}
    found = check_experiment(experiment, "mine.yaml")
    assert [
        (entry["data"], found["recipes"][entry["recipe"]]["lora"]["target_modules"])
        for name, entry in found["alignments"].items()
        if name.startswith("mixed-ratio")
    ] == [(f"directrefusal+reasoning@x{x}", one) for x in (0.25, 0.5) for one in modules]
    assert "mixed-ratio0.25-target_modules2" in found["alignments"]


def test_what_the_runs_of_a_sweep_start_from_is_made_once(tiny):
    swept = loaded(tiny, merge={**MERGE, "sweep": {"alpha": [0.25, 0.5, 0.75]}})
    new = set(keys(swept)) - set(keys(loaded(tiny)))
    models = {f"models/aligned/tiny/merge-alpha{alpha}/seed1" for alpha in (0.25, 0.5, 0.75)}
    assert {name for name in new if name.startswith("models/")} == models
    results = list_results(swept, "it")
    parents = {results[name].inputs["other"] for name in models}
    assert parents == {("models/aligned/tiny/safechain/seed1",)}


def test_a_value_more_leaves_the_runs_that_there_are(tiny):
    def sweep(*alphas: float) -> dict[str, str]:
        return keys(loaded(tiny, merge={**MERGE, "sweep": {"alpha": list(alphas)}}))

    before, after = sweep(0.25, 0.5), sweep(0.25, 0.5, 0.75)
    assert {name for name in before if before[name] != after[name]} == {"report/it"}


def test_two_sweeps_share_the_recipe_of_the_same_value(tiny):
    sweep = {"recipe.learning_rate": [1.0e-4]}
    found = loaded(tiny, a={**SFT, "sweep": sweep}, b={**SFT, "data": "safechain", "sweep": sweep})
    recipes = [found["alignments"][f"{name}-learning_rate0.0001"]["recipe"] for name in "ab"]
    assert recipes == ["safety-learning_rate0.0001"] * 2


SWEPT = "mine.yaml: alignments.new.sweep"


@pytest.mark.parametrize(
    ("entry", "sweep", "said"),
    [
        (MERGE, {"alpha": [0.5, 1.5]}, f"{SWEPT}.alpha is 1.5, expected at most 1"),
        (MERGE, {"alpha": 0.5}, f"{SWEPT}.alpha is 0.5, expected a "),
        (MERGE, {"alpha": []}, f"{SWEPT}.alpha is [], expected at least 1 item"),
        (MERGE, [0.5], f"{SWEPT} is [0.5], expected a mapping of keys to values"),
        ({**MERGE, "alpha": 1}, {}, f"{SWEPT} is {{}}, expected at least 1 item"),
        ({**MERGE, "alpha": 1}, {"alpah": [1]}, f"{SWEPT}.alpah is unknown; did you mean alpha? "),
        (MERGE, {"alpha": [1], "epoch": [1, 9]}, f"{SWEPT}.epoch is 9, expected one of which"),
        (MERGE, {"epoch": [1]}, "mine.yaml: alignments.new.alpha is missing"),
        (
            {**MERGE, "alignment": "no"},
            {"alpha": [0.5]},
            "mine.yaml: alignments.new.alignment: 'no' is no entry of alignments, expected ",
        ),
        (
            MERGE,
            {"alpha": [0.5, 0.5]},
            "mine.yaml: alignments.new-alpha0.5 is given twice, at least once by a sweep",
        ),
        (SFT, {"recipe.learning_rate": [-1]}, f"{SWEPT}.recipe.learning_rate is -1, expected abov"),
        (SFT, {"recipe.schedule": ["linear"]}, f"{SWEPT}: recipes.safety: min_lr_ratio is 0.05 "),
        (SFT, {"recipe.lora.r": [2]}, f"{SWEPT}.recipe.lora.r: there is nothing to set r in"),
        (SFT, {"data.1.n": [2]}, f"{SWEPT}.data.1.n: there is no 1 here"),
        ({**SFT, "recipe": "no"}, {"recipe.epochs": [1]}, f"{SWEPT}.recipe.epochs: recipe is 'no'"),
    ],
)
def test_a_wrong_sweep_is_refused_in_one_line_that_names_its_key(tiny, entry, sweep, said):
    with pytest.raises(InputError) as error:
        loaded(tiny, new={**entry, "sweep": sweep})
    assert str(error.value).startswith(said) and "\n" not in str(error.value)


def test_a_name_that_is_there_already_is_refused(tiny):
    sweep = {**MERGE, "sweep": {"alpha": [0.5]}}
    with pytest.raises(InputError, match=r"alignments\.merge-alpha0\.5 is given twice"):
        loaded(tiny, **{"merge-alpha0.5": {**MERGE, "alpha": 0.5}, "merge": sweep})
