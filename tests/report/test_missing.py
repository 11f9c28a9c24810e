"""What a partial report says of the scores that it lacks."""

from __future__ import annotations

from typing import Any

from workflow.scripts.config.section import read_section
from workflow.scripts.report.inputs import Inputs
from workflow.scripts.report.missing import describe_missing, say_partial

RUNS = ("lrm/tiny/seed1", "aligned/tiny/a/seed1", "aligned/tiny/b/seed1")
MEASURES = (("sums", "math"), ("harm", "ngram"), ("harm", "gpt"))


def inputs(**missing: list[tuple[str, str, str]]) -> Inputs:
    """Return the inputs of a report that lacks scores: why=[(run, benchmark, scorer)]."""
    lacking = {one: why.replace("_", " ") for why, ones in missing.items() for one in ones}
    every = [(run, *measure) for run in RUNS for measure in MEASURES]
    names = ("run", "benchmark", "scorer")
    experiment: dict[str, Any] = {key: {} for key in ("bases", "lrms", "alignments", "benchmarks")}
    return read_section(
        Inputs,
        {
            "experiment": experiment,
            "scores": [
                {**dict(zip(names, one, strict=True)), "folder": "x"}
                for one in every
                if one not in lacking
            ],
            "missing": [
                {**dict(zip(names, one, strict=True)), "why": why} for one, why in lacking.items()
            ],
        },
        "inputs",
    )


def test_a_whole_report_lacks_nothing() -> None:
    assert describe_missing(inputs()) == [] and say_partial(inputs()) == ""


def test_what_is_missing_is_grouped_by_reason_model_and_judge() -> None:
    last = [(RUNS[2], *measure) for measure in MEASURES]
    some = inputs(
        failed=[(run, "harm", "gpt") for run in RUNS[:2]],
        not_made_yet=last,
    )
    assert describe_missing(some) == [
        "harm by gpt of lrm/tiny/seed1 and aligned/tiny/a/seed1: failed",
        "every score of aligned/tiny/b/seed1: not made yet",
    ]
    assert say_partial(some) == "Partial: made of 4 of 9 scores, the others are missing. "


def test_a_judge_that_failed_for_every_model_is_one_line() -> None:
    assert describe_missing(inputs(failed=[(run, "harm", "gpt") for run in RUNS])) == [
        "harm by gpt of every model: failed"
    ]
