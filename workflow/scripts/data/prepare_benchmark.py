"""Make the items of one benchmark from its section of the experiment.

Reads a pinned hub data set, a local file, a package's file, a task of lm-eval or one of
reasoning-gym, and writes items.jsonl, lines `{"item_id", "prompt", "target", "category"}`, so that
every benchmark reaches generation alike, and report.json, which says what was dropped and why. For
a task of lm-eval there is also rows.jsonl, lines `{"item_id", "doc"}`: the task's own rows, by
which its answers are scored.

python -m workflow.scripts.data.prepare_benchmark --name gsm8k --out gsm8k \
    --benchmark '{"source": {"path": "gsm8k_test.jsonl"}, "target_after": "####",
    "fields": {"prompt": "question", "target": "answer"}}'
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypedDict

from workflow.scripts.common.codehash import PACKAGE
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import sha256_file, write_json, write_jsonl
from workflow.scripts.common.result import making
from workflow.scripts.config.section import parse_section
from workflow.scripts.config.source import LETTERS, ItemSelection
from workflow.scripts.data.rows import (
    BadRow,
    DataReport,
    collect,
    find_reader,
    strip_parts,
    text_of,
)
from workflow.scripts.score.registry import read_scorer
from workflow.scripts.score.scorer import ScorerSection

# Other sources by their key: loaded by name, no part of the code of other benchmarks.
READERS = {"task": "data.task_items", "reasoning_gym": "data.gym_items"}


class BenchmarkItem(TypedDict):
    """A row of items.jsonl: a question of a benchmark, whatever its source."""

    item_id: str
    prompt: str
    target: str  # the gold answer, or what a harmful prompt asks for; empty where there is none
    category: str  # empty where there is none


def add_choices(
    question: str, options: list[str], rng: random.Random | None = None
) -> tuple[str, str]:
    """Return (question with its choices as `A) …` lines, letter of the correct one).

    Args:
        question: The question.
        options: The correct option first.
        rng: Draws the order. None orders by a hash of question and option, so that an item's
            order depends on nothing else.
    """
    order = list(range(len(options)))
    if rng is None:
        order.sort(key=lambda i: hashlib.sha256(f"{question}\n{options[i]}".encode()).digest())
    else:
        rng.shuffle(order)
    lines = [f"{LETTERS[place]}) {options[i]}" for place, i in enumerate(order)]
    return question + "\n\n" + "\n".join(lines), LETTERS[order.index(0)]


def prepare_benchmark(section: ItemSelection, name: str) -> tuple[list[BenchmarkItem], DataReport]:
    """Return the items of a section and the report on them.

    Args:
        section: Which rows, and what of them.
        name: The benchmark's name.
    """
    fields, join = section.fields, section.join
    choices, mark = section.choices, section.target_after
    rng = random.Random(choices.seed) if choices and choices.order == "seed" else None

    def parse(number: int, row: dict[str, Any]) -> BenchmarkItem:
        parts = {part: text_of(row, field, join) for part, field in fields.items()}
        parts = strip_parts(parts, section.strip)
        item: BenchmarkItem = {
            "item_id": parts.get("item_id", f"{name}-{number}"),
            "prompt": parts["prompt"],
            "target": parts.get("target", ""),
            "category": parts.get("category", ""),
        }
        if mark is not None:
            _, found, target = item["target"].rpartition(mark)
            if not found or not target.strip():
                raise BadRow(f"no target after {mark!r}")
            item["target"] = target.strip()
        if choices is not None:
            options = [text_of(row, f).strip() for f in (choices.correct, *choices.incorrect)]
            item["prompt"], item["target"] = add_choices(item["prompt"], options, rng)
        return item

    return collect(section, name, parse, lambda item: item["prompt"])


def check_items(
    items: Sequence[BenchmarkItem], name: str, scorers: Sequence[ScorerSection]
) -> None:
    """Make sure that items can be asked and scored.

    Args:
        items: The items.
        name: The benchmark's name.
        scorers: Those scorers of its answers that have to read every item's target.

    Raises:
        InputError: Two items of one id, or a target that a scorer cannot read.
    """
    seen: set[str] = set()
    for item in items:
        if item["item_id"] in seen:
            raise InputError(
                f"{name}: item_id {item['item_id']!r} appears twice, expected unique ids"
            )
        seen.add(item["item_id"])
        for scorer in scorers:
            if expected := scorer.target_error(item["target"]):
                raise InputError(
                    f"{name}: item {item['item_id']}: target is {item['target']!r:.40}, {expected}"
                )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--benchmark", required=True, help="the benchmark's section, as JSON")
    parser.add_argument("--name", required=True, help="the benchmark's name")
    parser.add_argument("--scorers", default="[]", help="scorers that read the targets, as JSON")
    parser.add_argument("--out", type=Path, required=True, help="folder of the two files")
    parser.add_argument("--result", type=json.loads, help="what it is made from, as JSON")
    args = parser.parse_args(argv)
    scorers = [read_scorer(one, "--scorers") for one in json.loads(args.scorers)]
    file, reader = args.out / "items.jsonl", find_reader(args.benchmark, READERS)
    with making(args.out, args.result):
        if reader:
            read_items = import_module(f"{PACKAGE}{reader}").read_items
            items, rows, report = read_items(args.benchmark, args.name)
            if rows:
                write_jsonl(args.out / "rows.jsonl", rows)
        else:
            section = parse_section(ItemSelection, args.benchmark, args.name)
            items, report = prepare_benchmark(section, args.name)
        check_items(items, args.name, scorers)
        write_jsonl(file, items)
        write_json(args.out / "report.json", report | {"sha256": sha256_file(file)})


if __name__ == "__main__":
    run(main)
