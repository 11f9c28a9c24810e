"""Known sizes against the real data sets, as far as they are here."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from workflow.scripts.common.known_sizes import (
    RECORD_TOKENS,
    ROWS,
    answer_tokens,
    known_rows,
    record_tokens,
)


def test_the_rows_of_the_data_sets_that_are_here(shared_data: Path) -> None:
    def lines(name: str) -> int:
        return len((shared_data / name).read_text().strip("\n").split("\n"))

    assert ROWS["simplescaling/aime24_nofigures"] == {"": lines("aime24.jsonl")}
    assert ROWS["HuggingFaceH4/MATH-500"] == {"": lines("math500.jsonl")}
    star = json.loads((shared_data / "star1.json").read_text())
    assert ROWS["UCSC-VLAA/STAR-1"] == {"": len(star)}
    characters = sum(len(row["question"]) + len(row["response"]) for row in star) / len(star)
    assert characters / 4.5 < RECORD_TOKENS["UCSC-VLAA/STAR-1"] < characters / 3
    with open(shared_data / "xstest_prompts.csv", newline="") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    assert ROWS["walledai/XSTest"] == {
        "": len(labels),
        "label=safe": labels.count("safe"),
        "label=unsafe": labels.count("unsafe"),
    }


@pytest.mark.parametrize(
    ("prepare", "rows"),
    [
        ({"source": {"hub": "Idavidrein/gpqa", "config": "gpqa_diamond", "split": "train"}}, 198),
        ({"source": {"hub": "Idavidrein/gpqa", "config": "gpqa_main", "split": "train"}}, 448),
        ({"source": {"hub": "walledai/XSTest", "split": "test"}, "where": {"label": "safe"}}, 250),
        ({"source": {"hub": "walledai/XSTest", "split": "test"}, "where": {"type": "x"}}, 450),
        ({"source": {"hub": "lab/unknown", "split": "test"}}, None),
        ({"source": {"path": "mine.jsonl"}}, None),
    ],
)
def test_a_section_is_as_large_as_the_part_that_it_takes(prepare: dict, rows: int | None) -> None:
    assert known_rows(prepare) == rows


def test_pinned_rows_come_before_known_ones_but_not_before_a_filter() -> None:
    pinned = {"walledai/XSTest": {"default/test": 460}, "lab/new": {"hard/test": 77}}
    safe = {"source": {"hub": "walledai/XSTest", "split": "test"}, "where": {"label": "safe"}}
    assert known_rows(safe, pinned) == 250
    assert known_rows({"source": safe["source"]}, pinned) == 460
    new = {"source": {"hub": "lab/new", "config": "hard", "split": "test"}}
    assert known_rows(new, pinned) == 77


def test_lengths_are_cut_at_the_budgets_and_unknown_ones_take_a_share() -> None:
    aime = {"prepare": {"source": {"hub": "simplescaling/aime24_nofigures"}}}
    decoding = {"max_thinking_tokens": 5000, "max_answer_tokens": 5000}
    assert answer_tokens({**aime, "decoding": decoding}, 0.5) == 5500
    assert answer_tokens({"decoding": decoding}, 0.3) == 3000
    long = {"max_thinking_tokens": 32_000, "max_answer_tokens": 100}
    assert answer_tokens({**aime, "decoding": long}, 0.5) == 10_100


def test_an_unknown_training_set_is_taken_for_the_longest() -> None:
    assert record_tokens({"source": {"hub": "lab/x"}}) > max(RECORD_TOKENS.values())
    assert record_tokens({"source": {"hub": "UWNSL/SafeChain"}}) == 1400
