"""Figures with a line for each model or category, and on it a marker for each series."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workflow.scripts.report.escape import one_line
from workflow.scripts.report.figures.layout import (
    about,
    add_legend,
    add_note,
    draw_bars,
    new_panels,
    say_when_empty,
)
from workflow.scripts.report.figures.points import Points, limits_of, numbers, sizes, who
from workflow.scripts.report.figures.style import Row, series_style, shown_names


def draw_dots(
    report: Row, series: Mapping[str, str], x_label: str, limits: tuple[float, float] | None
) -> tuple[Any, Points]:
    """Draw one line per model and one marker per series, with intervals and faint seeds.

    Args:
        report: The report.
        series: {metric: what the legend calls it}.
        x_label: Title of the x axis.
        limits: Its limits, None for automatic.
    """
    points = [
        {**who(row, "seed"), "series": title, **value, **sizes(row, metric)}
        for row in report["rows"]
        if row["final"] and row["seed"] != "mean_ok"
        for metric, title in series.items()
        if (value := numbers(row, metric, "value low high"))
    ]
    names = shown_names(report)
    styles = {title: series_style(i) for i, title in enumerate(series.values())}
    rests_on = about(report, list(series))
    return draw_lines(
        report, points, styles, x_label, limits, lambda p: names[p["model"]], rests_on
    ), points


def draw_lines(
    report: Row,
    points: Sequence[Row],
    styles: Mapping[str, tuple[str, str]],
    x_label: str,
    limits: tuple[float, float] | None,
    line_of: Callable[[Row], str],
    rests_on: Sequence[str],
) -> Any:
    """Draw a line for each `line_of` a point, and on it a marker for each series of `styles`."""
    lines = list(dict.fromkeys(map(line_of, points)))
    used = [name for name in styles if any(p["series"] == name for p in points)]
    step = 0.72 / max(len(used), 1)
    height = 0.75 + max(0.3, 0.12 * len(used)) * max(len(lines), 1)
    figure, found = new_panels(report, height, x_label, sharey=True)
    for axis, lrm, _ in found:
        for index, name in enumerate(used):
            offset = (index - (len(used) - 1) / 2) * step
            mine = [p for p in points if p["lrm"] == lrm and p["series"] == name]
            mean = [p for p in mine if p["seed"] == "mean"]
            for point in (p for p in mine if p["seed"] != "mean"):
                y, color = lines.index(line_of(point)) + offset, styles[name][0]
                axis.plot(point["value"], y, marker="|", color=color, alpha=0.6, ms=6, linewidth=0)
            if mean:
                draw_bars(
                    axis,
                    [limits_of(p, "value low high") for p in mean],
                    [(lines.index(line_of(p)) + offset, None, None) for p in mean],
                    styles[name],
                    label=name,
                )
        list_lines(axis, lines)
        axis.grid(axis="y", visible=False)
        for edge in range(1, len(lines)):
            axis.axhline(edge - 0.5, color="#e6e6e6", linewidth=0.6)
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
