"""Accuracy and harm against the length of thinking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflow.scripts.report.figures.layout import add_legend, draw_bars, new_panels, say_when_empty
from workflow.scripts.report.figures.points import (
    Percent,
    Point,
    Samples,
    as_percent,
    limits_of,
    percent,
    sizes,
)
from workflow.scripts.report.figures.style import LINE, SHARES, shown_names, style_of
from workflow.scripts.report.metrics import MAIN, THINKING_TOKENS
from workflow.scripts.report.schema import Report
from workflow.scripts.report.tables.table import model_name

TITLE = "Reasoning and harm against the length of thinking"
CAPTION = (
    "Reasoning accuracy and harmful score of every model and epoch against the mean length of"
    " its thinking, with 95 % intervals both ways; small markers are earlier epochs, dotted "
    "lines the thinking budgets."
)


class LengthPoint(Point, Percent, Samples):
    """A model's accuracy or harm on a benchmark, and the length of its thinking there."""

    epoch: int | None
    final: bool
    metric: str
    benchmark: str
    budget: int | None
    """Most tokens of thinking"""
    tokens: float
    tokens_low: float | None
    tokens_high: float | None


def draw(report: Report) -> tuple[Any, list[LengthPoint]]:
    """Draw accuracy and harm of every model and epoch against its thinking length.

    A dotted line is the benchmark's thinking budget; the same task under several budgets makes
    several benchmarks, which lie side by side along the axis.
    """
    sides = {"reasoning_accuracy": "Reasoning accuracy (%)", "harmful_score": "Harmful score (%)"}
    decoding = report.get("provenance", {}).get("decoding", {})
    points: list[LengthPoint] = []
    for row in (row for row in report["rows"] if row["seed"] == "mean"):
        for name, about in report["benchmarks"].items():
            metric = MAIN[about["kind"]].name
            length = percent(row["metrics"], f"{THINKING_TOKENS}/{name}")
            value = percent(row["metrics"], f"{metric}/{name}")
            if metric not in sides or length is None or value is None:
                continue
            drawn = decoding.get(name)
            budget = drawn.get("max_thinking_tokens") if isinstance(drawn, Mapping) else None
            points.append(
                {
                    "lrm": row["lrm"],
                    "model": model_name(row),
                    "epoch": row["epoch"],
                    "final": row["final"],
                    "status": row["status"],
                    "metric": metric,
                    "benchmark": name,
                    "budget": budget or None,
                    **sizes(row["metrics"][f"{metric}/{name}"]),
                    "tokens": length[0],
                    "tokens_low": length[1],
                    "tokens_high": length[2],
                    **as_percent(value),
                }
            )
    styles, names = style_of(report), shown_names(report)
    figure, found = new_panels(
        report,
        2.2,
        "Thinking (tokens)",
        sides.values(),
        note=[f"{metric}/{name}" for name in report["benchmarks"] for metric in sides],
    )
    for axis, lrm, line in found:
        mine = [p for p in points if p["lrm"] == lrm and p["metric"] == list(sides)[line]]
        for point in mine:
            last, model = point["final"], point["model"]
            draw_bars(
                axis,
                [(point["tokens"], point["tokens_low"], point["tokens_high"])],
                [limits_of(point)],
                styles[model],
                label=names[model] if last else None,
                markersize=(9 if model == "LRM" else 5.5) if last else 3,
                alpha=1 if last else 0.45,
                elinewidth=0.8 if last else 0.4,
            )
        longest = max((p["tokens_high"] or p["tokens"] for p in mine), default=0)
        for budget in sorted({p["budget"] for p in mine if p["budget"]}):
            # A budget far beyond every length would squeeze the points into a corner.
            if budget <= 4 * longest:
                axis.axvline(budget, color=LINE, linestyle=":", linewidth=1)
        axis.set_ylim(*SHARES)
        axis.set_xlim(left=min([-0.03 * longest, *(p["tokens_low"] or 0.0 for p in mine)]))
        say_when_empty(axis, mine)
    add_legend(figure)
    return figure, points
