"""Figures with a line for each model or category, and on it a marker for each series."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NotRequired

from workflow.scripts.report.escape import one_line
from workflow.scripts.report.figures.layout import (
    about,
    add_legend,
    add_note,
    draw_bars,
    new_panels,
    say_when_empty,
)
from workflow.scripts.report.figures.points import Limits, Point, percent, sizes
from workflow.scripts.report.figures.style import GRID, neutral_style, shown_names, style_of
from workflow.scripts.report.schema import Report
from workflow.scripts.report.tables.table import model_name


class LinePoint(Point):
    """A number on a line of its model or category."""

    seed: str
    series: str
    value: float
    """In percent or tokens"""
    low: float | None
    high: float | None
    n: int
    n_valid: NotRequired[int]
    category: NotRequired[str]
    benchmark: NotRequired[str]


def draw_dots(
    report: Report, series: Mapping[str, str], x_label: str, limits: tuple[float, float] | None
) -> tuple[Any, list[LinePoint]]:
    """Draw one line per model, in its colour, and on it a marker for each series, with intervals.

    Args:
        report: The report.
        series: {metric: what the legend calls it}.
        x_label: Title of the x axis.
        limits: Its limits, None for automatic.
    """
    points: list[LinePoint] = [
        {
            "lrm": row["lrm"],
            "model": model_name(row),
            "seed": row["seed"],
            "status": row["status"],
            "series": title,
            "value": value[0],
            "low": value[1],
            "high": value[2],
            **sizes(row["metrics"][metric]),
        }
        for row in report["rows"]
        if row["final"] and row["seed"] != "mean_ok"
        for metric, title in series.items()
        if (value := percent(row["metrics"], metric))
    ]
    names, of_model = shown_names(report), style_of(report)
    styles = {title: neutral_style(i) for i, title in enumerate(series.values())}

    def style(point: LinePoint) -> tuple[str, str]:
        color, marker = of_model[point["model"]]
        return color, styles[point["series"]][1] if len(series) > 1 else marker

    rests_on = about(report, list(series))
    return draw_lines(
        report, points, styles, x_label, limits, lambda p: names[p["model"]], rests_on, style
    ), points


def draw_lines(
    report: Report,
    points: Sequence[LinePoint],
    styles: Mapping[str, tuple[str, str]],
    x_label: str,
    limits: tuple[float, float] | None,
    line_of: Callable[[LinePoint], str],
    rests_on: Sequence[str],
    style: Callable[[LinePoint], tuple[str, str]] | None = None,
) -> Any:
    """Draw a line for each `line_of` a point, and on it a marker for each series of `styles`.

    Args:
        report: The report.
        points: What to draw.
        styles: Colour and marker of each series in the legend.
        x_label: Title of the x axis.
        limits: Its limits, None for automatic.
        line_of: The line that a point is on.
        rests_on: The note below the figure.
        style: Colour and marker of a point; default, its series'.
    """
    style_of_point = style or (lambda point: styles[point["series"]])
    lines = list(dict.fromkeys(map(line_of, points)))
    used = [name for name in styles if any(p["series"] == name for p in points)]
    step = 0.72 / max(len(used), 1)
    height = 0.75 + max(0.3, 0.12 * len(used)) * max(len(lines), 1)
    narrow = "\n".join(textwrap.wrap(x_label, 30))  # names of lines may leave half of the width
    figure, found = new_panels(report, height, narrow, sharey=True)
    for axis, lrm, _ in found:
        for index, name in enumerate(used):
            offset = (index - (len(used) - 1) / 2) * step
            mine = [p for p in points if p["lrm"] == lrm and p["series"] == name]
            mean = [p for p in mine if p["seed"] == "mean"]
            for point in (p for p in mine if p["seed"] != "mean"):
                y, color = lines.index(line_of(point)) + offset, style_of_point(point)[0]
                axis.plot(point["value"], y, marker="|", color=color, alpha=0.6, ms=6, linewidth=0)
            for point in mean:
                value: Limits = point["value"], point["low"], point["high"]
                draw_bars(
                    axis,
                    [value],
                    [(lines.index(line_of(point)) + offset, None, None)],
                    style_of_point(point),
                )
            if len(used) > 1 or style is None:
                color, marker = styles[name]
                axis.plot([], [], color=color, marker=marker, markersize=4.5, lw=0, label=name)
        list_lines(axis, lines)
        axis.grid(axis="y", visible=False)
        for edge in range(1, len(lines)):
            axis.axhline(edge - 0.5, color=GRID, linewidth=0.6)
        if limits:
            axis.set_xlim(*limits)
        elif points:
            axis.set_xlim(left=-0.03 * axis.get_xlim()[1])  # whole markers at 0
        say_when_empty(axis, points)
    add_note(figure, rests_on)
    add_legend(figure)
    return figure


def list_lines(axis: Any, lines: Sequence[str]) -> None:
    """Name the lines on the y axis, the first at the top, broken so that the plot has room."""
    spaced = (one_line(line, 80).replace("_", " ").replace(",", ", ") for line in lines)
    axis.set_yticks(range(len(lines)), ["\n".join(textwrap.wrap(line, 24)) for line in spaced])
    axis.set_ylim(max(len(lines), 1) - 0.5, -0.5)
