"""The alignments against each other."""

from __future__ import annotations

from workflow.scripts.report.metrics import METRICS
from workflow.scripts.report.schema import AlignmentPair, ChangeValue, MarkedModel, Report
from workflow.scripts.report.tables.table import (
    Columns,
    Table,
    interval_over_both,
    make_table,
    marked_name,
    number,
    p_value,
    points,
)


def alignments(report: Report) -> Table:
    """Return the differences of each two alignments."""

    def difference(cell: tuple[AlignmentPair, str, ChangeValue]) -> str:
        names = zip((cell[0]["first"], cell[0]["second"]), cell[0]["status"], strict=True)
        models: list[MarkedModel] = [
            {"role": "aligned", "alignment": name, "status": status} for name, status in names
        ]
        first, second = map(marked_name, models)
        return f"{second} − {first}"

    changes = [(one, *change) for one in report["alignments"] for change in one["change"].items()]
    seeds: Columns[tuple[AlignmentPair, str, ChangeValue]] = {
        "Over seeds and items": lambda cell: interval_over_both(cell[2])
    }
    several = any(change["all_low"] is not None for _, _, change in changes)
    return make_table(
        "alignments",
        "Alignments against each other",
        "Final epoch, paired by item over the seeds that both have; points, p after Holm.",
        {
            "LRM": lambda cell: cell[0]["lrm"],
            "Difference": difference,
            "Metric": lambda cell: METRICS[cell[1]].title,
            "Points": lambda cell: points(cell[2]),
            "SD over seeds": lambda cell: number(cell[2]["seed_sd"]),
            **(seeds if several else {}),
            "p": lambda cell: p_value(cell[2]["p_holm"]),
            "Items": lambda cell: str(cell[2]["n"]),
        },
        changes,
        3,
    )
