"""A benchmark's items, as generation asks them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_jsonl, sha256_file
from workflow.scripts.config.ask import fill
from workflow.scripts.config.generation import PROMPT, PromptFile
from workflow.scripts.config.kinds import KINDS
from workflow.scripts.config.prompting import NOTHING_TOLD, Prompting
from workflow.scripts.config.section import Name, Section, read_section

# The fields of a row that are no further facts of the item.
NO_META = ("item_id", "prompt", "target", "category")


@dataclass(frozen=True)
class Item:
    """One question of a benchmark.

    Attributes:
        asked: What is asked in place of the prompt; empty: the prompt.
    """

    item_id: str
    prompt: str
    target: str
    category: str
    meta: dict[str, Any] = field(default_factory=dict)
    asked: str = ""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark with its items.

    Attributes:
        section: What decides its samples.
        data_sha256: Of the data file.
    """

    section: PromptFile
    data_sha256: str
    items: list[Item]


class ModelRun(Section):
    """A model run whose samples are generated."""

    name: str
    """Its name, for the manifest"""
    model: Path
    """Its manifest.json"""
    checkpoints: tuple[str, ...] = ()
    """Those that are asked; none means the final one"""
    base: Path | None = None
    """Of a run that keeps adapters: the manifest.json of the model that they were trained on"""


class Request(Section):
    """One benchmark that is asked of a run."""

    name: Name
    """As the experiment calls it"""
    prompting: Prompting = NOTHING_TOLD
    """What is written into its prompts beside the question"""
    section: PromptFile
    """What decides its samples"""
    out: Path
    """The folder of the result"""
    result: dict[str, Any] | None = None
    """What the result is made from, see common/result.py; null when called by hand"""
    run: ModelRun | None = None
    """Another run than the one that the command names"""


def read_requests(text: str) -> list[Request]:
    """Return the benchmarks of a JSON list.

    Raises:
        InputError: It is no list of benchmarks, or two have the same name.
    """
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise InputError(f"--benchmarks: not JSON ({error})") from None
    if not isinstance(entries, list):
        raise InputError(f"--benchmarks: {type(entries).__name__}, expected a list")
    requests = [
        read_section(Request, entry, f"--benchmarks: entry {number}")
        for number, entry in enumerate(entries, 1)
    ]
    asked = [(request.run and request.run.name, request.name) for request in requests]
    if twice := [name for run, name in asked if asked.count((run, name)) > 1]:
        raise InputError(f"--benchmarks: {twice[0]!r} is there twice, expected each name once")
    return requests


def load_benchmark(section: PromptFile) -> Benchmark:
    """Load a benchmark's items.

    Raises:
        InputError: For a missing, empty or invalid data file, a row without a prompt, one of a
            reasoning benchmark without a target, or two of the same id.
    """
    items: dict[str, Item] = {}
    for number, row in enumerate(list(read_jsonl(section.data)), 1):
        if number <= section.skip:
            continue
        item = _read_item(row, section, number)
        if item.item_id in items:
            raise InputError(f"{section.data}: row {number}: id {item.item_id!r} appears twice")
        items[item.item_id] = item
        if len(items) == section.n:
            break
    if not items:
        skipped = f" after the first {section.skip}" if section.skip else ""
        raise InputError(f"{section.data}: no items{skipped}, expected at least one")
    return Benchmark(section, sha256_file(section.data), list(items.values()))


def _read_item(row: dict[str, Any], section: PromptFile, number: int) -> Item:
    prompt, target = row.get("prompt"), row.get("target")
    text = "" if target is None else str(target)
    if not isinstance(prompt, str) or not prompt.strip():
        raise InputError(f"{section.data}: row {number} has no prompt, expected text")
    if KINDS[section.kind].has_target and section.task is None and not text.strip():
        raise InputError(f"{section.data}: row {number} has no target, expected a gold answer")
    category = row.get("category")
    return Item(
        str(row.get("item_id", number - 1)),
        section.template.replace(PROMPT, prompt),
        text,
        category if isinstance(category, str) else "",
        {key: value for key, value in row.items() if key not in NO_META and value is not None},
        fill(section.ask, row) if section.ask else "",
    )
