"""The record: one training example, the same for generated and for real data sets."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_jsonl, write_jsonl


@dataclass(frozen=True)
class Record:
    """One user turn and one assistant turn, before a chat format renders it.

    Attributes:
        id: Unique within its data set.
        prompt: What the user asks.
        thinking: What the assistant thinks first; None when it answers at once.
        answer: What the assistant says.
        source: Where the example comes from (data set, row).
    """

    id: str
    prompt: str
    thinking: str | None
    answer: str
    source: str


def read_records(path: str | Path) -> list[Record]:
    """Read records from JSON lines.

    Raises:
        InputError: With file and line, for a field that is missing, unknown or of a wrong type, an
            empty prompt or answer, a repeated id, or a file without records.
    """
    fields = set(Record.__dataclass_fields__)
    records: dict[str, Record] = {}
    for number, row in enumerate(read_jsonl(path), 1):
        where = f"{path}: row {number}"
        if set(row) != fields:
            missing, unknown = sorted(fields - set(row)), sorted(set(row) - fields)
            raise InputError(
                f"{where}: missing {missing}, unknown {unknown}; expected {sorted(fields)}"
            )
        for name, value in row.items():
            if not isinstance(value, str) and not (name == "thinking" and value is None):
                raise InputError(f"{where}: {name} is {value!r}, expected text")
        for name in ("id", "prompt", "answer"):
            if not row[name].strip():
                raise InputError(f"{where}: {name} is empty, expected text")
        if row["id"] in records:
            raise InputError(f"{where}: id {row['id']!r} appears twice, expected unique ids")
        records[row["id"]] = Record(**row)
    return list(records.values())


def write_records(path: str | Path, records: list[Record]) -> None:
    write_jsonl(path, map(asdict, records))
