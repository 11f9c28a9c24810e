"""Harm and accuracy of aligned models that are tuned on, by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workflow.scripts.report.escape import one_line
from workflow.scripts.report.figures.layout import (
    about,
    add_legend,
    add_note,
    new_figure,
    say_when_empty,
)
from workflow.scripts.report.figures.points import (
    Percent,
    Point,
    Samples,
    as_percent,
    band,
    percent,
    sizes,
)
from workflow.scripts.report.figures.style import SHARES, shown_names, style_of
from workflow.scripts.report.schema import DurabilityRow, Report
from workflow.scripts.report.tables.table import model_name

TITLE = "Durability: safety after further training"
CAPTION = (
    "Aligned models that are tuned on for some optimizer steps: harmful score and reasoning "
    "accuracy by step, 0 being the aligned model. Lines are means over training seeds with their "
    "95 % intervals (over seeds and items from three seeds on, else over items); dotted is the LRM "
    "before alignment."
)
METRICS = {"harmful_score": "Harmful score (%)", "reasoning_accuracy": "Reasoning accuracy (%)"}


class DurabilityPoint(Point, Percent, Samples):
    """A metric of an attacked model at a step."""

    attack: str
    seed: str
    step: int | None
    metric: str


def draw(report: Report) -> tuple[Any, list[DurabilityPoint]]:
    """Draw harm and accuracy by step, a column per LRM and attack, a line per method."""
    points = [point for row in report["durability"] for point in _points(row)]
    columns = list(dict.fromkeys((p["lrm"], p["attack"]) for p in points)) or [("", "")]
    figure, axes = new_figure(len(columns), len(METRICS), 2.05)
    styles, names = style_of(report), shown_names(report)
    for column, (lrm, attack) in enumerate(columns):
        for line, (metric, title) in enumerate(METRICS.items()):
            axis = axes[line][column]
            mine = [
                p
                for p in points
                if (p["lrm"], p["attack"], p["metric"], p["seed"]) == (lrm, attack, metric, "mean")
            ]
            for model in dict.fromkeys(p["model"] for p in mine):
                chosen = [p for p in mine if p["model"] == model]
                _draw_line(axis, chosen, styles[model], names[model])
            _draw_start(axis, report, lrm, metric)
            axis.set_ylabel("" if column else title)
            axis.set_ylim(*SHARES)
            axis.set_xticks(sorted({p["step"] for p in mine if p["step"] is not None}))
            if line == len(METRICS) - 1:
                axis.set_xlabel("Optimizer steps (0 = aligned)")
            if not line and attack:
                axis.set_title(one_line(f"{lrm}, tuned on: {attack}", 60))
            say_when_empty(axis, mine)
    if points:
        add_note(figure, about(report, list(METRICS)))
    add_legend(figure)
    return figure, points


def _points(row: DurabilityRow) -> list[DurabilityPoint]:
    found: list[DurabilityPoint] = []
    for metric in METRICS:
        if value := percent(row["metrics"], metric):
            found.append(
                {
                    "lrm": row["lrm"],
                    "attack": row["attack"],
                    "seed": row["seed"],
                    "step": row["step"],
                    "status": row["status"],
                    "model": model_name(row),
                    "metric": metric,
                    **as_percent(value),
                    **sizes(row["metrics"][metric]),
                }
            )
    return found


def _draw_line(
    axis: Any, points: Sequence[DurabilityPoint], style: tuple[str, str], name: str
) -> None:
    color, marker = style
    steps, values = [p["step"] for p in points], [p["percent"] for p in points]
    low, high = band(points)
    axis.fill_between(steps, low, high, color=color, alpha=0.14, linewidth=0)
    axis.plot(steps, values, color=color, marker=marker, markersize=4.5, lw=1.6, label=name)


def _draw_start(axis: Any, report: Report, lrm: str, metric: str) -> None:
    """Draw the LRM's own value as a dotted line."""
    for row in report["rows"]:
        if (row["lrm"], row["role"], row["seed"]) == (lrm, "lrm", "mean"):
            if value := percent(row["metrics"], metric):
                axis.axhline(value[0], color="#777777", linestyle=":", linewidth=1)
