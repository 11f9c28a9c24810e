"""How well judges do on held-out answers, and how often two scorers agree."""

from __future__ import annotations

from typing import Any, TypedDict

from workflow.scripts.report.figures.layout import (
    add_legend,
    add_note,
    draw_bars,
    new_figure,
    say_when_empty,
    seeds_of,
    span,
)
from workflow.scripts.report.figures.lines import list_lines
from workflow.scripts.report.figures.points import Limits, scaled
from workflow.scripts.report.figures.style import SHARES, neutral_style
from workflow.scripts.report.schema import Report, SizedInterval
from workflow.scripts.report.tables.judges import judge_tests, judged_name

TITLE = "How reliable the judges are"
CAPTION = (
    "How well the judges do on held-out answers, and how often two scorers of a benchmark "
    "judge a sample the same, with 95 % intervals."
)


class JudgePoint(TypedDict):
    """How often a judge is right, or two scorers agree, in percent."""

    line: str
    series: str
    value: float
    low: float | None
    high: float | None
    n: int


def draw(report: Report) -> tuple[Any, list[JudgePoint]]:
    """Draw how well judges do on held-out answers, and how often two scorers agree, by model."""
    tests: list[tuple[str, str, SizedInterval]] = [
        (f"{name}: {measure}", "held-out answers", one)
        for name, _, measure, one in judge_tests(report)
    ]
    tests += [
        (judged_name(one), f"agreement, {one['benchmark']}: {one['first']}, {one['second']}", one)
        for one in report["agreement"]
    ]
    points: list[JudgePoint] = [
        {
            "line": line,
            "series": series,
            "value": value[0],
            "low": value[1],
            "high": value[2],
            "n": one["n"],
        }
        for line, series, one in tests
        if (value := scaled(one))
    ]
    lines = list(dict.fromkeys(p["line"] for p in points))
    series = list(dict.fromkeys(p["series"] for p in points))
    figure, axis = new_figure(1, 1, 0.8 + 0.3 * max(len(lines), 2))
    for index, name in enumerate(series):
        mine = [p for p in points if p["series"] == name]
        values: list[Limits] = [(p["value"], p["low"], p["high"]) for p in mine]
        offset = (index - (len(series) - 1) / 2) * 0.5 / len(series)
        draw_bars(
            axis[0][0],
            values,
            [(lines.index(p["line"]) + offset, None, None) for p in mine],
            neutral_style(index),
            label=name,
        )
    list_lines(axis[0][0], lines)
    axis[0][0].set_xlim(*SHARES)
    axis[0][0].set_xlabel("Percent")
    say_when_empty(axis[0][0], points)
    sizes = [p["n"] for p in points]
    add_note(figure, [f"n = {span(sizes)} answers or samples", seeds_of(report)] if sizes else [])
    if len(series) > 1:
        add_legend(figure)
    return figure, points
