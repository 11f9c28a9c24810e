"""The trade-off: at the final epoch, by seed and by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from workflow.scripts.report.metrics import MAIN, METRICS
from workflow.scripts.report.schema import Report, TradeoffRow
from workflow.scripts.report.tables.table import (
    MISSING,
    MODEL,
    Columns,
    Table,
    interval_over_both,
    join,
    make_table,
    metric_cell,
    number,
    p_value,
    points,
    seed_name,
    valid_of_n,
)


def main(report: Report) -> Table:
    """Return the table that the report opens with."""
    rows = [row for row in report["rows"] if row["final"] and row["seed"] == "mean"]
    return _tradeoff(report, rows, "main", "The trade-off", "Final epoch, mean over training seeds")


def without_failed(report: Report) -> Table:
    """Return the same without the seeds whose training failed."""
    rows = [row for row in report["rows"] if row["final"] and row["seed"] == "mean_ok"]
    return _tradeoff(report, rows, "ok", "Without failed seeds", "Final epoch, the other seeds")


def by_seed(report: Report) -> Table:
    """Return a row for each training seed."""
    final = [row for row in report["rows"] if row["final"]]
    rows = [row for row in final if not row["seed"].startswith("mean")]
    return _tradeoff(report, rows, "seeds", "By training seed", "Final epoch", {"Seed": seed_name})


def by_epoch(report: Report) -> Table:
    """Return a row for each epoch of safety training."""
    rows = [row for row in report["rows"] if row["seed"] == "mean"]
    epoch: Columns[TradeoffRow] = {
        "Epoch": lambda row: MISSING if row["epoch"] is None else str(row["epoch"])
    }
    return _tradeoff(report, rows, "epochs", "By safety epoch", "Mean over training seeds", epoch)


def _tradeoff(
    report: Report,
    rows: Sequence[TradeoffRow],
    key: str,
    title: str,
    what: str,
    more: Columns[TradeoffRow] | None = None,
) -> Table:
    taxes = [row["tax"]["points"] for row in rows if row["tax"]]
    seeds_shown = any(one.get("all_low") is not None for one in taxes)
    seeds: Columns[TradeoffRow] = {
        "Over seeds and items": lambda row: interval_over_both(row["tax"].get("points")),
    }
    accuracy = MAIN["reasoning"]

    def sd_over_seeds(row: TradeoffRow) -> str:
        one = row["metrics"].get(accuracy.name)
        return number(one["seed_sd"] if one else None)

    def p_of_change(row: TradeoffRow) -> str:
        one = row["change"].get(accuracy.name)
        return p_value(one["p_holm"] if one else None)

    others = {
        metric.title: metric_cell(metric.name)
        for metric in METRICS.values()
        if metric.shown and metric != accuracy
        if any(metric.name in row["metrics"] for row in rows)
    }
    columns: Columns[TradeoffRow] = {
        **MODEL,
        **(more or {}),
        accuracy.title: metric_cell(accuracy.name),
        "SD over seeds": sd_over_seeds,
        "Safety tax": lambda row: points(row["tax"].get("points")),
        **(seeds if seeds_shown else {}),
        "p": p_of_change,
        **others,
        "Tax per harm point": lambda row: points(row["tax"].get("per_harm_point"), 1, 2),
        "Valid": valid_of_n,
    }
    both = "over seeds and items: its interval for other trainings too; " if seeds_shown else ""
    caption = (
        f"{what}, percent with 95 % intervals over items. Tax: points of reasoning accuracy lost "
        f"against the LRM, paired by item (p after Holm); {both}tax per harm point: points lost "
        "for each point of harmful score removed. Valid: samples with a verdict of all, reasoning, "
        f"harmful, benign.{_mean_of_benchmarks(report)}"
    )
    table = make_table(key, title, caption, columns, rows, 2 + len(more or {}))
    return replace(table, beside=_published(report, rows, table.header))


def _mean_of_benchmarks(report: Report) -> str:
    """Return which of the numbers are means over benchmarks."""
    found = ""
    for kind, metric in MAIN.items():
        names = sorted(name for name, one in report["benchmarks"].items() if one["kind"] == kind)
        if len(names) > 1:
            found += f" {metric.title}: mean of {join(names)}, each by its first scorer."
    return found


def _published(
    report: Report, rows: Sequence[TradeoffRow], header: Sequence[str]
) -> dict[tuple[int, int], str]:
    """Return the published values that belong below a cell of rows over all seeds."""
    found = {}
    for line, row in enumerate(rows):
        for one in report.get("published", []):
            metric = METRICS.get(one["metric"])
            same = all(one[key] == row[key] for key in ("role", "name", "alignment"))
            at = row["final"] if one["epoch"] is None else row["epoch"] == one["epoch"]
            if metric and metric.title in header and same and at and row["seed"] == "mean":
                column = header.index(metric.title)
                found[line, column] = f"published {number(one['published'])}"
    return found
