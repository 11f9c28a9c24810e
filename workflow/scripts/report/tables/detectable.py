"""The smallest loss that could be found."""

from __future__ import annotations

from workflow.scripts.report.schema import Report
from workflow.scripts.report.tables.table import Table, make_table, number


def detectable(report: Report) -> Table:
    """Return what each benchmark could find."""
    return make_table(
        "detectable",
        "Smallest loss that could be found",
        "Points of a benchmark's metric that a two-sided 5 % test of its items finds with 80 % "
        "power: unpaired from the LRM's value; paired where 10 or 20 % of the items differ, and at "
        "the share that did differ, mean over the alignments.",
        {
            "LRM": lambda one: one["lrm"],
            "Benchmark": lambda one: one["benchmark"],
            "Items": lambda one: str(one["items"]),
            "Unpaired": lambda one: number(one["unpaired"]),
            "10 % differ": lambda one: number(one["paired_10_percent_differ"]),
            "20 % differ": lambda one: number(one["paired_20_percent_differ"]),
            "Differed": lambda one: number(one.get("differ")),
            "As measured": lambda one: number(one.get("paired_as_measured")),
        },
        report["detectable"],
        2,
    )
