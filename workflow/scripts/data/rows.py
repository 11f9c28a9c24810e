"""From source rows to parsed items: choose rows, parse them, count what does not parse.

The order is fixed: where, shuffle, first (rows), parse, deduplicate, limit (items). `first` counts
rows before bad ones are dropped, as upstream does; `limit` counts what is left.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NotRequired, TypedDict, TypeVar

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.source import Selection
from workflow.scripts.data.folding import fold
from workflow.scripts.data.sources import describe_source, read_rows

Item = TypeVar("Item")


class TaskVersion(TypedDict):
    """Which task of lm-eval a benchmark's items are."""

    name: str
    version: float | str
    num_fewshot: int


class DataReport(TypedDict):
    """The report.json of a training set or benchmark: its source, and what was dropped and why."""

    format: int
    name: str
    source: str
    section: dict[str, Any]  # what of the experiment decides its rows, without defaults
    n: int  # of its rows, in the end
    sha256: NotRequired[str]  # of the file of rows
    rows: NotRequired[int]  # of the source; these are only of a selection of rows
    selected: NotRequired[int]
    bad: NotRequired[dict[str, int]]  # selected rows that do not parse, by reason
    duplicates: NotRequired[int]
    empty_thinking: NotRequired[int]  # of a training set
    refused: NotRequired[int]  # of a task of reasoning-gym: its verifier refused the solution
    task: NotRequired[TaskVersion]  # of a task of lm-eval


DUPLICATES: dict[str, Callable[[str], Any]] = {"exact": str.strip, "normalised": fold}


def find_reader(text: str, readers: Mapping[str, str]) -> str | None:
    """Return the module that reads a section, as JSON, by its key; None for a selection of rows."""
    try:
        keys = set(json.loads(text))
    except (TypeError, ValueError):
        return None
    return next((module for key, module in readers.items() if key in keys), None)


class BadRow(Exception):
    """A row that does not parse; the message is the reason it is counted under."""


def text_of(row: Mapping[str, Any], field: str, join: str = "\n") -> str:
    """Return a field as text; numbers are written out and lists of texts joined.

    Raises:
        BadRow: There is no such field, or no text in it.
    """
    if field not in row:
        raise BadRow(f"no field {field!r}")
    value = row[field]
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return join.join(value)
    if isinstance(value, float) and math.isnan(value):
        value = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise BadRow(f"no text in field {field!r}")
    return value


def strip_parts(parts: dict[str, str], strip: bool | tuple[str, ...]) -> dict[str, str]:
    """Return the parts, stripped of outer whitespace where `strip` says so (true: everywhere)."""
    wanted = set(parts) if strip is True else set(strip or ())
    return {part: text.strip() if part in wanted else text for part, text in parts.items()}


def collect(
    section: Selection,
    name: str,
    parse: Callable[[int, dict[str, Any]], Item],
    prompt_of: Callable[[Item], str],
) -> tuple[list[Item], DataReport]:
    """Return the items of a section and the report of how they came to be.

    Args:
        section: Which rows are taken.
        name: Its name, for messages and the report.
        parse: Turns (row number in the source, row) into an item, or raises `BadRow`.
        prompt_of: The text of an item that tells duplicates.

    Raises:
        InputError: No row is selected, too many rows do not parse, or nothing is left.
    """
    rows = read_rows(section.source)
    chosen = _select(rows, section, name)
    bad: Counter[str] = Counter()
    parsed = []
    for number, row in chosen:
        try:
            parsed.append(parse(number, row))
        except BadRow as reason:
            bad[str(reason)] += 1
    allowed = section.max_bad_share
    if bad.total() > allowed * len(chosen):
        reasons = "; ".join(f"{reason}: {count}" for reason, count in bad.most_common())
        raise InputError(
            f"{name}: {bad.total()} of {len(chosen)} rows do not parse, expected a share of "
            f"max_bad_share = {allowed} at most ({reasons}); fields are {sorted(chosen[0][1])}"
        )
    distinct = _deduplicate(parsed, section.deduplicate, prompt_of)
    items = distinct[: section.limit]
    if not items:
        raise InputError(f"{name}: none of {len(rows)} rows is left, expected at least one")
    report: DataReport = {
        "format": 1,
        "name": name,
        "source": describe_source(section.source),
        "section": section.without_defaults(),
        "rows": len(rows),
        "selected": len(chosen),
        "bad": dict(bad),
        "duplicates": len(parsed) - len(distinct),
        "n": len(items),
    }
    return items, report


def _select(
    rows: list[dict[str, Any]], section: Selection, name: str
) -> list[tuple[int, dict[str, Any]]]:
    numbered = list(enumerate(rows))
    for field, wanted in section.where.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        if not all(field in row for row in rows):
            raise InputError(
                f"{name}: where: no field {field!r} in a row, fields are {sorted(rows[0])}"
            )
        numbered = [(number, row) for number, row in numbered if row[field] in values]
    if not numbered:
        raise InputError(f"{name}: no row of {len(rows)} has {section.where}")
    if section.shuffle_seed is not None:
        random.Random(section.shuffle_seed).shuffle(numbered)
    return numbered[: section.first]


def _deduplicate(items: list[Item], level: str, prompt_of: Callable[[Item], str]) -> list[Item]:
    if level == "none":
        return items
    kept: dict[Any, Item] = {}
    for item in items:
        prompt = prompt_of(item)
        # A prompt without any word folds to nothing and is told by its characters.
        kept.setdefault(DUPLICATES[level](prompt) or prompt, item)
    return list(kept.values())
