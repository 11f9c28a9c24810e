"""The metrics by benchmark."""

from __future__ import annotations

from workflow.scripts.report.metrics import (
    METRICS,
    TURNS_AT,
    is_length,
    is_of_samples,
    metric_title,
)
from workflow.scripts.report.schema import MetricValue, Report, TradeoffRow
from workflow.scripts.report.tables.table import (
    Columns,
    Table,
    make_table,
    marked_name,
    points,
)


def by_benchmark(report: Report) -> Table:
    """Return every metric on every benchmark."""
    rows = [row for row in report["rows"] if row["final"] and row["seed"] == "mean"]
    keys = sorted({key for row in rows for key in row["metrics"] if _is_measure(key)})
    kinds = [one["kind"] for one in report["benchmarks"].values()]
    if len(set(kinds)) == len(kinds):  # the main table has the others, and that of leaks
        shown = [metric.name for metric in METRICS.values() if metric.shown or metric.compared]
        keys = [key for key in keys if "@" in key or key.partition("/")[0] not in shown]
    columns: Columns[tuple[TradeoffRow, str, MetricValue]] = {
        "LRM": lambda cell: cell[0]["lrm"],
        "Model": lambda cell: marked_name(cell[0]),
        "Benchmark": lambda cell: cell[1].partition("/")[2],
        "Metric": lambda cell: metric_title(cell[1].partition("/")[0]),
        "Percent": lambda cell: points(cell[2]),
        "Valid": lambda cell: f"{cell[2]['n_valid']}/{cell[2]['n']}",
    }
    return make_table(
        "benchmarks",
        "By benchmark",
        "Final epoch, mean over training seeds, percent"
        + ("; @ names a benchmark's further scorer." if any("@" in key for key in keys) else "."),
        columns,
        [(row, key, one) for row in rows for key in keys if (one := row["metrics"].get(key))],
        4,
    )


def _is_measure(key: str) -> bool:
    """Tell whether a key is a metric on a benchmark that no other table shows."""
    metric = METRICS.get(key.partition("/")[0])
    elsewhere = (
        is_length(key)
        or is_of_samples(key)
        or key.startswith(TURNS_AT)
        or (metric and metric.states)
    )
    return "/" in key and not elsewhere
