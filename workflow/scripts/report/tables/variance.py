"""Training seeds apart from items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from workflow.scripts.report.metrics import COMPARED
from workflow.scripts.report.schema import ChangeValue, MetricValue, Report, TradeoffRow
from workflow.scripts.report.spread import over_both
from workflow.scripts.report.tables.table import Table, make_table, marked_name, number, points


def variance(report: Report) -> Table:
    """Return what of each interval comes from training."""
    rows = [row for row in report["rows"] if row["final"] and row["seed"] == "mean"]
    cells = [(row, *one) for row in rows for one in _numbers(row)]
    return make_table(
        "variance",
        "Training seeds apart from items",
        "Final epoch. Over items: other prompts, the same trainings. Over both: other prompts and "
        "other trainings, from the crossed analysis of variance of seeds and items; from three "
        "seeds on. Share: percent of that variance that comes from training.",
        {
            "LRM": lambda cell: cell[0]["lrm"],
            "Model": lambda cell: marked_name(cell[0]),
            "Metric": lambda cell: cell[1],
            "Over items": lambda cell: points(cell[2]),
            "SD over seeds": lambda cell: number(cell[2]["seed_sd"]),
            "Over both": lambda cell: points(over_both(cell[2])),
            "Share of seeds": lambda cell: number(cell[2]["seed_share"], 100, 0),
            "Seeds": lambda cell: str(cell[0]["n_seeds"]),
        },
        cells,
        3,
    )


def _numbers(row: TradeoffRow) -> Iterator[tuple[str, MetricValue | ChangeValue]]:
    """Yield the numbers that have an interval over seeds and items, and what they are called."""
    sections: tuple[Mapping[str, MetricValue | ChangeValue], ...] = row["metrics"], row["change"]
    for what, numbers in zip(("", "change of "), sections, strict=True):
        for name, metric in COMPARED.items():
            if (one := numbers.get(name)) and one.get("all_low") is not None:
                yield f"{what}{metric.title}", one
