"""Make the records of one training set from its section of the experiment.

Reads a pinned hub data set, a local file or a package's file, maps its fields, tells thinking from
answer, and writes records.jsonl and report.json, which says what was dropped and why; or draws from
a task of reasoning-gym.

python -m workflow.scripts.data.prepare_records --name star1 --out star1 \
    --dataset '{"source": {"path": "star1.json"},
    "fields": {"id": "id", "prompt": "question"}, "strip": true,
    "split": {"field": "response", "delimiter": "</think>", "opening": "<think>"}}'
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from workflow.scripts.common.codehash import PACKAGE
from workflow.scripts.common.errors import run
from workflow.scripts.common.io import sha256_file, write_json
from workflow.scripts.common.records import Record, write_records
from workflow.scripts.common.result import making
from workflow.scripts.config.section import parse_section
from workflow.scripts.config.source import DelimiterSplit, PatternSplit, RecordSelection
from workflow.scripts.data.rows import (
    BadRow,
    DataReport,
    collect,
    find_reader,
    strip_parts,
    text_of,
)
from workflow.scripts.data.sources import describe_source

# Other sources by their key: loaded by name, no part of the code of other training sets.
READERS = {"reasoning_gym": "data.gym_records"}


def split_text(text: str, split: DelimiterSplit | PatternSplit) -> dict[str, str]:
    """Tell the parts of a text: at the first delimiter, or by a pattern over the whole text.

    Raises:
        BadRow: There is no delimiter, or the pattern does not match.
    """
    if isinstance(split, PatternSplit):
        match = re.fullmatch(split.pattern, text, flags=re.DOTALL)
        if match is None:
            raise BadRow("pattern does not match")
        return {part: value or "" for part, value in match.groupdict().items()}
    thinking, delimiter, answer = text.partition(split.delimiter)
    if not delimiter:
        raise BadRow(f"no {split.delimiter}")
    if split.opening and thinking.lstrip().startswith(split.opening):
        thinking = thinking.lstrip().removeprefix(split.opening)
    return {"thinking": thinking, "answer": answer}


def parse_row(row: dict[str, Any], section: RecordSelection) -> tuple[str, str | None, str]:
    """Return (prompt, thinking, answer) of a row; `BadRow` gives the reason where there is none."""
    join = section.join
    fields = {part: field for part, field in section.fields.items() if part != "id"}
    parts = {part: text_of(row, field, join) for part, field in fields.items()}
    if section.split:
        parts |= split_text(text_of(row, section.split.field, join), section.split)
    unstripped = parts["answer"]
    parts = strip_parts(parts, section.strip)
    for part in ("prompt", "answer"):
        if not parts[part].strip():
            raise BadRow(f"empty {part}")
    thinking = parts.get("thinking", section.constant_thinking)
    if thinking is not None:
        thinking = section.thinking_prefix + thinking
    strip_last, prefix = section.strip_answer_after_prefix, section.answer_prefix
    answer = unstripped if strip_last else parts["answer"]
    if not (section.answer_prefix_only_if_absent and prefix.strip() in answer):
        answer = prefix + answer
    return parts["prompt"], thinking, answer.strip() if strip_last else answer


def prepare_records(section: RecordSelection, name: str) -> tuple[list[Record], DataReport]:
    """Return the records of a section and the report on them."""
    id_field = section.fields.get("id")
    source = describe_source(section.source)

    def parse(number: int, row: dict[str, Any]) -> Record:
        prompt, thinking, answer = parse_row(row, section)
        record_id = text_of(row, id_field) if id_field else f"{name}-{number}"
        return Record(record_id, prompt, thinking, answer, f"{source} row {number}")

    records, report = collect(section, name, parse, lambda record: record.prompt)
    seen: set[str] = set()
    for index, record in enumerate(records):
        if record.id in seen:  # published ids do repeat; the row number tells them apart
            row = record.source.rpartition(" ")[2]
            records[index] = replace(record, id=f"{record.id}-row{row}")
        seen.add(records[index].id)
    report["empty_thinking"] = sum(
        r.thinking is not None and not r.thinking.strip() for r in records
    )
    return records, report


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", required=True, help="the training set's section, as JSON")
    parser.add_argument("--name", required=True, help="the training set's name")
    parser.add_argument("--out", type=Path, required=True, help="folder of the two files")
    parser.add_argument("--result", type=json.loads, help="what it is made from, as JSON")
    args = parser.parse_args(argv)
    reader = find_reader(args.dataset, READERS)
    with making(args.out, args.result):
        if reader:
            read_records = import_module(f"{PACKAGE}{reader}").read_records
            records, report = read_records(args.dataset, args.name)
        else:
            section = parse_section(RecordSelection, args.dataset, args.name)
            records, report = prepare_records(section, args.name)
        file = args.out / "records.jsonl"
        write_records(file, records)
        write_json(args.out / "report.json", report | {"sha256": sha256_file(file)})


if __name__ == "__main__":
    run(main)
