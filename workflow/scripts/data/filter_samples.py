"""Make a training set of what an LRM wrote itself: of its samples, those that a judge passes.

Reads the samples of an LRM on a training set's prompts and the verdicts of a scorer on them. Writes
records.jsonl (prompt, and the LRM's own thinking and answer), rejected.jsonl (samples that the
judge did not pass, for methods that learn from both; it may be empty) and report.json: how many
samples passed, how many prompts have one, and how many kept the given text. Self-generated data
after ThinkSafe (arXiv 2601.23143), rewriting after DGR (arXiv 2602.02136).

python -m workflow.scripts.data.filter_samples --name own --out own --filter '{"per_prompt": 1}' \
    --samples results/micro/generate/lrm/tiny/seed1/own \
    --verdicts results/micro/score/lrm/tiny/seed1/own/ngram
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict, cast

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import (
    read_json,
    read_jsonl,
    sha256_file,
    write_json,
    write_jsonl,
)
from workflow.scripts.common.records import Record, write_records
from workflow.scripts.common.result import making
from workflow.scripts.config.record_filter import Filter
from workflow.scripts.config.section import parse_section
from workflow.scripts.score.conditions import conditions_of, passed

if TYPE_CHECKING:
    from workflow.scripts.generate.samples import SamplesManifest
    from workflow.scripts.score.score_samples import ScoreSummary
    from workflow.scripts.score.scorer import SampleRow, VerdictRow

# Delimiters of chat formats, which training would read as such.
CONTROL = re.compile(r"<[|｜][^|｜]*[|｜]>|</?think>")
KEY = ("checkpoint", "item_id", "repeat")


class FilterReport(TypedDict):
    """The report.json of a training set that an LRM wrote: how many of its samples passed."""

    format: NotRequired[int]  # these five are added to what `select` counts
    name: NotRequired[str]
    run: NotRequired[str]
    scorer: NotRequired[str]
    sha256: NotRequired[str]  # of records.jsonl
    conditions: dict[str, bool]  # the verdicts' fields that a sample passes with
    prompts: int
    samples: int
    whole: int  # samples that came to their end by themselves
    judged: int  # of these
    passed: int  # of these
    pass_rate: float  # of all samples
    prompts_with_pass: int
    given: int  # prompts that keep the given text
    fallback_rate: float  # their share of all prompts
    own: int  # records that the LRM wrote
    n: int  # records in all
    rejected: int  # records of samples that did not pass


def is_whole(sample: SampleRow) -> bool:
    """Tell whether a sample is a turn that came to its end by itself, without stray delimiters."""
    thought = sample["thinking"] is None or sample["thinking_finish"] == "delimiter"
    ended = sample["state"] == "ok" and sample["answer_finish"] == "stop" and thought
    return ended and not CONTROL.search(f"{sample['thinking'] or ''} {sample['answer']}")


def select(
    samples: Sequence[SampleRow],
    verdicts: Sequence[VerdictRow],
    section: Filter,
    kind: str,
    written_by: str,
) -> tuple[list[Record], list[Record], FilterReport]:
    """Return the records, those of samples that did not pass, and the report.

    Args:
        samples: The LRM's.
        verdicts: The scorer's on them, in the same order.
        section: What is kept.
        kind: Of the prompts.
        written_by: The LRM's run.

    Raises:
        InputError: Samples and verdicts are not of the same turns.
    """
    key_of = itemgetter(*KEY)
    if list(map(key_of, samples)) != list(map(key_of, verdicts)):
        raise InputError("verdicts: not of these samples, expected one for each, in order")
    wanted = conditions_of(section.passes, verdicts[0], kind)
    kept: dict[str, list[Record]] = defaultdict(list)
    rejected: dict[str, list[Record]] = defaultdict(list)
    given: dict[str, Record] = {}
    n_whole = n_judged = n_passed = 0
    for sample, verdict in zip(samples, verdicts, strict=True):
        meta, item = sample["meta"], sample["item_id"]
        given[item] = Record(
            meta["id"], sample["prompt"], meta.get("thinking"), meta["answer"], meta["source"]
        )
        if not is_whole(sample):
            continue
        n_whole += 1
        if (passes := passed(verdict, wanted)) is None:
            continue
        n_judged += 1
        n_passed += passes
        (kept if passes else rejected)[item].append(
            Record(
                f"{meta['id']}-sample{sample['repeat']}",
                sample["prompt"],
                sample["thinking"],
                sample["answer"],
                f"{written_by} on {meta['source']}",
            )
        )
    own = {item: records[: section.per_prompt] for item, records in kept.items()}
    instead = {item: [given[item]] for item in given if section.otherwise == "given"} | own
    records = [record for item in given for record in instead.get(item, [])]
    others = [record for item in given for record in rejected[item][: section.per_prompt]]
    return (
        records,
        others,
        {
            "conditions": wanted,
            "prompts": len(given),
            "samples": len(samples),
            "whole": n_whole,
            "judged": n_judged,
            "passed": n_passed,
            "pass_rate": n_passed / len(samples),
            "prompts_with_pass": len(own),
            "given": len(instead) - len(own),
            "fallback_rate": (len(instead) - len(own)) / len(given),
            "own": sum(map(len, own.values())),
            "n": len(records),
            "rejected": len(others),
        },
    )


def make_records(
    samples: Path, verdicts: Path, section: Filter, name: str
) -> tuple[list[Record], list[Record], FilterReport]:
    """Return what `select` returns of two folders.

    Raises:
        InputError: Fewer records than `min_records` are the LRM's own.
    """
    manifest: SamplesManifest = read_json(samples / "manifest.json")
    score: ScoreSummary = read_json(verdicts / "score.json")
    records, rejected, report = select(
        [cast("SampleRow", row) for row in read_jsonl(samples / "samples.jsonl")],
        [cast("VerdictRow", row) for row in read_jsonl(verdicts / "verdicts.jsonl")],
        section,
        manifest["kind"],
        manifest["run"],
    )
    if report["own"] < section.min_records:
        raise InputError(
            f"{name}: {score['scorer']} passed {report['passed']} of {report['samples']} samples "
            f"of {manifest['run']} ({report['whole']} came to their end), which makes "
            f"{report['own']} records; expected at least min_records, {section.min_records}: "
            "more samples, another ask, or another judge"
        )
    report["format"], report["name"] = 1, name
    report["run"], report["scorer"] = manifest["run"], score["scorer"]
    return records, rejected, report


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--samples", type=Path, required=True, help="a generate folder")
    parser.add_argument("--verdicts", type=Path, required=True, help="a score folder on it")
    parser.add_argument("--filter", required=True, help="what is kept, as JSON, see Filter")
    parser.add_argument("--name", required=True, help="the training set's name")
    parser.add_argument("--out", type=Path, required=True, help="folder of the three files")
    parser.add_argument("--result", type=json.loads, help="what it is made from, as JSON")
    args = parser.parse_args(argv)
    section = parse_section(Filter, args.filter, args.name)
    with making(args.out, args.result):
        records, rejected, report = make_records(args.samples, args.verdicts, section, args.name)
        file = args.out / "records.jsonl"
        write_records(file, records)
        write_jsonl(args.out / "rejected.jsonl", map(vars, rejected))
        write_json(args.out / "report.json", report | {"sha256": sha256_file(file)})


if __name__ == "__main__":
    run(main)
