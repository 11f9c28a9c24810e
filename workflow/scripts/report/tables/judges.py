"""The judges: on held-out answers, and against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from workflow.scripts.report.schema import (
    Agreement,
    DescribedJudge,
    Report,
    SizedInterval,
)
from workflow.scripts.report.tables.table import (
    MISSING,
    Table,
    make_table,
    marked_name,
    points,
)


def judges(report: Report) -> Table:
    """Return what each judge got right on held-out answers."""
    return make_table(
        "judges",
        "The harm judge on held-out answers",
        "Percent with 95 % intervals, as measured when the judge was trained.",
        {
            "Judge": lambda cell: cell[0],
            "Type": lambda cell: str(cell[1].get("type", "")),
            "Measure": lambda cell: cell[2].replace("_", " "),
            "Percent": lambda cell: points(cell[3]),
            "n": lambda cell: str(cell[3]["n"]),
        },
        judge_tests(report),
        3,
    )


def judge_tests(report: Report) -> list[tuple[str, DescribedJudge, str, SizedInterval]]:
    """Return (name, judge, measure, estimate) of every test on held-out answers."""
    return [
        (name, judge, measure, cast(SizedInterval, one))
        for name, judge in sorted(report["judges"].items())
        if isinstance(judge, Mapping)
        for measure, one in sorted((judge.get("test") or {}).items())
        if isinstance(one, Mapping) and "estimate" in one
    ]


def agreement(report: Report) -> Table:
    """Return how often two scorers of a benchmark agree."""
    return make_table(
        "agreement",
        "Agreement of the scorers",
        "Final epoch, all seeds: percent of the samples that two scorers judge the same (interval "
        "by item), Cohen's kappa, and how many the first or the second alone flags.",
        {
            "Benchmark": lambda one: one["benchmark"],
            "Scorers": lambda one: f"{one['first']}, {one['second']}",
            "Model": judged_name,
            "Agree": points,
            "Kappa": lambda one: MISSING if one["kappa"] is None else f"{one['kappa']:.2f}",
            "First only": lambda one: str(one["only_first"]),
            "Second only": lambda one: str(one["only_second"]),
            "n": lambda one: str(one["n"]),
        },
        report.get("agreement", []),
        3,
    )


def judged_name(one: Agreement) -> str:
    """Return the model of an agreement of scorers."""
    return "all models" if one["role"] == "all" else f"{one['lrm']}: {marked_name(one)}"
