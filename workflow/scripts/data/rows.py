"""From source rows to parsed items: choose rows, parse them, count what does not parse.

The order is fixed: where, shuffle, first (rows), parse, deduplicate, limit (items). `first` counts
rows before bad ones are dropped, as upstream does; `limit` counts what is left.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from workflow.scripts.common.errors import InputError
from workflow.scripts.data.folding import fold
from workflow.scripts.data.sources import Row, describe_source, read_rows

Item = TypeVar("Item")

# Keys that every section may have, with their types. null stands for the default.
KeyTypes = dict[str, tuple[type, ...]]
SELECTION: KeyTypes = {
    "source": (dict,),
    "fields": (dict,),  # part of the item -> field of the row
    "where": (dict,),  # field -> value, or list of values
    "shuffle_seed": (int,),
    "first": (int,),  # rows kept
    "deduplicate": (str,),  # none, exact or normalised, over prompts
    "limit": (int,),  # items kept
    "max_bad_share": (int, float),  # of the rows kept; default 0
    "join": (str,),  # between the texts of a list
    "strip": (bool, list),  # parts whose outer whitespace is dropped; true stands for all
}
DUPLICATES: dict[str, Callable[[str], Any]] = {"exact": str.strip, "normalised": fold}


class BadRow(Exception):
    """A row that does not parse; the message is the reason it is counted under."""


def check_section(
    section: Any, own_keys: KeyTypes, parts: tuple[str, ...], where: str
) -> dict[str, Any]:
    """Return a section without its nulls after checking its keys and their values.

    Args:
        section: What the experiment says.
        own_keys: The keys that this kind of section has beside `SELECTION`.
        parts: The parts of an item that `fields` and `strip` may name.
        where: The section's name, for messages.

    Raises:
        InputError: Naming the unknown key and the known ones, or the wrong value.
    """
    known = SELECTION | own_keys
    if not isinstance(section, dict):
        raise InputError(f"{where}: expected a JSON object, found {section!r}")
    for key, value in section.items():
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}, expected some of {sorted(known)}")
        # JSON's true and false are no numbers, though Python's are.
        if value is not None and type(value) not in known[key]:
            names = " or ".join(t.__name__ for t in known[key])
            raise InputError(f"{where}: {key} is {value!r}, expected {names}")
    section = {key: value for key, value in section.items() if value is not None}
    if "source" not in section:
        raise InputError(f"{where}: no key source, expected where the rows come from")
    for key in ("fields", "strip"):
        named = section.get(key)
        unknown = set(named) - set(parts) if isinstance(named, dict | list) else set()
        if unknown:
            raise InputError(f"{where}: {key} names {sorted(unknown)}, expected some of {parts}")
    if min(section.get("first", 1), section.get("limit", 1)) < 1:
        raise InputError(f"{where}: first and limit: expected 1 or more")
    duplicates = section.get("deduplicate", "none")
    if duplicates not in {"none", *DUPLICATES}:
        raise InputError(
            f"{where}: deduplicate is {duplicates!r}, expected none, exact, normalised"
        )
    return section


def text_of(row: Row, field: str, join: str = "\n") -> str:
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


def strip_parts(parts: dict[str, str], strip: bool | list[str]) -> dict[str, str]:
    """Return the parts, stripped of outer whitespace where `strip` says so (true: everywhere)."""
    wanted = set(parts) if strip is True else set(strip or ())
    return {part: text.strip() if part in wanted else text for part, text in parts.items()}


def collect(
    section: dict[str, Any],
    name: str,
    parse: Callable[[int, Row], Item],
    prompt_of: Callable[[Item], str],
) -> tuple[list[Item], dict[str, Any]]:
    """Return the items of a section and the report of how they came to be.

    Args:
        section: A checked section.
        name: Its name, for messages and the report.
        parse: Turns (row number in the source, row) into an item, or raises `BadRow`.
        prompt_of: The text of an item that tells duplicates.

    Raises:
        InputError: No row is selected, too many rows do not parse, or nothing is left.
    """
    rows = read_rows(section["source"])
    chosen = _select(rows, section, name)
    bad: Counter[str] = Counter()
    parsed = []
    for number, row in chosen:
        try:
            parsed.append(parse(number, row))
        except BadRow as reason:
            bad[str(reason)] += 1
    allowed = section.get("max_bad_share", 0)
    if bad.total() > allowed * len(chosen):
        reasons = "; ".join(f"{reason}: {count}" for reason, count in bad.most_common())
        raise InputError(
            f"{name}: {bad.total()} of {len(chosen)} rows do not parse, expected a share of "
            f"max_bad_share = {allowed} at most ({reasons}); fields are {sorted(chosen[0][1])}"
        )
    distinct = _deduplicate(parsed, section.get("deduplicate", "none"), prompt_of)
    items = distinct[: section.get("limit")]
    if not items:
        raise InputError(f"{name}: none of {len(rows)} rows is left, expected at least one")
    report = {
        "format": 1,
        "name": name,
        "source": describe_source(section["source"]),
        "section": section,
        "rows": len(rows),
        "selected": len(chosen),
        "bad": dict(bad),
        "duplicates": len(parsed) - len(distinct),
        "n": len(items),
    }
    return items, report


def _select(rows: list[Row], section: dict[str, Any], name: str) -> list[tuple[int, Row]]:
    numbered = list(enumerate(rows))
    for field, wanted in section.get("where", {}).items():
        values = wanted if isinstance(wanted, list) else [wanted]
        if not all(field in row for row in rows):
            raise InputError(
                f"{name}: where: no field {field!r} in a row, fields are {sorted(rows[0])}"
            )
        numbered = [(number, row) for number, row in numbered if row[field] in values]
    if not numbered:
        raise InputError(f"{name}: no row of {len(rows)} has {section.get('where', {})}")
    if "shuffle_seed" in section:
        random.Random(section["shuffle_seed"]).shuffle(numbered)
    return numbered[: section.get("first")]


def _deduplicate(items: list[Item], level: str, prompt_of: Callable[[Item], str]) -> list[Item]:
    if level == "none":
        return items
    kept: dict[Any, Item] = {}
    for item in items:
        prompt = prompt_of(item)
        # A prompt without any word folds to nothing and is told by its characters.
        kept.setdefault(DUPLICATES[level](prompt) or prompt, item)
    return list(kept.values())
