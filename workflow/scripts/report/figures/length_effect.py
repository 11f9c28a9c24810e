"""Accuracy and harm against the length of thinking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflow.scripts.report.figures.layout import add_legend, draw_bars, new_panels, say_when_empty
from workflow.scripts.report.figures.points import Points, limits_of, numbers, sizes, who
from workflow.scripts.report.figures.style import LINE, SHARES, Row, shown_names, style_of
from workflow.scripts.report.metrics import MAIN, THINKING_TOKENS

TITLE = "Reasoning and harm against the length of thinking"
CAPTION = (
    "Reasoning accuracy and harmful score of every model and epoch against the mean length of"
    " its thinking, with 95 % intervals both ways; small markers are earlier epochs, dotted "
    "lines the thinking budgets."
)


def draw(report: Row) -> tuple[Any, Points]:
    """Draw accuracy and harm of every model and epoch against its thinking length.

    A dotted line is the benchmark's thinking budget; the same task under several budgets makes
    several benchmarks, which lie side by side along the axis.
    """
    sides = {"reasoning_accuracy": "Reasoning accuracy (%)", "harmful_score": "Harmful score (%)"}
    decoding = report.get("provenance", {}).get("decoding", {})
    points: Points = []
    for row in (row for row in report["rows"] if row["seed"] == "mean"):
        for name, about in report["benchmarks"].items():
            metric = MAIN[about["kind"]].name
            length = numbers(row, f"{THINKING_TOKENS}/{name}", "tokens tokens_low tokens_high")
            value = numbers(row, f"{metric}/{name}", "percent low high")
            if metric not in sides or length is None or value is None:
                continue
            found = decoding.get(name)
            budget = found.get("max_thinking_tokens") if isinstance(found, Mapping) else None
            about = {"metric": metric, "benchmark": name, "budget": budget or ""}
            about |= sizes(row, f"{metric}/{name}")
            points.append({**who(row, "epoch", "final"), **about, **length, **value})
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
                [limits_of(point, "tokens tokens_low tokens_high")],
                [limits_of(point, "percent low high")],
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
