"""Models trained on mixtures, and models that were selected, in the report and on cards."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from tests.report.test_write_cards import DATA, manifest
from workflow.scripts.config.section import read_section
from workflow.scripts.models.methods.select import Rule
from workflow.scripts.models.selection import Candidate, choose
from workflow.scripts.report.figures.style import shown_names
from workflow.scripts.report.harm import harm_on_clean_items
from workflow.scripts.report.headline import caveats
from workflow.scripts.report.inputs import Inputs
from workflow.scripts.report.origins import describe_model, read_origins
from workflow.scripts.report.status import status_of
from workflow.scripts.report.tables.origins import selections
from workflow.scripts.report.tables.registry import build_tables
from workflow.scripts.report.write_cards import write_card

RUN, CHOSEN = "aligned/tiny/refuse/seed1", "aligned/tiny/merge-alpha0.5/seed1"
RULE = "highest reasoning_accuracy with harmful_score at most 5 %"


def selected() -> dict[str, Any]:
    """A manifest as select_model writes it."""
    own = manifest(RUN)
    base = {"run": CHOSEN, "checkpoint": "final", "lineage": {"base": None, "data": DATA}}
    figures = [("epoch1", 91.25, None), ("final", 88.0, 2.0)]
    candidates = [
        {
            "run": CHOSEN,
            "checkpoint": checkpoint,
            "figures": {"reasoning_accuracy": accuracy, "harmful_score": harm},
        }
        for checkpoint, accuracy, harm in figures
    ]
    selection = {
        "rule": RULE,
        "chosen": {"run": CHOSEN, "checkpoint": "final"},
        "candidates": candidates,
    }
    return {**own, "lineage": {"base": base, "data": None, "selection": selection}}


@pytest.fixture(scope="module")
def report(experiment: dict[str, Any], score_files: list[Path], build: Any) -> dict[str, Any]:
    return build(experiment, score_files)


def test_a_selected_model_says_which_it_is_and_why(experiment: dict[str, Any]) -> None:
    how = f"selected from 2 candidates: {CHOSEN} (final), the one with {RULE}"
    changed = {**experiment, "alignments": {"refuse": {"method": "select"}}}
    manifest = selected()
    about = describe_model(RUN, manifest, changed)
    assert (about["source"], about["parent"]) == (how, CHOSEN)
    # of a model that was promoted the settings count
    manifest["lineage"]["selection"]["candidates"][1]["origin"] = "rate-learning_rate5e-05"
    source = describe_model(RUN, manifest, changed)["source"]
    assert f"{CHOSEN} as rate-learning_rate5e-05 (final), the one with" in source


def test_the_table_of_selections_shows_the_development_figures_of_every_candidate(
    experiment: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(selected()))
    score = {"run": RUN, "benchmark": "b", "scorer": "s", "folder": str(tmp_path)}
    value = {"experiment": experiment, "scores": [score], "models": {RUN: str(tmp_path)}}
    inputs = Inputs.model_validate_json(json.dumps(value))
    origins, _ = read_origins(inputs)
    table = selections({"origins": origins})
    assert table.rows == [
        [RUN, RULE, CHOSEN, "epoch1", "Reasoning accuracy 91.2, Harmful score –", ""],
        [RUN, RULE, CHOSEN, "final", "Reasoning accuracy 88.0, Harmful score 2.0", "yes"],
    ]


def test_the_card_of_a_selected_model_names_the_chosen_one_and_its_data(
    experiment: dict[str, Any], report: dict[str, Any]
) -> None:
    source = {"prepare": {"source": {"hub": "someone/refusals", "split": "train"}}}
    text = write_card(report, {**experiment, "data": {"refusals": source}}, RUN, selected())
    lines = text.split("## Lineage")[1].split("##")[0].strip().splitlines()
    assert [line.split()[1] for line in lines] == [RUN, CHOSEN]
    assert "selected from 2 candidates" in lines[0] and "the one with highest" in lines[0]
    assert ModelCard(text).data.datasets == ["someone/refusals"]


def test_a_selection_that_missed_its_limits_is_called_that_everywhere(
    experiment: dict[str, Any], tmp_path: Path, make_scores: Any, build: Any
) -> None:
    nearest = Candidate(CHOSEN, "final", {"reasoning_accuracy": 88.0, "harmful_score": 9.0}, None)
    limits = {"highest": "reasoning_accuracy", "at_most": {"harmful_score": 5}}
    _, reason = choose([nearest], read_section(Rule, limits, "rule"))
    assert reason and reason.startswith("no candidate has highest reasoning_accuracy with")
    files = make_scores(tmp_path, failed=(RUN,))
    place = tmp_path / "models" / RUN / "manifest.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "status_reason": reason}))
    report = build(experiment, files)
    texts = [report["headline"], caveats(report["rows"]), *report["methods"], *report["limits"]]
    texts += [cell for table in build_tables(report) for row in table.rows for cell in row]
    texts += shown_names(report).values()
    assert "refuse (missed its limits)" in texts
    assert not [text for text in texts if "raining failed" in text or "missed its gate" in text]
    assert any("no candidate was within the limits of a selection" in text for text in texts)
    about = {**selected(), "status": "failed", "status_reason": reason}
    assert describe_model(RUN, about, experiment)["status"] == "missed"
    card = write_card(report, experiment, RUN, about)
    assert "> **The selection missed its limits:** no candidate has" in card
    # a selection among models whose training failed says that of its own
    assert status_of([f"parent failed: {reason}"]) == "missed"  # of what is made from it
    assert status_of([reason, None]) == "missed" and status_of([reason, "gate: 41 %"]) == "failed"


def test_the_rejected_answers_are_named_among_a_models_data(
    experiment: dict[str, Any], report: dict[str, Any], tmp_path: Path
) -> None:
    about = manifest(RUN)
    about["lineage"]["rejected"] = {"name": "complied", "n": 400, "sha256": "ef" * 32}
    told = describe_model(RUN, about, experiment)["data"]
    assert told == "refusals (500), rejected complied (400)"
    source = {"prepare": {"source": {"hub": "someone/complied", "split": "train"}}}
    changed = {**experiment, "data": {"refusals": {}, "complied": source}}
    card = write_card(report, changed, RUN, about)
    assert f"and rejected complied (400 examples, sha256 `{'ef' * 32}`)" in card
    assert ModelCard(card).data.datasets == ["someone/complied"]
    (tmp_path / "manifest.json").write_text(json.dumps(about))
    score = {"run": RUN, "benchmark": "b", "scorer": "s", "folder": str(tmp_path)}
    value = {"experiment": changed, "scores": [score], "models": {RUN: str(tmp_path)}}
    origins, _ = read_origins(Inputs.model_validate_json(json.dumps(value)))
    assert [(one["name"], one["n"]) for one in origins["data"]] == [
        ("refusals", 500),
        ("complied", 400),
    ]
    # where both are of one set, its size is that of the chosen ones
    about["lineage"]["rejected"]["name"] = "refusals"
    (tmp_path / "manifest.json").write_text(json.dumps(about))
    origins, _ = read_origins(Inputs.model_validate_json(json.dumps(value)))
    (data,) = origins["data"]
    assert (data["name"], data["n"]) == ("refusals", 500)


@pytest.fixture
def mixed(experiment: dict[str, Any]) -> dict[str, Any]:
    """The experiment, in which `refuse` is trained on two sets."""
    changed = copy.deepcopy(experiment)
    first = changed["alignments"]["refuse"]["data"]
    changed["data"] = {"both": {"mix": [{"set": first}, {"set": "more", "n": 5}]}}
    changed["alignments"]["refuse"]["data"] = "both"
    return changed


def test_clean_harm_leaves_out_the_items_of_all_sets_of_a_mixture(
    mixed: dict[str, Any], score_files: list[Path], overlap_report: dict[str, Any], load: Any
) -> None:
    own = next(pair for pair in overlap_report["pairs"] if pair["normalised"]["items"])
    items = own["normalised"]["items"]  # four
    other = {**own, "train": "more", "normalised": {"items": [items[0], "harm-0083"]}}
    unused = {**own, "train": "thoughts", "normalised": {"items": ["harm-0082"]}}
    results = load(mixed, score_files)
    for pairs, removed in (([own], 4), ([own, other], 5), ([own, other, unused], 5)):
        clean = [one for one in harm_on_clean_items(results, pairs) if one["alignment"] == "refuse"]
        assert [one["removed"] for one in clean] == [removed]
        assert clean[0]["aligned_score"]["n"] == 84 - removed


def test_the_card_of_a_model_of_a_mixture_names_the_data_sets_of_the_hub(
    experiment: dict[str, Any], report: dict[str, Any]
) -> None:
    def hub(name: str) -> dict[str, Any]:
        return {"prepare": {"source": {"hub": name, "split": "train"}}}

    mix = {"mix": [{"set": "refusals"}, {"set": "thoughts", "ratio": 0.5}]}
    data = {"refusals": hub("a/refusals"), "thoughts": hub("b/thoughts"), "both": mix}
    about = manifest(RUN)
    about["lineage"]["data"] = {**DATA, "name": "both"}
    card = ModelCard(write_card(report, {**experiment, "data": data}, RUN, about))
    assert card.data.datasets[:2] == ["a/refusals", "b/thoughts"]
