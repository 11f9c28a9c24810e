"""Our values beside published ones."""

from __future__ import annotations

from workflow.scripts.report.metrics import metric_title
from workflow.scripts.report.schema import Report
from workflow.scripts.report.status import in_brackets
from workflow.scripts.report.tables.table import MISSING, Table, make_table, number, points


def published(report: Report) -> Table:
    """Return a row for each published value."""
    words = {True: "yes", False: "no", None: MISSING}
    return make_table(
        "published",
        "Beside the publication",
        "Ours: over seeds and items from three seeds on. Compatible: the interval of "
        "ours − published (independent samples) holds 0; without a published n, our interval holds "
        "the published value.",
        {
            "Model": lambda one: (
                one["model"]
                + ("" if one["epoch"] is None else f" epoch {one['epoch']}")
                + in_brackets(one["status"])
            ),
            "Metric": lambda one: metric_title(one["metric"]),
            "Source": lambda one: one["source"] or MISSING,
            "Published": lambda one: number(one["published"]),
            "Published n": lambda one: str(one["published_n"] or MISSING),
            "Ours": lambda one: points(one["ours"]),
            "Ours − published": lambda one: points(one["difference"]),
            "Compatible": lambda one: words[one["compatible"]],
        },
        report["published"],
        3,
    )
