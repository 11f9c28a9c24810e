"""A stage's data as a list of sets: what the experiment is after loading, and what is refused."""

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

REPLAY = ["directrefusal", {"set": "reasoning", "n": 8}]


@pytest.fixture(scope="module")
def tiny(root: Path) -> dict[str, Any]:
    text = (root / "tests/experiments/tiny.yaml").read_text()
    return json.loads(json.dumps(yaml.safe_load(text)))


def loaded(tiny: dict[str, Any], /, **data: Any) -> dict[str, Any]:
    """Return the loaded experiment with other data for alignments, the LRM (`tiny`) or a set."""
    experiment = copy.deepcopy(tiny)
    for name, value in data.items():
        if name in experiment["alignments"]:
            experiment["alignments"][name]["data"] = value
        elif name in experiment["lrms"]:
            experiment["lrms"][name]["data"] = value
        else:
            experiment["data"][name] = value
    return check_experiment(experiment, "mine.yaml")


def keys(experiment: dict[str, Any]) -> dict[str, str]:
    return list_keys(list_results(experiment, "it"))


def test_lists_of_sets_become_mixtures_that_stages_share(tiny):
    experiment = loaded(tiny, directrefusal=REPLAY, safechain=REPLAY)
    results = list_results(experiment, "it")
    mixture = "data/mixtures/directrefusal+reasoning@8"
    assert [name for name in results if "mixtures" in name] == [mixture]
    assert results[mixture].made_from == ("data/micro/directrefusal", "data/micro/reasoning")
    for name in ("directrefusal", "safechain"):
        assert mixture in results[f"models/aligned/tiny/{name}/seed1"].made_from


def test_an_lrm_is_trained_on_several_sets_at_once(tiny):
    experiment = loaded(tiny, tiny=["reasoning", {"set": "safechain", "ratio": 0.25}])
    inputs = list_results(experiment, "it")["models/lrm/tiny/seed1"].inputs
    assert inputs["data"] == ("data/mixtures/reasoning+safechain@x0.25",)


@pytest.mark.parametrize("one", [["directrefusal"], [{"set": "directrefusal"}]])
def test_a_list_of_one_whole_set_is_that_set(tiny, one):
    assert keys(loaded(tiny, directrefusal=one)) == keys(loaded(tiny))


def test_the_same_sets_in_another_notation_are_the_same_results(tiny):
    notations = (REPLAY, [{"set": "directrefusal"}, {"set": "reasoning", "n": 8}])
    assert len({json.dumps(keys(loaded(tiny, directrefusal=one))) for one in notations}) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"mix": ["directrefusal", {"set": "reasoning", "n": 9}], "seed": 1},
        {"mix": REPLAY, "seed": 2},
        {"mix": REPLAY[::-1], "seed": 1},
    ],
)
def test_counts_seed_and_order_of_a_mixture_count(tiny, other):
    before = keys(loaded(tiny, mine={"mix": REPLAY, "seed": 1}, directrefusal="mine"))
    after = keys(loaded(tiny, mine=other, directrefusal="mine"))
    moved = {name for name in before if before[name] != after[name]}
    of_models = {name for name in before if "/directrefusal/seed1" in name}
    assert moved == {"data/mixtures/mine", "report/it", *of_models}


def test_a_mixture_is_written_as_its_sets_are(tiny):
    quirk = {"newline_before_answer": False}
    plain = {name: {"generated": name, "render": quirk} for name in ("reasoning", "directrefusal")}
    experiment = copy.deepcopy(tiny)
    experiment["data"] |= plain
    experiment["alignments"]["safechain"]["data"] = REPLAY
    run = list_results(check_experiment(experiment, "it"), "it")
    assert run["models/aligned/tiny/safechain/seed1"].sections["render"] == quirk
    experiment["data"]["reasoning"]["render"] = {}
    with pytest.raises(InputError, match=r"data\.1: 'reasoning' has another render than 'directr"):
        check_experiment(experiment, "it")


PLACE = "mine.yaml: alignments.safechain.data"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], f"{PLACE} is [], expected at least 1 item"),
        (["directrefusal", "x"], f"{PLACE}.1: 'x' is no entry of data (mixtures apart), expected"),
        (["directrefusal", "mixed"], f"{PLACE}.1: 'mixed' is no entry of data (mixtures apart)"),
        (["reasoning", "reasoning"], f"{PLACE}.1: 'reasoning' stands twice, expected each set"),
        ([{"set": "reasoning", "n": 0}], f"{PLACE}.0.n is 0, expected at least 1"),
        ([{"set": "reasoning", "share": 1}], f"{PLACE}.0.share is unknown; expected some of set"),
        ([{"set": "reasoning", "n": 1, "ratio": 1}], f"{PLACE}.0: has n and ratio, expected one"),
        ([{"set": "reasoning", "ratio": 1}], f"{PLACE}.0 has ratio, expected n or nothing: rat"),
        (7, f"{PLACE} is 7, expected a string"),
    ],
)
def test_a_wrong_list_is_refused_in_one_line(tiny, value, said):
    with pytest.raises(InputError) as error:
        loaded(tiny, safechain=value, mixed={"mix": REPLAY})
    assert str(error.value).startswith(said)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"mix": ["nothing"]}, "data.new.mix.0: 'nothing' is no entry of data (mixtures apart), "),
        (
            {"mix": REPLAY, "generated": "reasoning"},
            "data.new: has generated and mix, expected",
        ),
        ({"generated": "reasoning", "seed": 3}, "data.new: seed is 3, which only a mixture (mix)"),
        (
            {"mix": REPLAY, "render": {"newline_before_answer": False}},
            "data.new: has mix and render, expected render at its sets",
        ),
    ],
)
def test_a_wrong_mixture_is_refused_in_one_line(tiny, value, said):
    with pytest.raises(InputError) as error:
        loaded(tiny, new=value)
    assert str(error.value).startswith(f"mine.yaml: {said}")
