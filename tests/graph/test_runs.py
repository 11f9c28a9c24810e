"""The runs of an experiment: what each is made from, and in what order."""

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
from workflow.scripts.graph.runs import list_runs

SFT = {"recipe": "safety", "per_epoch": "one_run"}
# Safety before reasoning: listed the wrong way round, for the order in the file does not matter.
SWAPPED = {
    "swapped": {
        "data": "reasoning",
        "recipe": "reasoning",
        "per_epoch": "one_run",
        "after": "first",
    },
    "first": {"data": "directrefusal", **SFT, "after": "base"},
}


@pytest.fixture(scope="module")
def tiny(root: Path) -> dict[str, Any]:
    text = (root / "tests/experiments/tiny.yaml").read_text()
    return json.loads(json.dumps(yaml.safe_load(text)))


def loaded(tiny: dict[str, Any], alignments: dict[str, Any], **more: Any) -> dict[str, Any]:
    experiment = copy.deepcopy({**tiny, **more})
    experiment["alignments"] = alignments
    return check_experiment(experiment, "mine.yaml")


def test_safety_comes_before_reasoning_where_an_alignment_starts_from_the_base(tiny):
    experiment = loaded(tiny, SWAPPED, seeds=[1, 2])
    runs = list_runs(experiment)
    for seed in (1, 2):
        first, swapped = (runs[f"aligned/tiny/{name}/seed{seed}"] for name in ("first", "swapped"))
        assert first.parent == f"base/tiny/seed{seed}"
        assert swapped.parent == first.name
        assert list(runs).index(first.name) < list(runs).index(swapped.name)
    results = list_results(experiment, "it")
    assert results["models/aligned/tiny/swapped/seed1"].inputs["parent"] == (
        "models/aligned/tiny/first/seed1",
    )
    list_keys(results)  # asks for the key of each input before its own


def test_what_goes_on_from_an_alignment_takes_its_last_weights(tiny):
    more = {
        "retrained": {"data": "safechain", **SFT, "per_epoch": "retrain", "epochs": [1, 3]},
        "longer": {"data": "directrefusal", **SFT, "after": "retrained"},
        "half": {"method": "merge", "alignment": "longer", "alpha": 0.5},
        "last": {"data": "safechain", **SFT, "after": "half"},
    }
    runs = list_runs(loaded(tiny, more))
    assert runs["aligned/tiny/longer/seed1"].parent == "aligned/tiny/retrained/seed1-epochs3"
    assert runs["aligned/tiny/last/seed1"].parent == "aligned/tiny/half/seed1"


def test_a_change_of_the_first_makes_what_goes_on_from_it_stale(tiny):
    after = copy.deepcopy(SWAPPED)
    after["first"]["data"] = "safechain"
    old, new = (list_keys(list_results(loaded(tiny, one), "it")) for one in (SWAPPED, after))
    moved = {name for name in new if new[name] != old[name]}
    both = ("/first/", "/swapped/")
    assert moved == {n for n in new if any(one in f"{n}/" for one in both)} | {"report/it"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"after": "first"}, "alignments.first is made from itself: first from first"),
        (
            {"after": "swapped"},
            "alignments.swapped is made from itself: swapped from first from sw",
        ),
        ({"after": "second"}, "alignments.first.after: 'second' is no entry of alignments, expect"),
        (
            {"lrms": ["tiny", "other"]},
            "alignments.first.after is 'base', but lrms.other names no",
        ),
        ({"lrms": ["tiny"]}, "alignments.swapped.lrms: first does not align 'other', expected so"),
    ],
)
def test_a_wrong_start_is_refused_in_one_line(tiny, change, said):
    alignments = copy.deepcopy(SWAPPED)
    alignments["first"] |= change
    lrms = {**tiny["lrms"], "other": {"path": "envs", "chat_format": "micro"}}
    lrms = lrms if "lrms" in change else tiny["lrms"]
    with pytest.raises(InputError) as error:
        loaded(tiny, alignments, lrms=lrms)
    assert str(error.value).startswith(f"mine.yaml: {said}")


def test_an_alignment_called_base_is_not_mistaken_for_the_base(tiny):
    with pytest.raises(InputError, match="after is 'base', the LRM's base: expected no alignment"):
        loaded(tiny, {**SWAPPED, "base": {"data": "safechain", **SFT}})
