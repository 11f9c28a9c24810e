"""Make the records of one training set from its section of the experiment.

Reads a pinned hub data set, a local file or a package's file, maps its fields, tells thinking from
answer, and writes records (JSON lines) and a report of what was dropped and why.

python -m workflow.scripts.data.prepare_records --name star1 --out star1.jsonl \
    --report star1.report.json --dataset '{"source": {"path": "star1.json"},
    "fields": {"id": "id", "prompt": "question"}, "strip": true,
    "split": {"field": "response", "delimiter": "</think>", "opening": "<think>"}}'
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import sha256_file, write_json
from workflow.scripts.common.records import Record, write_records
from workflow.scripts.data.rows import (
    BadRow,
    KeyTypes,
    check_section,
    collect,
    strip_parts,
    text_of,
)
from workflow.scripts.data.sources import Row, describe_source

PARTS = ("prompt", "thinking", "answer")
KEYS: KeyTypes = {
    "split": (dict,),  # {field, delimiter, opening?} or {field, pattern with named groups}
    "constant_thinking": (str,),  # the thinking of every record, as it stands
    "thinking_prefix": (str,),  # set before the thinking, after stripping
    "answer_prefix": (str,),  # set before the answer
    "answer_prefix_only_if_absent": (bool,),  # not where the answer holds it already
    # Upstream strips an answer after it got its prefix, so that blank lines stay in between.
    "strip_answer_after_prefix": (bool,),
    "render": (dict,),  # for the trainer: how a chat format writes these records
}
SPLITS = ({"field", "delimiter"}, {"field", "delimiter", "opening"}, {"field", "pattern"})


def check_dataset(section: Any, name: str) -> dict[str, Any]:
    """Return the section of a training set after checking it; `InputError` names what is wrong."""
    section = check_section(section, KEYS, ("id", *PARTS), name)
    fields, split = section.get("fields", {}), section.get("split")
    parts = {part for part in fields if part != "id"}
    if split is not None:
        if set(split) not in SPLITS or not all(isinstance(v, str) for v in split.values()):
            known = "{field, delimiter, opening?} or {field, pattern}"
            raise InputError(f"{name}: split is {split}, expected {known} with texts")
        parts |= {"thinking", "answer"} if "delimiter" in split else _groups(split, name)
    if "constant_thinking" in section:
        if "thinking" in parts:
            raise InputError(f"{name}: thinking is given twice, by constant_thinking and a field")
        parts.add("thinking")
    for part in ("prompt", "answer"):
        if part not in parts:
            raise InputError(f"{name}: nothing gives the {part}, expected it in fields or split")
    render = section.get("render", {})
    if set(render) - {"newline_before_answer"}:
        raise InputError(
            f"{name}: render: keys are {sorted(render)}, expected newline_before_answer"
        )
    return section


def _groups(split: dict[str, str], name: str) -> set[str]:
    try:
        groups = set(re.compile(split["pattern"]).groupindex)
    except re.error as error:
        raise InputError(f"{name}: split: pattern is no regular expression ({error})") from None
    if not groups or groups - set(PARTS):
        raise InputError(f"{name}: split: pattern names {sorted(groups)}, expected some of {PARTS}")
    return groups


def split_text(text: str, split: dict[str, str]) -> dict[str, str]:
    """Tell the parts of a text: at the first delimiter, or by a pattern over the whole text.

    Raises:
        BadRow: There is no delimiter, or the pattern does not match.
    """
    if "pattern" in split:
        match = re.fullmatch(split["pattern"], text, flags=re.DOTALL)
        if match is None:
            raise BadRow("pattern does not match")
        return {part: value or "" for part, value in match.groupdict().items()}
    thinking, delimiter, answer = text.partition(split["delimiter"])
    if not delimiter:
        raise BadRow(f"no {split['delimiter']}")
    opening = split.get("opening", "")
    if opening and thinking.lstrip().startswith(opening):
        thinking = thinking.lstrip().removeprefix(opening)
    return {"thinking": thinking, "answer": answer}


def parse_row(row: Row, section: dict[str, Any]) -> tuple[str, str | None, str]:
    """Return (prompt, thinking, answer) of a row; `BadRow` gives the reason where there is none."""
    join = section.get("join", "\n")
    fields = {part: f for part, f in section.get("fields", {}).items() if part != "id"}
    parts = {part: text_of(row, field, join) for part, field in fields.items()}
    if "split" in section:
        parts |= split_text(text_of(row, section["split"]["field"], join), section["split"])
    unstripped = parts["answer"]
    parts = strip_parts(parts, section.get("strip", False))
    for part in ("prompt", "answer"):
        if not parts[part].strip():
            raise BadRow(f"empty {part}")
    thinking = parts.get("thinking", section.get("constant_thinking"))
    if thinking is not None:
        thinking = section.get("thinking_prefix", "") + thinking
    strip_last = section.get("strip_answer_after_prefix", False)
    answer, prefix = unstripped if strip_last else parts["answer"], section.get("answer_prefix", "")
    if not (section.get("answer_prefix_only_if_absent") and prefix.strip() in answer):
        answer = prefix + answer
    return parts["prompt"], thinking, answer.strip() if strip_last else answer


def prepare_records(section: dict[str, Any], name: str) -> tuple[list[Record], dict[str, Any]]:
    """Return the records of a checked section and the report on them."""
    id_field = section.get("fields", {}).get("id")
    source = describe_source(section["source"])

    def parse(number: int, row: Row) -> Record:
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
    parser.add_argument("--out", type=Path, required=True, help="records, JSON lines")
    parser.add_argument("--report", type=Path, help="what was dropped and why, JSON")
    args = parser.parse_args(argv)
    try:
        section = json.loads(args.dataset)
    except ValueError as error:
        raise InputError(f"--dataset: not JSON ({error})") from None
    records, report = prepare_records(check_dataset(section, args.name), args.name)
    write_records(args.out, records)
    if args.report:
        write_json(args.report, report | {"sha256": sha256_file(args.out)})


if __name__ == "__main__":
    run(main)
