"""Several samples of a prompt: how often they differ, and how many an interval needs."""

from __future__ import annotations

from collections.abc import Callable

from workflow.scripts.report.metrics import METRICS, of_samples
from workflow.scripts.report.schema import Report, Stability
from workflow.scripts.report.tables.table import (
    MISSING,
    Table,
    make_table,
    marked_name,
    number,
    points,
)


def stability(report: Report) -> Table:
    """Return a row for each model and benchmark with several samples a prompt."""
    final = [row for row in report["rows"] if row["final"] and row["seed"] == "mean"]
    models = {(row["lrm"], row["role"], row["alignment"]): row for row in final}
    found = report["stability"]
    wanted = number(found[0]["wanted"]) if found else ""

    def metric(name: Callable[[Stability], str]) -> Callable[[Stability], str]:
        def cell(one: Stability) -> str:
            row = models[one["lrm"], one["role"], one["alignment"]]
            return points(row["metrics"].get(f"{name(one)}/{one['benchmark']}"))

        return cell

    def of_k(place: int) -> Callable[[Stability], str]:
        return metric(lambda one: of_samples(METRICS[one["metric"]].kind, one["k"])[place].name)

    return make_table(
        "stability",
        "Several samples of a prompt",
        "Final epoch, mean over training seeds, percent: the mean of k samples a prompt, prompts "
        "with any, with all and with some but not all of k. Width: of the mean's interval in "
        "points, as measured and with any number of samples. Samples needed: a prompt, for a width "
        f"of {wanted} points; a dash where no number is enough, for more prompts are needed.",
        {
            "LRM": lambda one: one["lrm"],
            "Model": marked_name,
            "Benchmark": lambda one: one["benchmark"],
            "Metric": lambda one: METRICS[one["metric"]].title,
            "k": lambda one: str(one["k"]),
            "Mean": metric(lambda one: one["metric"]),
            "Any": of_k(0),
            "All": of_k(1),
            "Differ": of_k(2),
            "Width": lambda one: number(one["width"]),
            "Narrowest": lambda one: number(one["narrowest"]),
            "Samples needed": lambda one: str(one["samples_for_it"] or MISSING),
        },
        found,
        4,
    )
