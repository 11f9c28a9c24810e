"""How long the alignments last: aligned models that were tuned on."""

from __future__ import annotations

from collections.abc import Callable

from workflow.scripts.report.metrics import METRICS
from workflow.scripts.report.schema import DurabilityRow, Interval, Report
from workflow.scripts.report.spread import over_both
from workflow.scripts.report.tables.table import (
    MISSING,
    Table,
    make_table,
    marked_name,
    points,
)

SHOWN = ("harmful_score", "harmful_strict", "reasoning_accuracy", "over_refusal")


def durability(report: Report) -> Table:
    """Return harm and accuracy of each attacked alignment by step."""
    rows = [row for row in report["durability"] if row["seed"] == "mean"]
    known = [name for name in SHOWN if any(name in row["metrics"] for row in rows if row["step"])]

    def metric(name: str) -> Callable[[DurabilityRow], str]:
        return lambda row: _points(row["metrics"].get(name))

    def change(name: str) -> Callable[[DurabilityRow], str]:
        return lambda row: _points(row["change"].get(name))

    metrics = {METRICS[name].title: metric(name) for name in known}
    changes = {f"Change: {METRICS[name].title.lower()}": change(name) for name in known}
    return make_table(
        "durability",
        "How long safety lasts",
        "Aligned models that were tuned on for some optimizer steps; they are no methods of their "
        "own. Step 0 is the aligned model. Percent, and points of change against step 0, paired by "
        "item and seed, with 95 % intervals over items, from three seeds on over seeds and items.",
        {
            "LRM": lambda row: row["lrm"],
            "Tuned on": lambda row: row["attack"],
            "Model": marked_name,
            "Step": lambda row: str(row["step"]),
            **metrics,
            **changes,
            "Seeds": lambda row: str(row["n_seeds"]),
        },
        rows,
        3,
    )


def _points(one: Interval | None) -> str:
    return points(over_both(one)) if one else MISSING
