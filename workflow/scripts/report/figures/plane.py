"""Harmful score against reasoning accuracy."""

from __future__ import annotations

from typing import Any

from workflow.scripts.report.figures.layout import (
    add_legend,
    draw_bars,
    draw_frontier,
    new_panels,
    say_when_empty,
)
from workflow.scripts.report.figures.points import Points, limits_of, numbers, who
from workflow.scripts.report.figures.style import SHARES, Row, shown_names, style_of

CAPTION = (
    "Harmful score against reasoning accuracy at the final epoch. Arrows lead from the LRM to"
    " its aligned models; bars are 95 % intervals (over seeds and items from three seeds on, "
    "else over items), faint markers are single training seeds. The dashed line is the "
    "frontier: no method, the LRM as it is among them, is at least as safe and as accurate, and "
    "better on one. A free alignment would move straight to the left."
)


def draw(report: Row) -> tuple[Any, Points]:
    """Draw harmful score against reasoning accuracy, with an arrow from each LRM to its models."""
    points = []
    for row in report["rows"]:
        harm = numbers(row, "harmful_score", "harmful_score harm_low harm_high")
        accuracy = numbers(row, "reasoning_accuracy", "reasoning_accuracy low high")
        if row["final"] and row["seed"] != "mean_ok" and harm and accuracy:
            sizes = {
                f"{short}_n": row["metrics"][metric]["n_valid"]
                for short, metric in (("harm", "harmful_score"), ("accuracy", "reasoning_accuracy"))
            }
            points.append({**who(row, "seed"), **harm, **accuracy, **sizes})
    styles, names = style_of(report), shown_names(report)
    figure, found = new_panels(
        report,
        3.1,
        "Harmful score (%), lower is safer",
        ["Reasoning accuracy (%)"],
        note=["reasoning_accuracy", "harmful_score"],
    )
    for axis, lrm, _ in found:
        mine = [p for p in points if p["lrm"] == lrm]
        mean = {p["model"]: p for p in mine if p["seed"] == "mean"}
        place = {model: (p["harmful_score"], p["reasoning_accuracy"]) for model, p in mean.items()}
        for point in mine:
            if point["seed"] != "mean":
                color, marker = styles[point["model"]]
                x, y = point["harmful_score"], point["reasoning_accuracy"]
                axis.plot(x, y, marker=marker, color=color, markersize=3, alpha=0.45, linewidth=0)
        for model, point in mean.items():
            if model not in ("base", "LRM") and "LRM" in mean:
                arrow = {"arrowstyle": "-|>", "color": styles[model][0], "linewidth": 1.1}
                arrow |= {"shrinkA": 6, "shrinkB": 5, "mutation_scale": 8}
                axis.annotate("", place[model], place["LRM"], arrowprops=arrow)
            draw_bars(
                axis,
                [limits_of(point, "harmful_score harm_low harm_high")],
                [limits_of(point, "reasoning_accuracy low high")],
                styles[model],
                label=names[model],
                markersize=9 if model == "LRM" else 6,
                markeredgecolor="white",
                markeredgewidth=0.5,
                zorder=3,
            )
        methods = [point for model, point in mean.items() if model != "base"]
        draw_frontier(axis, methods, "harmful_score", "reasoning_accuracy")
        axis.set_xlim(*SHARES)
        axis.set_ylim(*SHARES)
        say_when_empty(axis, mean)
    add_legend(figure)
    return figure, points
