"""What the alignments took."""

from __future__ import annotations

from workflow.scripts.report.cost import WHOLE
from workflow.scripts.report.schema import Report
from workflow.scripts.report.tables.table import Table, make_table, marked_name, number


def cost(report: Report) -> Table:
    """Return what each alignment took."""
    final = [row for row in report["rows"] if row["final"] and row["seed"] == "mean"]
    rows = [row for row in final if row["role"] == "aligned" and row["cost"]]
    return make_table(
        "cost",
        "What the alignments took",
        "Final epoch, mean over training seeds, without the LRM that all of them start from: "
        "GPU-hours of training (0 on a CPU), thousands of tokens that were trained on, rows of the "
        "training set; whole: with the other aligned models, candidates and sampling that a model "
        "is made from.",
        {
            "LRM": lambda row: row["lrm"],
            "Alignment": marked_name,
            "GPU-hours": lambda row: number(row["cost"]["gpu_hours"], 1, 2),
            "Thousand tokens": lambda row: number(row["cost"]["tokens"], 1 / 1000),
            "Rows": lambda row: number(row["cost"]["rows"], 1, 0),
            "Whole GPU-hours": lambda row: number(row["cost"][f"{WHOLE}gpu_hours"], 1, 2),
            "Whole thousand tokens": lambda row: number(row["cost"][f"{WHOLE}tokens"], 1 / 1000),
        },
        rows,
        2,
    )
