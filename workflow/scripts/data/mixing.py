"""Mixing training sets: how many rows each gives, which, and in what order."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.records import Record
from workflow.scripts.config.source import Part


def count_part(part: Part, size: int, first: int) -> int:
    """Return how many rows of a set a mixture asks for.

    Args:
        part: The set.
        size: How many rows it has.
        first: How many rows the mixture's first set gives.
    """
    if part.ratio is not None:
        return math.floor(part.ratio * first + 0.5)
    return part.n or size


def check_part(part: Part, size: int, n: int, where: str) -> None:
    """Raise `InputError` unless a set of `size` rows can give `n`, and more than none.

    Args:
        part: The set.
        size: How many rows it has, at most.
        n: How many are asked for.
        where: What the error calls the mixture.
    """
    if not 1 <= n <= size:
        asked = "" if part.ratio is None else f" by ratio {part.ratio:g}"
        raise InputError(f"{where}: {n} rows of {part.set}{asked}, expected 1 to {size}")


def draw_rows(size: int, n: int, seed: int, name: str) -> list[int]:
    """Return which rows of a set are taken, in the order of the set.

    They depend on the set's own name and size alone, and a larger `n` takes the same and more.
    """
    rows = list(range(size))
    random.Random(f"{seed}/rows/{name}").shuffle(rows)
    return sorted(rows[:n])


def mix_records(sets: dict[str, list[Record]], counts: Sequence[int], seed: int) -> list[Record]:
    """Return the records of a mixture.

    Each set's rows stay in their order, and the sets take turns in an order that is drawn. Ids and
    sources tell the set and the row, counted from 0.

    Args:
        sets: Records by the name of their set.
        counts: How many each set gives.
        seed: Draws rows and turns.
    """
    chosen = {
        name: iter([(row, records[row]) for row in draw_rows(len(records), n, seed, name)])
        for (name, records), n in zip(sets.items(), counts, strict=True)
    }
    turns = [name for name, n in zip(sets, counts, strict=True) for _ in range(n)]
    random.Random(f"{seed}/turns").shuffle(turns)
    mixed = []
    for name in turns:
        row, record = next(chosen[name])
        source = f"{name} row {row}: {record.source}"
        mixed.append(replace(record, id=f"{name}/{record.id}", source=source))
    return mixed
