"""What a report of an unfinished run lacks, in a few lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workflow.scripts.report.inputs import Inputs, Missing
from workflow.scripts.report.tables.table import join

MOST = 6  # models that a line lists


def describe_missing(inputs: Inputs) -> list[str]:
    """Return a line for each group of missing scores: which, and why.

    Whole models come first, then what single benchmarks and scorers lack.
    """
    asked: dict[str, set[str]] = {}
    there = [(one.run, one.benchmark, one.scorer) for one in inputs.scores]
    lacking = [(one.run, one.benchmark, one.scorer) for one in inputs.missing]
    for run, benchmark, scorer in (*there, *lacking):
        asked.setdefault(run, set()).add(_measure(benchmark, scorer))
    lines = []
    for why in dict.fromkeys(one.why for one in inputs.missing):
        lines += [f"{what}: {why}" for what in _group(_of(inputs.missing, why), asked)]
    return lines


def say_partial(inputs: Inputs) -> str:
    """Return the sentence that a report of an unfinished run begins with; "" for a whole one."""
    if not inputs.missing:
        return ""
    there, asked = len(inputs.scores), len(inputs.scores) + len(inputs.missing)
    return f"Partial: made of {there} of {asked} scores, the others are missing. "


def _group(missing: Sequence[Missing], asked: dict[str, set[str]]) -> Iterable[str]:
    lacks: dict[str, set[str]] = {}
    for one in missing:
        lacks.setdefault(one.run, set()).add(_measure(one.benchmark, one.scorer))
    whole = [run for run, measures in lacks.items() if measures == asked[run]]
    if whole:
        yield f"every score of {_list(whole)}"
    runs: dict[str, list[str]] = {}
    for run, measures in lacks.items():
        for measure in sorted(measures) if run not in whole else ():
            runs.setdefault(measure, []).append(run)
    for measure, some in runs.items():
        every = {run for run, measures in asked.items() if measure in measures}
        yield f"{measure} of {'every model' if set(some) == every else _list(some)}"


def _list(runs: Sequence[str]) -> str:
    more = [f"{len(runs) - MOST} more"] if len(runs) > MOST else []
    return join([*runs[:MOST], *more])


def _measure(benchmark: str, scorer: str) -> str:
    return f"{benchmark} by {scorer}"


def _of(missing: Iterable[Missing], why: str) -> list[Missing]:
    return [one for one in missing if one.why == why]
