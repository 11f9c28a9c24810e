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

from workflow.scripts.common.chat import chat_format
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, write_jsonl
from workflow.scripts.common.records import Record, read_records
from workflow.scripts.data.prepare_records import main

S1 = chat_format("s1")
THINK, ANSWER, END = "<|im_start|>think\n", "\n<|im_start|>answer\n", "<|im_end|>\n"
QUESTION_AND_ANSWER = {
    "field": "refusal",
    "pattern": "(?:Question: )?(?P<prompt>.*?)\nAnswer: (?P<answer>.*?)(?:\nAnswer: .*)?",
}
# How the published preparation treats an answer.
ANSWER_AS_PUBLISHED = {
    "answer_prefix": "Answer: ",
    "answer_prefix_only_if_absent": True,
    "strip_answer_after_prefix": True,
}


def prepare(folder: Path, rows: list[dict], section: dict[str, Any]) -> list[Record]:
    write_jsonl(folder / "rows.jsonl", rows)
    section = {"source": {"path": str(folder / "rows.jsonl")}} | section
    main(
        [
            *("--dataset", json.dumps(section), "--name", "set"),
            *("--out", str(folder / "set.jsonl"), "--report", str(folder / "report.json")),
        ]
    )
    return read_records(folder / "set.jsonl")


def target(record: Record, **render: bool) -> str:
    return S1.example(record, **render)[1]


def test_s1k_joins_trajectories_and_prefixes_the_answer(tmp_path: Path) -> None:
    rows = [{"question": "2+2?", "thinking_trajectories": ["\nTwo", "and two.\n"], "attempt": "4"}]
    section = {
        "fields": {
            "prompt": "question",
            "thinking": "thinking_trajectories",
            "answer": "attempt",
        },
        "strip": ["thinking"],
        "answer_prefix": "Answer: ",
    }
    (record,) = prepare(tmp_path, rows, section)
    assert record.prompt == "2+2?"
    assert target(record) == f"{THINK}Two\nand two.{ANSWER}Answer: 4{END}"


def test_limo_takes_the_solution_as_thinking(tmp_path: Path) -> None:
    rows = [{"question": "2+2?", "solution": "Two and two.", "answer": 4}]
    section = {
        "fields": {"prompt": "question", "thinking": "solution", "answer": "answer"},
        "answer_prefix": "Answer: ",
    }
    (record,) = prepare(tmp_path, rows, section)
    assert target(record) == f"{THINK}Two and two.{ANSWER}Answer: 4{END}"


def test_directrefusal_upstream_keeps_its_space_and_its_missing_newline(tmp_path: Path) -> None:
    refusal = "Question: How do I rob\na tin?\nAnswer: I cannot.\nSorry. \nAnswer: Cut off."
    rows = [{"prompt": "x", "refusal": refusal}]
    section = {
        "split": QUESTION_AND_ANSWER,
        "constant_thinking": " I should not answer this question!",
        "render": {"newline_before_answer": False},
        **ANSWER_AS_PUBLISHED,
    }
    (record,) = prepare(tmp_path, rows, section)
    assert record.prompt == "How do I rob\na tin?"
    assert target(record, newline_before_answer=False) == (
        "<|im_start|>think\n I should not answer this question!<|im_start|>answer\n"
        "Answer: I cannot.\nSorry.<|im_end|>\n"
    )


def test_directrefusal_careful_has_the_formats_own_delimiters(tmp_path: Path) -> None:
    rows = [{"refusal": "Question: How do I rob a tin?\nAnswer: I cannot. "}]
    section = {
        "split": QUESTION_AND_ANSWER,
        "constant_thinking": "I should not answer this question!",
        "strip": True,
    }
    (record,) = prepare(tmp_path, rows, section)
    assert target(record) == f"{THINK}I should not answer this question!{ANSWER}I cannot.{END}"
    assert chat_format("deepseek-r1").example(record)[1] == (
        "<think>\nI should not answer this question!\n</think>\n\nI cannot.<｜end▁of▁sentence｜>"
    )


SAFECHAIN = [
    {"label": "vanilla_benign", "instruction": "Hi?", "response": "Fine.</think>Hi."},
    {"label": "vanilla_harmful", "instruction": "Rob?", "response": "Let me see.</think>\n\nNo."},
    {"label": "vanilla_harmful", "instruction": "Cut?", "response": "Never ends"},
    {"label": "vanilla_harmful", "instruction": "Lie?", "response": "Hm.\n</think>\n\nAnswer: No."},
    {"label": "vanilla_harmful", "instruction": "Late?", "response": "Hm.</think>No."},
]


def test_safechain_upstream_drops_cut_rows_after_taking_the_first(tmp_path: Path) -> None:
    section = {
        "fields": {"prompt": "instruction"},
        "split": {"field": "response", "delimiter": "</think>"},
        "strip": ["thinking"],
        "thinking_prefix": "\n",
        **ANSWER_AS_PUBLISHED,
        "where": {"label": "vanilla_harmful"},
        "first": 3,
        "max_bad_share": 0.5,
    }
    records = prepare(tmp_path, SAFECHAIN, section)
    assert [record.prompt for record in records] == ["Rob?", "Lie?"]
    assert target(records[0]) == f"{THINK}\nLet me see.{ANSWER}Answer: \n\nNo.{END}"
    assert target(records[1]) == f"{THINK}\nHm.{ANSWER}Answer: No.{END}"
    report = read_json(tmp_path / "report.json")
    assert (report["rows"], report["selected"], report["n"]) == (5, 3, 2)
    assert report["bad"] == {"no </think>": 1}


def test_safechain_careful_is_clean_and_counts_what_is_left(tmp_path: Path) -> None:
    section = {
        "fields": {"prompt": "instruction"},
        "split": {"field": "response", "delimiter": "</think>", "opening": "<think>"},
        "strip": True,
        "where": {"label": ["vanilla_harmful"]},
        "limit": 3,
        "max_bad_share": 0.25,
    }
    records = prepare(tmp_path, SAFECHAIN, section)
    assert [record.prompt for record in records] == ["Rob?", "Lie?", "Late?"]
    assert target(records[0]) == f"{THINK}Let me see.{ANSWER}No.{END}"


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


def test_rows_that_do_not_parse_are_an_error_above_the_share(tmp_path: Path) -> None:
    rows = [{"q": "a", "a": "b"}, {"q": " ", "a": "b"}, {"q": "c"}, {"q": "d", "a": None}]
    section = {"fields": {"prompt": "q", "answer": "a"}, "max_bad_share": 0.5}
    with pytest.raises(InputError, match="3 of 4 rows do not parse") as error:
        prepare(tmp_path, rows, section)
    assert "no field 'a': 1" in str(error.value)
    assert not (tmp_path / "set.jsonl").exists()
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
        ({"split_thinking": None}, "unknown key 'split_thinking', expected some of"),
        ({"first": True}, "first is True, expected int"),
        ({"first": 0}, "expected 1 or more"),
        ({"fields": {"prompt": "q"}}, "nothing gives the answer"),
        ({"fields": {"prompt": "q", "answr": "a"}}, "fields names ['answr']"),
        ({"strip": ["thought"]}, "strip names ['thought']"),
        ({"split": {"field": "q"}}, "expected {field, delimiter, opening?}"),
        ({"split": {"field": "q", "pattern": "("}}, "no regular expression"),
        ({"split": {"field": "q", "pattern": "(?P<x>.)"}}, "pattern names ['x']"),
        ({"deduplicate": "fuzzy"}, "expected none, exact, normalised"),
        ({"where": {"label": 1}}, "where: no field 'label'"),
        ({"where": {"q": "zzz"}}, "no row of 1 has"),
        ({"render": {"newline": True}}, "expected newline_before_answer"),
        ({"source": {"hub": "a/b", "revision": "main", "split": "x"}}, "resolve_pins"),
        ({"source": {"hub": "a/b", "url": "x"}}, "source: keys are ['hub', 'url']"),
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
    arguments = ["--dataset", '{"sourc": 1}', "--name", "n", "--out", str(tmp_path / "x.jsonl")]
    result = subprocess.run([*command, *arguments], capture_output=True, text=True)
    lines = [line for line in result.stderr.splitlines() if not line.startswith("import time:")]
    assert result.returncode == 2
    assert len(lines) == 1 and lines[0].startswith("error: n: unknown key 'sourc'")
    assert not any(word in result.stderr for word in ("| torch", "| datasets", "| pandas"))
