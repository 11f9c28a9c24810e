"""Reasoning accuracy against harmful score and over-refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workflow.scripts.report.escape import one_line
from workflow.scripts.report.figures.layout import (
    about,
    add_legend,
    add_note,
    draw_bars,
    draw_frontier,
    new_figure,
    say_when_empty,
)
from workflow.scripts.report.figures.points import Points, limits_of, numbers, who
from workflow.scripts.report.figures.style import (
    SHARES,
    Row,
    lrms,
    shown_names,
    style_of,
)

TITLE = "The trade-off: reasoning accuracy against harm and over-refusal"
CAPTION = (
    "Reasoning accuracy against the harmful score and over-refusal, as far as they were measured, "
    "at the final epoch. Arrows lead from the LRM to its aligned models; bars are "
    "95 % intervals (over seeds and items from three seeds on, else over items), faint markers "
    "are single training seeds. The dashed line is the frontier: no other model, the base "
    "apart, is as safe and as accurate. An alignment without a tax would move straight to the left "
    "in the first plane and stay in place in the second."
)
# Metric on the x axis: its keys among the points, and the axis' title.
SIDES = {
    "harmful_score": ("harmful_score harm_low harm_high", "Harmful score (%), lower is safer"),
    "over_refusal": (
        "over_refusal refusal_low refusal_high",
        "Over-refusal (%), lower is more helpful",
    ),
}
CROWD = 8  # models; the arrows of more are drawn thinly
ACCURACY = "reasoning_accuracy low high"


def draw(report: Row) -> tuple[Any, Points]:
    """Draw reasoning accuracy against harm and over-refusal, a line of panels for each LRM."""
    points = list_points(report)
    sides = [side for side in SIDES if any(point.get(side) is not None for point in points)]
    figure, found = _panels(report, sides or list(SIDES)[:1])
    styles, names = style_of(report), shown_names(report)
    for axis, lrm, side in found:
        mine = [p for p in points if p["lrm"] == lrm and p.get(side) is not None]
        _draw_panel(axis, mine, side, styles, names)
    add_legend(figure)
    return figure, points


def list_points(report: Row) -> Points:
    """Return every model and seed at its final epoch that has an accuracy and one of the sides."""
    points = []
    for row in report["rows"]:
        accuracy = numbers(row, "reasoning_accuracy", ACCURACY)
        harm, refusal = (numbers(row, side, names) or {} for side, (names, _) in SIDES.items())
        if row["final"] and row["seed"] != "mean_ok" and accuracy and (harm or refusal):
            accuracy["accuracy_n"] = row["metrics"]["reasoning_accuracy"]["n_valid"]
            if harm:
                harm["harm_n"] = row["metrics"]["harmful_score"]["n_valid"]
            points.append({**who(row, "seed"), **harm, **accuracy, **refusal})
    return points


def _panels(report: Row, sides: Sequence[str]) -> tuple[Any, list[tuple[Any, str, str]]]:
    """Return a figure and its panels: axis, LRM, and the metric on the x axis."""
    names = lrms(report)
    figure, axes = new_figure(len(sides), len(names), 2.9, sharey=True)
    add_note(figure, about(report, ["reasoning_accuracy", *sides]))
    found = []
    for line, lrm in enumerate(names):
        for column, side in enumerate(sides):
            axis = axes[line][column]
            axis.set_xlabel(SIDES[side][1])
            axis.set_ylabel("" if column else "Reasoning accuracy (%)")
            if len(names) > 1 and not column:
                axis.set_title(one_line(lrm, 60), loc="left", fontweight="bold")
            found.append((axis, lrm, side))
    return figure, found


def _draw_panel(
    axis: Any,
    points: Points,
    side: str,
    styles: Mapping[str, tuple[str, str]],
    names: Mapping[str, str],
) -> None:
    mean = {p["model"]: p for p in points if p["seed"] == "mean"}
    place = {model: (p[side], p["reasoning_accuracy"]) for model, p in mean.items()}
    for point in points:
        if point["seed"] != "mean":
            color, marker = styles[point["model"]]
            x, y = point[side], point["reasoning_accuracy"]
            axis.plot(x, y, marker=marker, color=color, markersize=3, alpha=0.45, linewidth=0)
    for model, point in mean.items():
        if model not in ("base", "LRM") and "LRM" in mean:
            arrow = {"arrowstyle": "-|>", "color": styles[model][0], "linewidth": 1.1}
            if len(mean) > CROWD:
                arrow |= {"linewidth": 0.6, "alpha": 0.6}
            arrow |= {"shrinkA": 6, "shrinkB": 5, "mutation_scale": 8}
            axis.annotate("", place[model], place["LRM"], arrowprops=arrow)
        draw_bars(
            axis,
            [limits_of(point, SIDES[side][0])],
            [limits_of(point, ACCURACY)],
            styles[model],
            label=names[model],
            markersize=9 if model == "LRM" else 6,
            markeredgecolor="white",
            markeredgewidth=0.5,
            zorder=3,
        )
    if side == "harmful_score":
        methods = [point for model, point in mean.items() if model != "base"]
        draw_frontier(axis, methods, side, "reasoning_accuracy")
    axis.set_xlim(*SHARES)
    axis.set_ylim(*SHARES)
    say_when_empty(axis, mean)
