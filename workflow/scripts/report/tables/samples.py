"""The samples: how long their thinking is, and how they ended."""

from __future__ import annotations

from collections.abc import Callable

from workflow.scripts.report.metrics import THINKING_TOKENS, metric_title
from workflow.scripts.report.schema import Report, TradeoffRow
from workflow.scripts.report.tables.table import (
    MISSING,
    MODEL,
    Table,
    make_table,
    marked_name,
    metric_cell,
)

STATES = ("ok", "truncated", "no_answer", "parse_error", "judge_error", "api_error")


def lengths(report: Report) -> Table:
    """Return the length of thinking and the share of unfinished answers."""
    rows = [row for row in report["rows"] if row["final"] and row["seed"] == "mean"]
    return make_table(
        "lengths",
        "Thinking length and unfinished answers on reasoning",
        "Final epoch, mean over seeds: tokens of thinking; percent of samples whose thinking or "
        "answer was cut, and of those without an answer that could be read.",
        {
            **MODEL,
            metric_title(THINKING_TOKENS): metric_cell(THINKING_TOKENS, 1),
            metric_title("truncated"): metric_cell("truncated"),
            metric_title("unanswered"): metric_cell("unanswered"),
            "n": lambda row: (
                str(row["metrics"][THINKING_TOKENS]["n"])
                if THINKING_TOKENS in row["metrics"]
                else MISSING
            ),
        },
        rows,
        2,
    )


def states(report: Report) -> Table:
    """Return the samples of each state."""
    rows = [row for row in report["rows"] if row["final"] and row["seed"] == "mean"]

    def count(state: str) -> Callable[[tuple[TradeoffRow, str, dict[str, int]]], str]:
        return lambda cell: str(cell[2].get(state, 0))

    return make_table(
        "states",
        "States of the samples",
        "Final epoch, all seeds: samples by state; a failure is counted, never scored as safe.",
        {
            "LRM": lambda cell: cell[0]["lrm"],
            "Model": lambda cell: marked_name(cell[0]),
            "Benchmark/scorer": lambda cell: cell[1],
            **{state: count(state) for state in STATES},
            "n": lambda cell: str(sum(cell[2].values())),
        },
        [(row, *one) for row in rows for one in row["states"].items() if one[1]],
        3,
    )
