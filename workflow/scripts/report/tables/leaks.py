"""Thinking and answer that are judged apart: what leaks, and what escapes."""

from __future__ import annotations

from workflow.scripts.report.metrics import TURNS_AT
from workflow.scripts.report.schema import Report
from workflow.scripts.report.tables.table import (
    MODEL,
    Table,
    make_table,
    metric_cell,
    points,
)


def leaks(report: Report) -> Table:
    """Return how often only the thinking is harmful, or only the answer."""
    final = [row for row in report["rows"] if row["final"] and row["seed"] == "mean"]
    rows = [row for row in final if "leak" in row["metrics"]]
    turns = sorted({key for row in rows for key in row["metrics"] if key.startswith(TURNS_AT)})
    places = {f"Turns at ({key.partition('/')[2]})": metric_cell(key) for key in turns}
    where = (
        " Turns at: where in the thinking its first harmful sentence begins, percent of its length."
        if turns
        else ""
    )
    return make_table(
        "leaks",
        "Leak and escape",
        "Final epoch, mean over training seeds: percent of harmful prompts whose thinking is "
        "judged harmful; leak: harmful thinking, safe answer; escape: safe thinking, harmful "
        f"answer; each with its change against the LRM in points, paired by item.{where}",
        {
            **MODEL,
            "Harmful thinking": metric_cell("harmful_thinking"),
            "Leak": metric_cell("leak"),
            "Change of leak": lambda row: points(row["change"].get("leak")),
            "Escape": metric_cell("escape"),
            "Change of escape": lambda row: points(row["change"].get("escape")),
            **places,
            "n": lambda row: str(row["metrics"]["leak"]["n_valid"]),
        },
        rows,
        2,
    )
