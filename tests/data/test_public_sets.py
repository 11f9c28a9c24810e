"""The entries of docs/methods.md for public safety sets, on rows of their shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.scripts.cluster.resources import most_rows
from workflow.scripts.common.chat import chat_format
from workflow.scripts.common.io import read_json, write_jsonl
from workflow.scripts.common.records import Record, read_records
from workflow.scripts.config.load import check_experiment
from workflow.scripts.data.prepare_records import main
from workflow.scripts.graph.runs import list_runs

THOUGHT, REFUSAL = "Is this harmful?\n\nIt is.", "I'm sorry, but I can't."
RESPONSE = f"<think>\n{THOUGHT}\n</think>\n\n{REFUSAL}"
# The fields that the authors' code reads; values are stand-ins.
ROWS: dict[str, dict[str, Any]] = {
    "star-1": {
        "id": "68",
        "question": "Rob?",
        "response": RESPONSE,
        "category": ["x"],
        "score": {},
    },
    "star-benign-915": {"id": "b1", "question": "Rob?", "response": RESPONSE, "source": "x"},
    "r1-act": {"instruction": "Rob?", "response": RESPONSE},
    "study-short": {"prompt": "Rob?", "response": RESPONSE, "data_type": "safety"},
    "study-math": {"prompt": "Rob?", "response": RESPONSE, "data_type": "math"},
}


@pytest.fixture(scope="module")
def example(root: Path) -> dict[str, Any]:
    docs = (root / "docs/methods.md").read_text()
    text = docs.partition("### Public safety sets")[2].partition("```yaml\n")[2].partition("```")[0]
    return json.loads(json.dumps(yaml.safe_load(text)))


def prepared(example: dict[str, Any], name: str, path: Path, folder: Path) -> list[Record]:
    section = {**example["data"][name]["prepare"], "source": {"path": str(path)}}
    main(["--dataset", json.dumps(section), "--name", name, "--out", str(folder)])
    return read_records(folder / "records.jsonl")


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_the_published_shape_become_thinking_and_answer(example, tmp_path, name):
    write_jsonl(tmp_path / "rows.jsonl", [ROWS[name], ROWS[name]])
    records = prepared(example, name, tmp_path / "rows.jsonl", tmp_path)
    assert [(r.prompt, r.thinking, r.answer) for r in records] == [("Rob?", THOUGHT, REFUSAL)] * 2


def test_a_response_whose_opening_the_template_writes_is_read_too(example, tmp_path):
    row = {**ROWS["r1-act"], "response": RESPONSE.removeprefix("<think>\n")}
    write_jsonl(tmp_path / "rows.jsonl", [row])
    (record,) = prepared(example, "r1-act", tmp_path / "rows.jsonl", tmp_path)
    assert (record.thinking, record.answer) == (THOUGHT, REFUSAL)


def test_a_set_without_thinking_trains_an_empty_one(example, tmp_path):
    row = {"prompt": "Rob?", "response": f"<think>\n\n</think>\n\n{REFUSAL}", "data_type": "safety"}
    write_jsonl(tmp_path / "rows.jsonl", [row])
    (record,) = prepared(example, "study-nocot", tmp_path / "rows.jsonl", tmp_path)
    assert chat_format("deepseek-r1").example(record)[1] == (
        f"<think>\n\n</think>\n\n{REFUSAL}<｜end▁of▁sentence｜>"
    )
    assert read_json(tmp_path / "report.json")["empty_thinking"] == 1


def test_star_1_as_it_was_published_is_read_whole(example, shared_data, tmp_path):
    records = prepared(example, "star-1", shared_data / "star1.json", tmp_path)
    assert len(records) == 1000 and all(record.thinking for record in records)


def test_the_example_is_an_experiment_and_its_sizes_are_known(root, example):
    experiment = yaml.safe_load((root / "experiments/careful.yaml").read_text())
    experiment["data"]["reasoning"] = experiment["data"]["s1k-1.1"]
    for section, entries in example.items():
        experiment[section] |= entries
    loaded = check_experiment(json.loads(json.dumps(experiment)), "mine.yaml")
    runs = list_runs(loaded)
    for name in example["alignments"]:
        assert f"aligned/limo-here/{name}/seed42" in runs
    mixed = runs["aligned/limo-here/star-1-benign/seed42"].data
    assert [part.set for part in loaded.data[mixed].mix] == ["star-1", "star-benign-915"]
    sizes = {name: most_rows(loaded.data[name]) for name in example["data"]}
    assert (sizes["star-1"], sizes["star-benign-915"], sizes["r1-act"]) == (1000, 915, 1000)
