"""Decide whether aligned models may replace what they are compared with: pass, fail or undecided.

Reads the scores that an experiment's report was made from, and the section `gate` of the
experiment as it is now: margins by which a candidate may be worse than a reference (the LRM as it
is, or another alignment). Paired by item and seed. Exit status: 0 all candidates pass, 1 one fails,
2 none fails but one is undecided, 3 an error.

python -m workflow.scripts.report.gate --experiment micro
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn, NotRequired, TypedDict

from workflow.scripts.common.errors import InputError, report
from workflow.scripts.common.io import write_json
from workflow.scripts.config.acceptance import Acceptance, Margin
from workflow.scripts.config.load import load_experiment
from workflow.scripts.report.escape import one_line
from workflow.scripts.report.inputs import FILE, read_inputs
from workflow.scripts.report.metrics import METRICS, Measure, metric_title
from workflow.scripts.report.results import Results
from workflow.scripts.report.schema import Interval
from workflow.scripts.report.status import in_brackets
from workflow.scripts.report.tables.table import number, points

WIDTH = 80  # columns of a terminal
ERROR = 3
STATUS = {"pass": 0, "fail": 1, "undecided": 2}
LRM = "LRM"
EXPLANATION = (
    "Worse by: points against the reference, paired by item and seed, with the 95 % interval "
    "({over}). pass: the interval is below the margin on every measure. fail: it is above the "
    "margin on one, at 5 % over the number of measures. Below an undecided verdict is what would "
    "decide with 80 % power, were the estimate the truth."
)


class MeasureDecision(TypedDict):
    """The verdict on a candidate by one measure."""

    metric: str
    reference: str
    """LRM, or an alignment"""
    margin: float
    """Points that it may be worse by, as a fraction"""
    worse_by: Interval
    items: int
    """Of all benchmarks of the metric"""
    seeds: int
    verdict: str
    """A key of `STATUS`"""
    needed_items: NotRequired[int | None]
    """What would decide an undecided one; None where no number would"""
    needed_seeds: NotRequired[int | None]


class Decision(TypedDict):
    """The verdict on a candidate by all measures."""

    lrm: str
    candidate: str
    verdict: str
    """A key of `STATUS`"""
    status: str
    """Of its training"""
    measures: list[MeasureDecision]


def decide(results: Results, gate: Acceptance) -> list[Decision]:
    """Return each candidate's verdict, and that on each of its measures, by LRM.

    Raises:
        InputError: A candidate or reference was not measured, or shares no seed with the other.
    """
    return [one for lrm in results.experiment["lrms"] for one in _decide_lrm(results, gate, lrm)]


def _decide_lrm(results: Results, gate: Acceptance, lrm: str) -> Iterator[Decision]:
    from workflow.scripts.report.decisions import verdict

    references = {margin.reference for margin in gate.margins.values()}
    listed = results.experiment["alignments"]
    names = gate.candidates or [name for name in listed if name not in references]
    for name in names:
        if name not in listed or lrm not in listed[name].get("lrms", [lrm]):
            continue
        measures = [
            _decide_measure(results, lrm, name, metric, margin, len(gate.margins))
            for metric, margin in gate.margins.items()
        ]
        states = [one["verdict"] for one in measures]
        yield {
            "lrm": lrm,
            "candidate": name,
            "verdict": verdict([s == "pass" for s in states], [s == "fail" for s in states]),
            "status": results.status(
                (model, at)
                for model in results.models("aligned", lrm, name)
                for at in results.checkpoints([model])
            ),
            "measures": measures,
        }


def _decide_measure(
    results: Results, lrm: str, candidate: str, name: str, margin: Margin, measures: int
) -> MeasureDecision:
    from workflow.scripts.report import decisions
    from workflow.scripts.report.contenders import (
        blocks_of,
        improvement,
        list_contenders,
        shared_seeds,
    )

    metric, allowed = METRICS[name], margin.points / 100
    known = {one.name: one for one in list_contenders(results, lrm, [Measure(metric)])}
    pair = []
    for one in (margin.reference or LRM, candidate):
        if one not in known:
            raise InputError(
                f"gate: {one} of {lrm} has no {metric.title.lower()} on every benchmark of kind "
                f"{metric.kind}, expected a finished run"
            )
        pair.append(known[one])
    seeds = shared_seeds(pair)
    if not seeds:
        raise InputError(f"gate: {pair[0].name} and {candidate} of {lrm} share no seed")
    blocks = blocks_of(results, [one.at(seeds) for one in pair], metric)
    better_by = improvement(blocks, metric, 1, 0)
    passed = bool(decisions.is_passed(better_by, allowed))
    failed = bool(decisions.is_failed(better_by, allowed, measures))
    low, high = (float(limit) for limit in better_by.limits())
    found: MeasureDecision = {
        "metric": name,
        "reference": pair[0].name,
        "margin": allowed,
        "worse_by": {
            "estimate": 0.0 - float(better_by.estimate),
            "low": 0.0 - high,
            "high": 0.0 - low,
        },
        "items": sum(better_by.items),
        "seeds": len(seeds),
        "verdict": decisions.verdict([passed], [failed]),
    }
    if found["verdict"] == decisions.UNDECIDED:
        needed = decisions.needed(better_by, allowed, measures)
        found["needed_items"], found["needed_seeds"] = needed.items, needed.seeds
    return found


def overall(found: Sequence[Decision]) -> str:
    """Return the verdict on all candidates together."""
    verdicts = {one["verdict"] for one in found}
    return next(state for state in ("fail", "undecided", "pass") if state in verdicts)


def show(name: str, found: Sequence[Decision]) -> str:
    """Return the table, at most `WIDTH` columns wide, and what its words mean."""
    from tabulate import tabulate

    heads = ["Measure", "Worse by", "Margin", "Verdict"]
    parts = []
    for lrm in dict.fromkeys(one["lrm"] for one in found):
        rows = [(one, m) for one in found if one["lrm"] == lrm for m in one["measures"]]
        cells = [_cells(measure) for _, measure in rows]
        # two blanks between columns
        columns = zip([f"{head}  " for head in heads], *cells, strict=True)
        left = WIDTH - sum(2 + max(map(len, "\n".join(column).split("\n"))) for column in columns)
        table = []
        before = None
        for (one, _), line in zip(rows, cells, strict=True):
            table.append(["" if one is before else _name(one, left), *line])
            before = one
        head = "\n".join(textwrap.wrap(one_line(lrm), left - 2))
        align = ["left", "left", "right", "right", "left"]
        parts.append(tabulate(table, [head, *heads], disable_numparse=True, colalign=align))
    seeds = min(measure["seeds"] for one in found for measure in one["measures"])
    parts.append(textwrap.fill(EXPLANATION.format(over=_over(seeds)), WIDTH))
    counts = ", ".join(f"{sum(one['verdict'] == s for one in found)} {s}" for s in STATUS)
    parts.append(textwrap.fill(f"Gate of {one_line(name)}: {overall(found)} ({counts})", WIDTH))
    return "\n\n".join(parts)


def _over(seeds: int) -> str:
    from workflow.scripts.report.spread import SEEDS_FOR_AN_INTERVAL

    if seeds >= SEEDS_FOR_AN_INTERVAL:
        return "over seeds and items"
    return "over items alone: of too few seeds to speak of other trainings"


def _name(one: Decision, width: int) -> str:
    failed = in_brackets(one["status"])
    lines = textwrap.wrap(one_line(one["candidate"]) + failed, width)
    return "\n".join([*lines, one["verdict"].upper()])


def _cells(measure: MeasureDecision) -> list[str]:
    title = textwrap.wrap(metric_title(measure["metric"]), 18)
    reference = textwrap.wrap(f"than {one_line(measure['reference'], 60)}", 18)
    worse = points(measure["worse_by"]).replace(" (", "\n").removesuffix(")")
    verdict = [measure["verdict"]]
    if "needed_items" in measure:
        verdict += _needed(measure)
    return [
        "\n".join([*title, *reference]),
        worse,
        number(measure["margin"]),
        "\n".join(verdict),
    ]


def _needed(measure: MeasureDecision) -> list[str]:
    items, seeds = measure["needed_items"], measure["needed_seeds"]
    if items is None or seeds is None:
        return ["no n would"]
    lines = [f"{items} items"] if items > measure["items"] else []
    return lines + ([f"{seeds} seeds"] if seeds > measure["seeds"] else [])


class _Parser(argparse.ArgumentParser):
    """Wrong arguments are an error, which is another status than "undecided"."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ERROR, f"error: {message}\n")


def main(argv: list[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = _Parser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--json", type=Path, help="write every number to this file")
    args = parser.parse_args(argv)
    from workflow.scripts.report.verdicts import read_verdicts

    experiment = load_experiment(args.experiment, Path.cwd())
    where = f"experiments/{args.experiment}.yaml"
    if experiment.gate is None:
        raise InputError(f"{where}: no section gate, expected its margins (docs/report.md)")
    file = Path("results") / args.experiment / "report" / FILE
    if not file.exists():
        raise InputError(f"{file}: absent, expected the report of a finished run")
    inputs = read_inputs(file)
    found = decide(Results(inputs.sections, read_verdicts(inputs)), experiment.gate)
    if not found:
        raise InputError(f"{where}: gate: no candidate aligns an LRM of the report")
    if args.json:
        write_json(args.json, found)
    print(show(args.experiment, found))
    return STATUS[overall(found)]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        report(error)
        sys.exit(ERROR)
