"""Sweeps: the runs that they stand for, what these share, and errors that name the sweep's key."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.experiment import Experiment
from workflow.scripts.config.load import check_experiment
from workflow.scripts.graph.results import list_keys, list_results

MERGE = {"method": "merge", "alignment": "safechain"}
SFT = {"data": "directrefusal", "recipe": "safety", "per_epoch": "one_run"}


@pytest.fixture(scope="module")
def tiny(root: Path) -> dict[str, Any]:
    text = (root / "tests/experiments/tiny.yaml").read_text()
    return json.loads(json.dumps(yaml.safe_load(text)))


def loaded(tiny: dict[str, Any], **alignments: Any) -> Experiment:
    experiment = copy.deepcopy(tiny)
    experiment["alignments"] |= copy.deepcopy(alignments)
    return check_experiment(experiment, "mine.yaml")


def keys(experiment: Experiment) -> dict[str, str]:
    return list_keys(list_results(experiment, "it"))


def test_a_sweep_is_what_its_entries_written_out_are(tiny):
    swept = loaded(tiny, merge={**MERGE, "sweep": {"alpha": [0.25, 0.5, 1]}})
    one_by_one = {f"merge-alpha{alpha}": {**MERGE, "alpha": alpha} for alpha in (0.25, 0.5, 1)}
    assert swept == loaded(tiny, **one_by_one)
    assert keys(swept) == keys(loaded(tiny, **one_by_one))


def test_a_title_says_the_values(tiny):
    sweep = {"alpha": [0.25, 0.5], "alignment": ["safechain"]}
    found = loaded(tiny, merge={**MERGE, "title": "Merged", "sweep": sweep})
    titles = [entry.title for name, entry in found.alignments.items() if "merge-" in name]
    assert titles == ["Merged, alpha 0.25, safechain", "Merged, alpha 0.5, safechain"]


def test_a_swept_recipe_is_a_recipe_of_its_own(tiny):
    sft = {**SFT, "sweep": {"recipe.learning_rate": [5.0e-5, 1.0e-4], "data": ["safechain"]}}
    swept = loaded(tiny, rate=sft)
    assert list(swept.alignments)[2:] == [
        "rate-learning_rate5e-05-safechain",
        "rate-learning_rate0.0001-safechain",
    ]
    for name, rate in (("learning_rate5e-05", 5e-5), ("learning_rate0.0001", 1e-4)):
        recipe = swept.recipes["safety"].model_copy(update={"learning_rate": rate})
        assert swept.recipes[f"safety-{name}"] == recipe
        entry = {**SFT, "data": "safechain", "recipe": f"safety-{name}"}
        assert swept.alignments[f"rate-{name}-safechain"].without_defaults() == entry
    assert swept.recipes["safety"] == loaded(tiny).recipes["safety"]


def add_development(experiment: dict[str, Any]) -> None:
    sums = experiment["benchmarks"]["clock_sums"]
    experiment["benchmarks"]["dev_sums"] = {**sums, "n": 4, "split": "development"}
    sums["skip"] = 4


RATE = {**SFT, "evaluate": False, "sweep": {"recipe.learning_rate": [1e-5, 5e-5, 1e-4, 2e-4, 5e-4]}}
BEST = {"method": "select", "among": ["rate"], "highest": "reasoning_accuracy"}


@pytest.fixture(scope="module")
def halved(tiny):
    tiny = copy.deepcopy(tiny)
    add_development(tiny)
    return tiny


def test_halving_is_rungs_of_promoted_models_written_out(halved):
    """Of five, three go on, of which two do."""
    found = loaded(halved, rate=RATE, best={**BEST, "halving": [3, 6], "title": "Best rate"})
    rates = [name for name in found.alignments if name.startswith("rate-")]
    promoted = {"method": "promote", "highest": "reasoning_accuracy", "evaluate": False}
    second = {
        f"best-epochs3-rank{rank}": {**promoted, "among": rates, "rank": rank, "epochs": 3}
        for rank in (1, 2, 3)
    }
    third = {
        f"best-epochs6-rank{rank}": {**promoted, "among": list(second), "rank": rank, "epochs": 6}
        for rank in (1, 2)
    }
    best = {**BEST, "among": list(third), "title": "Best rate"}
    assert found == loaded(halved, rate=RATE, **second, **third, best=best)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"halving": [4, 2]}, "alignments.best.halving is [4, 2], expected growing numbers of epo"),
        ({"halving": [0, 2]}, "alignments.best.halving is [0, 2], expected growing numbers of epo"),
        (
            {"halving": [2, 3, 4, 5]},
            "alignments.best.halving is [2, 3, 4, 5], but a single model is left before 5",
        ),
        ({"halving": []}, "alignments.best.halving is [], expected"),
        ({"halving": 2}, "alignments.best.halving is 2, expected"),
        (
            {"halving": [3], "among": ["rate", "merge"]},
            "alignments.best.halving.among.5: 'merge' cannot be trained for more epochs, expected "
            "method sft without after",
        ),
        (
            {"halving": [3], "among": ["rate", "later"]},
            "'later' cannot be trained for more epochs, expected method sft without after",
        ),
        ({"method": "promote", "rank": 6, "epochs": 3}, "best.rank is 6, but among has 5 models"),
        (
            {"method": "promote", "rank": 1, "epochs": 3, "among": ["first"]},
            "alignments.best.epochs is 3, expected more than the 3 of 'first'",
        ),
        (
            {"method": "promote", "rank": 1, "epochs": 2},
            "alignments.best.epochs is 2, expected more than the 2 of 'rate-",
        ),
    ],
)
def test_halving_that_cannot_be_is_refused(halved, change, said):
    first = {**BEST, "method": "promote", "rank": 1, "epochs": 3}
    more = {"merge": {**MERGE, "alpha": 0.5}, "later": {**SFT, "after": "safechain"}}
    with pytest.raises(InputError) as error:
        loaded(halved, rate=RATE, **more, first=first, best={**BEST, **change})
    assert said in str(error.value)


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
        (entry.data, list(found.recipes[entry.recipe].lora.target_modules))
        for name, entry in found.alignments.items()
        if name.startswith("mixed-ratio")
    ] == [(f"directrefusal+reasoning@x{x}", one) for x in (0.25, 0.5) for one in modules]
    assert "mixed-ratio0.25-target_modules2" in found.alignments


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
    recipes = [found.alignments[f"{name}-learning_rate0.0001"].recipe for name in "ab"]
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
