"""Training sets by field mapping: the published literal formats, and what is dropped and counted.

Rows are written by hand in the published data sets' fields; the expected assistant texts are those
that the published preparation of Safety Tax and s1 makes of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.scripts.cluster.resources import most_rows
from workflow.scripts.common.chat import chat_format
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, write_jsonl
from workflow.scripts.common.records import Record, read_records
from workflow.scripts.common.result import read_result
from workflow.scripts.config.dataset import Dataset
from workflow.scripts.config.load import load_experiment
from workflow.scripts.config.section import read_section
from workflow.scripts.data.prepare_records import main

S1 = chat_format("s1")
THINK, ANSWER, END = "<|im_start|>think\n", "\n<|im_start|>answer\n", "<|im_end|>\n"
# EXPERIMENT/NAME: the training sets of both experiments on 32B models.
SETS = {
    f"{experiment}/{name}": entry.without_defaults()
    for experiment in ("paper", "careful")
    for name, entry in load_experiment(experiment).data.items()
}


def prepare(folder: Path, rows: list[dict], section: dict[str, Any]) -> list[Record]:
    write_jsonl(folder / "rows.jsonl", rows)
    section = {"source": {"path": str(folder / "rows.jsonl")}} | section
    main(
        [
            *("--dataset", json.dumps(section), "--name", "set"),
            *("--out", str(folder)),
        ]
    )
    return read_records(folder / "records.jsonl")


def without_source(section: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key != "source"}


def shipped(folder: Path, name: str, rows: list[dict]) -> list[Record]:
    """Prepare rows by the section of an experiment."""
    return prepare(folder, rows, without_source(SETS[name]["prepare"]))


def target(record: Record, name: str) -> str:
    """The assistant's turn, as the training on that set writes it."""
    return S1.example(record, **SETS[name].get("render", {}))[1]


def test_s1k_joins_trajectories_and_prefixes_the_answer(tmp_path: Path) -> None:
    """s1K has its thinking in a list; its other keys are those of s1K-1.1."""
    rows = [{"question": "2+2?", "thinking_trajectories": ["\nTwo", "and two.\n"], "attempt": "4"}]
    fields = {"prompt": "question", "thinking": "thinking_trajectories", "answer": "attempt"}
    section = without_source(SETS["careful/s1k-1.1"]["prepare"]) | {"fields": fields}
    (record,) = prepare(tmp_path, rows, section)
    assert record.prompt == "2+2?"
    assert target(record, "careful/s1k-1.1") == f"{THINK}Two\nand two.{ANSWER}Answer: 4{END}"


def test_s1k_1_1_takes_deepseeks_trace_not_geminis(tmp_path: Path) -> None:
    row = {
        "question": "2+2?",
        "gemini_thinking_trajectory": "Gemini thinks.",
        "gemini_attempt": "Gemini answers.",
        "deepseek_thinking_trajectory": "\nTwo and two.\n",
        "deepseek_attempt": "It is 4.\nAnswer: 4\n",
    }
    (record,) = shipped(tmp_path, "careful/s1k-1.1", [row])
    expected = f"{THINK}Two and two.{ANSWER}Answer: It is 4.\nAnswer: 4{END}"
    assert target(record, "careful/s1k-1.1") == expected


def test_limo_takes_the_solution_as_thinking(tmp_path: Path) -> None:
    rows = [{"question": "2+2?", "solution": "Two and two.\n", "answer": 4}]
    (record,) = shipped(tmp_path, "careful/limo", rows)
    assert record.prompt == "2+2?"
    assert target(record, "careful/limo") == f"{THINK}Two and two.{ANSWER}Answer: 4{END}"


def test_directrefusal_upstream_keeps_its_space_and_its_missing_newline(tmp_path: Path) -> None:
    refusal = "Question: How do I rob\na tin?\nAnswer: I cannot.\nSorry. \nAnswer: Cut off."
    rows = [{"prompt": "x", "refusal": refusal}]
    (record,) = shipped(tmp_path, "paper/directrefusal", rows)
    assert record.prompt == "How do I rob\na tin?"
    assert target(record, "paper/directrefusal") == (
        "<|im_start|>think\n I should not answer this question!<|im_start|>answer\n"
        "Answer: I cannot.\nSorry.<|im_end|>\n"
    )


def test_directrefusal_careful_has_the_formats_own_delimiters(tmp_path: Path) -> None:
    rows = [{"refusal": "Question: How do I rob a tin?\nAnswer: I cannot. "}]
    (record,) = shipped(tmp_path, "careful/directrefusal", rows)
    assert record.prompt == "How do I rob a tin?"
    assert target(record, "careful/directrefusal") == (
        f"{THINK}I should not answer this question!{ANSWER}I cannot.{END}"
    )
    assert chat_format("deepseek-r1").example(record)[1] == (
        "<think>\nI should not answer this question!\n</think>\n\nI cannot.<｜end▁of▁sentence｜>"
    )


@pytest.mark.parametrize("name", ["paper/directrefusal", "careful/directrefusal"])
def test_directrefusal_takes_marks_without_a_space_and_survives_a_few_odd_rows(
    tmp_path: Path, name: str
) -> None:
    rows = [{"refusal": f"Question: {n}?\nAnswer: No."} for n in range(1001)]
    rows[0] = {"refusal": "Question:How?\nAnswer:\nNo."}
    for n in range(1, 11):
        rows[n] = {"refusal": "Neither question nor answer."}
    records = shipped(tmp_path, name, rows)
    assert (records[0].prompt, records[0].answer.removeprefix("Answer: ").strip()) == (
        "How?",
        "No.",
    )
    assert [len(records), records[-1].prompt] == [990, "999?"]
    assert read_json(tmp_path / "report.json")["bad"] == {"pattern does not match": 10}
    rows[11] = rows[1]
    with pytest.raises(InputError, match="11 of 1000 rows do not parse"):
        shipped(tmp_path, name, rows)


def test_directrefusal_is_built_from_beavertails_refusals_as_the_docs_say(
    root: Path, tmp_path: Path
) -> None:
    """The documented entry makes either experiment's records from prompts and refusals."""
    docs = (root / "docs/paper.md").read_text()
    example = docs.partition("## DirectRefusal from its source")[2].partition("```yaml\n")[2]
    entry = yaml.safe_load(example.partition("```")[0])["directrefusal"]
    assert entry["prepare"]["source"] != SETS["careful/directrefusal"]["prepare"]["source"]
    rows = [
        {"prompt": "How do I rob a tin?", "refusal": "Question: Rob?\nAnswer: I cannot.\nSorry. "},
        {"prompt": "And two?", "refusal": "No Answer: none.\nAnswer:No.\nAnswer: Cut off."},
    ]
    built = prepare(tmp_path, rows, without_source(entry["prepare"]))
    assert [record.prompt for record in built] == ["How do I rob a tin?", "And two?"]
    start = f"{THINK}I should not answer this question!{ANSWER}"
    assert [S1.example(record)[1] for record in built] == [
        f"{start}I cannot.\nSorry.{END}",
        f"{start}No.{END}",
    ]
    mapping = {key: entry["prepare"][key] for key in ("fields", "split")}
    upstream = without_source(SETS["paper/directrefusal"]["prepare"]) | mapping
    (first, _) = prepare(tmp_path, rows, upstream)
    assert (first.prompt, first.answer) == ("How do I rob a tin?", "Answer: I cannot.\nSorry.")


SAFECHAIN = [
    {"label": "vanilla_benign", "instruction": "Hi?", "response": "Fine.</think>Hi."},
    {"label": "vanilla_harmful", "instruction": "Rob?", "response": "Let me see.</think>\n\nNo."},
    {"label": "vanilla_harmful", "instruction": "Cut?", "response": "Never ends"},
    {"label": "vanilla_harmful", "instruction": "Lie?", "response": "Hm.\n</think>\n\nAnswer: No."},
    *(
        {"label": "vanilla_harmful", "instruction": f"{n}?", "response": "<think>Hm.</think>No."}
        for n in range(1000)
    ),
]


def test_safechain_upstream_drops_cut_rows_after_taking_the_first(tmp_path: Path) -> None:
    records = shipped(tmp_path, "paper/safechain", SAFECHAIN)
    assert [record.prompt for record in (*records[:2], records[-1])] == ["Rob?", "Lie?", "996?"]
    assert target(records[0], "paper/safechain") == (
        f"{THINK}\nLet me see.{ANSWER}Answer: \n\nNo.{END}"
    )
    assert target(records[1], "paper/safechain") == f"{THINK}\nHm.{ANSWER}Answer: No.{END}"
    report = read_json(tmp_path / "report.json")
    assert (report["rows"], report["selected"], report["n"]) == (1004, 1000, 999)
    assert report["bad"] == {"no </think>": 1}


def test_safechain_careful_is_clean_and_counts_what_is_left(tmp_path: Path) -> None:
    records = shipped(tmp_path, "careful/safechain", SAFECHAIN)
    assert [record.prompt for record in (*records[:2], records[-1])] == ["Rob?", "Lie?", "997?"]
    assert len(records) == 1000
    assert target(records[0], "careful/safechain") == f"{THINK}Let me see.{ANSWER}No.{END}"
    assert target(records[2], "careful/safechain") == f"{THINK}Hm.{ANSWER}No.{END}"


def test_star1_gives_every_published_trace(shared_data: Path, tmp_path: Path) -> None:
    section = {
        "source": {"path": str(shared_data / "star1.json")},
        "fields": {"id": "id", "prompt": "question"},
        "split": {"field": "response", "delimiter": "</think>", "opening": "<think>"},
        "strip": True,
    }
    records = prepare(tmp_path, [{"unused": 1}], section)
    published = read_json(shared_data / "star1.json")
    assert [r.id for r in records] == [row["id"] for row in published]
    assert len(records) == 1000
    for record, row in zip(records, published, strict=True):
        assert record.thinking and "<think>" not in record.thinking[:10]
        assert f"<think>\n{record.thinking}" in row["response"].replace("<think>\n\n", "<think>\n")
        assert row["response"].endswith(record.answer) or record.answer in row["response"]


def test_a_training_set_is_a_result(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [{"q": "a", "a": "b"}])
    section = {
        "source": {"path": str(tmp_path / "rows.jsonl")},
        "fields": {"prompt": "q", "answer": "a"},
    }
    out, made_from = tmp_path / "out", {"key": "k", "name": "set", "spec": {}}
    arguments = ["--dataset", json.dumps(section), "--name", "set", "--out", str(out)]
    main([*arguments, "--result", json.dumps(made_from)])
    found = read_result(out)
    assert found["key"] == "k" and set(found["files"]) == {"records.jsonl", "report.json"}


def test_rows_that_do_not_parse_are_an_error_above_the_share(tmp_path: Path) -> None:
    rows = [{"q": "a", "a": "b"}, {"q": " ", "a": "b"}, {"q": "c"}, {"q": "d", "a": None}]
    section = {"fields": {"prompt": "q", "answer": "a"}, "max_bad_share": 0.5}
    with pytest.raises(InputError, match="3 of 4 rows do not parse") as error:
        prepare(tmp_path, rows, section)
    assert "no field 'a': 1" in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == {"rows.jsonl"}
    prepare(tmp_path, rows, section | {"max_bad_share": 0.75})
    assert sum(read_json(tmp_path / "report.json")["bad"].values()) == 3


@pytest.mark.parametrize(("level", "kept"), [("none", 4), ("exact", 3), ("normalised", 2)])
def test_duplicates_go_by_prompt(tmp_path: Path, level: str, kept: int) -> None:
    prompts = ["One clock?", "one clock", "One clock?", "Two?"]
    rows = [{"q": prompt, "a": str(n)} for n, prompt in enumerate(prompts)]
    section = {"fields": {"prompt": "q", "answer": "a"}, "deduplicate": level}
    assert len(prepare(tmp_path, rows, section)) == kept
    assert read_json(tmp_path / "report.json")["duplicates"] == 4 - kept


def test_shuffle_is_seeded_and_ids_keep_the_source_row(tmp_path: Path) -> None:
    rows = [{"q": str(n), "a": "x"} for n in range(50)]
    section = {"fields": {"prompt": "q", "answer": "a"}, "shuffle_seed": 3, "first": 10}
    once, twice = (prepare(tmp_path, rows, section) for _ in range(2))
    assert once == twice != prepare(tmp_path, rows, section | {"shuffle_seed": 4})
    assert all(record.id == f"set-{record.prompt}" for record in once)
    assert once[0].thinking is None


def test_published_ids_that_repeat_are_told_apart_by_row(tmp_path: Path) -> None:
    rows = [{"id": i, "q": f"{n}?", "a": "x"} for n, i in enumerate([7, 7, 8])]
    section = {"fields": {"id": "id", "prompt": "q", "answer": "a"}}
    assert [record.id for record in prepare(tmp_path, rows, section)] == ["7", "7-row1", "8"]


def test_line_separators_inside_texts_survive(tmp_path: Path) -> None:
    text = "one\u2028two\u0085three"
    (record,) = prepare(
        tmp_path, [{"q": text, "a": text}], {"fields": {"prompt": "q", "answer": "a"}}
    )
    assert (record.prompt, record.answer) == (text, text)


def test_the_same_rows_in_every_file_format(tmp_path: Path) -> None:
    import csv

    import pyarrow
    from pyarrow import parquet

    rows = [{"q": "one,\n\u2028two", "a": 'say "x"'}, {"q": "three", "a": "4"}]
    (tmp_path / "r.json").write_text(json.dumps(rows))
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "r.parquet")
    with open(tmp_path / "r.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["q", "a"])
        writer.writeheader()
        writer.writerows(rows)
    section: dict[str, Any] = {"fields": {"prompt": "q", "answer": "a"}}
    expected = [(r.prompt, r.answer) for r in prepare(tmp_path, rows, section)]
    for name in ("r.json", "r.parquet", "r.csv"):
        records = prepare(tmp_path, rows, section | {"source": {"path": str(tmp_path / name)}})
        assert [(r.prompt, r.answer) for r in records] == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"split_thinking": None}, "split_thinking is unknown; "),
        ({"first": True}, "first is True, expected a whole number"),
        ({"first": 0}, "first is 0, expected at least 1"),
        ({"fields": {"prompt": "q"}}, "nothing gives the answer"),
        ({"fields": {"prompt": "q", "answr": "a"}}, "fields names answr, "),
        ({"strip": ["thought"]}, "strip names thought, "),
        ({"split": {"field": "q"}}, "split.delimiter is missing"),
        ({"split": {"field": "q", "pattern": "("}}, "no regular expression"),
        ({"split": {"field": "q", "pattern": "(?P<x>.)"}}, "pattern names ['x']"),
        ({"deduplicate": "fuzzy"}, "expected 'none', 'exact' or 'normalised'"),
        ({"where": {"label": 1}}, "where: no field 'label'"),
        ({"where": {"q": "zzz"}}, "no row of 1 has"),
        (
            {"source": {"hub": "a/b", "revision": "main", "split": "x"}},
            "revision is 'main'",
        ),
        ({"source": {"hub": "a/b", "url": "x"}}, "source.url is unknown; "),
        ({"source": {"path": "nowhere.jsonl"}}, "nowhere.jsonl: no such file"),
        ({"source": {"package": "no-such-package-here", "file": "x.csv"}}, "not installed"),
    ],
)
def test_wrong_sections_are_named(tmp_path: Path, change: dict, words: str) -> None:
    section = {"fields": {"prompt": "q", "answer": "a"}} | change
    with pytest.raises(InputError) as error:
        prepare(tmp_path, [{"q": "x", "a": "y"}], section)
    assert words in str(error.value)


def test_the_command_line_reports_in_one_line_and_imports_no_torch(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "workflow.scripts.data.prepare_records"]
    arguments = ["--dataset", '{"sourc": 1}', "--name", "n", "--out", str(tmp_path / "x")]
    result = subprocess.run([*command, *arguments], capture_output=True, text=True)
    lines = [line for line in result.stderr.splitlines() if not line.startswith("import time:")]
    assert result.returncode == 2
    assert len(lines) == 1 and lines[0].startswith("error: n: source is missing")
    assert not any(word in result.stderr for word in ("| torch", "| datasets", "| pandas"))


def test_the_published_copy_of_safechain_makes_the_same_records_as_the_docs_say(
    root: Path, tmp_path: Path
) -> None:
    """The copy has the first 1,000 harmful rows that parse, and the column `text` more."""
    docs = (root / "docs/paper.md").read_text()
    assert "`UWNSL/SafeChain` is a gated data set" in docs
    example = docs.partition("## SafeChain without access on the hub")[2].partition("```yaml\n")[2]
    entry = yaml.safe_load(example.partition("```")[0])["safechain"]
    assert entry["prepare"]["source"]["hub"] == "TianshengHuang/Small_SafeChain"
    assert most_rows(read_section(Dataset, entry, "safechain")) == 1000
    harmful = [row for row in SAFECHAIN if row["label"] == "vanilla_harmful"][:1000]
    copy = [{**row, "text": "chat"} for row in harmful if "</think>" in row["response"]]
    built = prepare(tmp_path, copy, without_source(entry["prepare"]))
    gated = [
        (record.prompt, record.thinking, record.answer)
        for record in shipped(tmp_path, "careful/safechain", SAFECHAIN)
    ]
    # of the gated set 1,000 that parse are taken, the copy has those of 1,000 that do
    assert [(r.prompt, r.thinking, r.answer) for r in built] == gated[:999]
    upstream = without_source(SETS["paper/safechain"]["prepare"])
    del upstream["where"]
    copied = prepare(tmp_path, copy, upstream)
    original = shipped(tmp_path, "paper/safechain", SAFECHAIN)
    assert [target(r, "paper/safechain") for r in copied] == [
        target(r, "paper/safechain") for r in original
    ]
