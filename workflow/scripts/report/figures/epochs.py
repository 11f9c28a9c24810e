"""Accuracy, harm and over-refusal over the epochs of safety training."""

from __future__ import annotations

from typing import Any

from workflow.scripts.report.figures.layout import add_legend, new_panels, say_when_empty
from workflow.scripts.report.figures.points import (
    Percent,
    Point,
    Samples,
    as_percent,
    band,
    percent,
    sizes,
)
from workflow.scripts.report.figures.style import (
    SHARES,
    lrms,
    shown_names,
    stroke_of,
    style_of,
)
from workflow.scripts.report.schema import Report
from workflow.scripts.report.tables.table import model_name

TITLE = "Reasoning, harm and over-refusal over the epochs of safety training"
CAPTION = (
    "Reasoning accuracy, harmful score and over-refusal (as far as they were measured) over the "
    "epochs of safety training; epoch 0 is the LRM. Thick lines are means over training seeds with "
    "their 95 % intervals (over seeds and items from three seeds on, else over items), thin lines "
    "are single seeds; with more than four alignments there are the lines of the means alone."
)
METRICS = {
    "reasoning_accuracy": "Reasoning accuracy (%)",
    "harmful_score": "Harmful score (%)",
    "over_refusal": "Over-refusal (%)",
}
FEW = 4  # alignments whose bands and single seeds can still be told apart
USUAL = 2  # panels that are there even where nothing was measured


class CurvePoint(Point, Percent, Samples):
    """A metric at an epoch of a curve."""

    seed: str
    epoch: int
    """0 is the LRM"""
    alignment: str | None
    """Whose curve it is on"""
    metric: str


def draw(report: Report) -> tuple[Any, list[CurvePoint]]:
    """Draw accuracy, harm and over-refusal over safety epochs, a column per LRM."""
    points = [point for metric in METRICS for point in curves(report, metric)]
    measured = {point["metric"] for point in points}
    metrics = [m for k, m in enumerate(METRICS) if k < USUAL or m in measured]
    styles, names = style_of(report), shown_names(report)
    few = len(styles) - 2 <= FEW
    titles = [METRICS[metric] for metric in metrics]
    figure, found = new_panels(
        report, 1.9, "Safety epochs (0 = LRM)", titles, sharex=True, note=metrics
    )
    for axis, lrm, line in found:
        chosen = [p for p in points if p["lrm"] == lrm and p["metric"] == metrics[line]]
        for index, alignment in enumerate(a for a in styles if a not in ("base", "LRM")):
            color, marker = styles[alignment]
            stroke = stroke_of(index)
            mine = [p for p in chosen if p["alignment"] == alignment]
            for seed in dict.fromkeys(p["seed"] for p in mine):
                one = sorted((p for p in mine if p["seed"] == seed), key=lambda p: p["epoch"])
                x, y = [p["epoch"] for p in one], [p["percent"] for p in one]
                if seed != "mean":
                    if len(one) > 1 and few:
                        axis.plot(x, y, color=color, ls=stroke, linewidth=0.6, alpha=0.55)
                    continue
                if few:
                    axis.fill_between(x, *band(one), color=color, alpha=0.14, linewidth=0)
                label = names[alignment]
                line_style = {"color": color, "ls": stroke, "lw": 1.5}
                axis.plot(x, y, marker=marker, markersize=4.5, label=label, **line_style)
        axis.set_ylim(*SHARES)
        axis.set_yticks(range(0, 101, 25))
        axis.set_xticks(sorted({p["epoch"] for p in points}))
        say_when_empty(axis, chosen)
    add_legend(figure)
    return figure, points


def curves(report: Report, metric: str) -> list[CurvePoint]:
    """Return the points of a metric over safety epochs, the LRM being epoch 0 of each alignment."""
    found: list[CurvePoint] = []
    for lrm in lrms(report):
        rows = [row for row in report["rows"] if row["lrm"] == lrm and row["seed"] != "mean_ok"]
        for alignment in dict.fromkeys(r["alignment"] for r in rows if r["role"] == "aligned"):
            for row in rows:
                mine = row["role"] == "lrm" or row["alignment"] == alignment
                value = percent(row["metrics"], metric)
                if not mine or row["epoch"] is None or value is None:
                    continue
                found.append(
                    {
                        "lrm": row["lrm"],
                        "model": model_name(row),
                        "seed": row["seed"],
                        "epoch": row["epoch"],
                        "status": row["status"],
                        "alignment": alignment,
                        "metric": metric,
                        **sizes(row["metrics"][metric]),
                        **as_percent(value),
                    }
                )
    return found
