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
from workflow.scripts.config.dataset import Dataset
from workflow.scripts.config.decoding import Decoding
from workflow.scripts.config.experiment import Benchmark
from workflow.scripts.config.source import ItemSelection, RecordSelection, Source


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
    ("source", "where", "rows"),
    [
        ({"hub": "Idavidrein/gpqa", "config": "gpqa_diamond", "split": "train"}, {}, 198),
        ({"hub": "Idavidrein/gpqa", "config": "gpqa_main", "split": "train"}, {}, 448),
        ({"hub": "walledai/XSTest", "split": "test"}, {"label": "safe"}, 250),
        ({"hub": "walledai/XSTest", "split": "test"}, {"type": "x"}, 450),
        ({"hub": "lab/unknown", "split": "test"}, {}, None),
        ({"path": "mine.jsonl"}, {}, None),
    ],
)
def test_a_section_is_as_large_as_the_part_that_it_takes(
    source: dict[str, str], where: dict[str, str], rows: int | None
) -> None:
    assert known_rows(Source(**source), where) == rows


def test_pinned_rows_come_before_known_ones_but_not_before_a_filter() -> None:
    pinned = {"walledai/XSTest": {"default/test": 460}, "lab/new": {"hard/test": 77}}
    xstest = Source(hub="walledai/XSTest", split="test")
    assert known_rows(xstest, {"label": "safe"}, pinned) == 250
    assert known_rows(xstest, {}, pinned) == 460
    assert known_rows(Source(hub="lab/new", config="hard", split="test"), {}, pinned) == 77


def benchmark(hub: str | None, thinking: int, answer: int) -> Benchmark:
    decoding = Decoding(max_thinking_tokens=thinking, max_answer_tokens=answer, temperature=0.0)
    about = {"kind": "harmful", "decoding": decoding, "scorers": ("ngram",)}
    if hub is None:
        return Benchmark(generated="harmful", **about)
    source = Source(hub=hub, split="test")
    return Benchmark(prepare=ItemSelection(source=source, fields={"prompt": "question"}), **about)


def test_lengths_are_cut_at_the_budgets_and_unknown_ones_take_a_share() -> None:
    aime = "simplescaling/aime24_nofigures"
    assert answer_tokens(benchmark(aime, 5000, 5000), 0.5) == 5500
    for unknown in ("lab/x", None):
        assert answer_tokens(benchmark(unknown, 5000, 5000), 0.3) == 3000
    assert answer_tokens(benchmark(aime, 32_000, 100), 0.5) == 10_100


def test_an_unknown_training_set_is_taken_for_the_longest() -> None:
    def dataset(hub: str) -> Dataset:
        fields = {"prompt": "question", "answer": "answer"}
        return Dataset(
            prepare=RecordSelection(source=Source(hub=hub, split="train"), fields=fields)
        )

    assert record_tokens(dataset("lab/x")) > max(RECORD_TOKENS.values())
    assert record_tokens(dataset("UWNSL/SafeChain")) == 1400
