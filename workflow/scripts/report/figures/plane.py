"""Reasoning accuracy against harmful score and over-refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from workflow.scripts.report.figures.points import Limits, percent
from workflow.scripts.report.figures.style import (
    SHARES,
    lrms,
    shown_names,
    style_of,
)
from workflow.scripts.report.schema import Report
from workflow.scripts.report.tables.table import model_name

TITLE = "The trade-off: reasoning accuracy against harm and over-refusal"
CAPTION = (
    "Reasoning accuracy against the harmful score and over-refusal, as far as they were measured, "
    "at the final epoch. Arrows lead from the LRM to its aligned models; bars are "
    "95 % intervals (over seeds and items from three seeds on, else over items), faint markers "
    "are single training seeds. The dashed line is the frontier: no other model, the base "
    "apart, is as safe and as accurate. An alignment without a tax would move straight to the left "
    "in the first plane and stay in place in the second."
)
# Metric on the x axis: the axis' title.
SIDES = {
    "harmful_score": "Harmful score (%), lower is safer",
    "over_refusal": "Over-refusal (%), lower is more helpful",
}
CROWD = 8  # models; the arrows of more are drawn thinly


@dataclass(frozen=True)
class PlanePoint:
    """A model and seed in the planes, in percent.

    Attributes:
        harm: Harmful score; None where it was not measured.
        harm_n: Samples of it with a verdict.
        accuracy: Reasoning accuracy.
        accuracy_n: Samples of it with a verdict.
        refusal: Over-refusal; None where it was not measured.
    """

    lrm: str
    model: str
    seed: str
    status: str
    harm: Limits | None
    harm_n: int
    accuracy: Limits
    accuracy_n: int
    refusal: Limits | None

    def on(self, side: str) -> Limits | None:
        """Return the metric of an x axis."""
        return self.harm if side == "harmful_score" else self.refusal

    def columns(self) -> dict[str, object]:
        """Return the point as a line of the CSV."""
        found: dict[str, object] = {
            "lrm": self.lrm,
            "model": self.model,
            "seed": self.seed,
            "status": self.status,
        }
        if self.harm:
            keys = ("harmful_score", "harm_low", "harm_high", "harm_n")
            found |= zip(keys, (*self.harm, self.harm_n), strict=True)
        keys = ("reasoning_accuracy", "low", "high", "accuracy_n")
        found |= zip(keys, (*self.accuracy, self.accuracy_n), strict=True)
        if self.refusal:
            found |= zip(("over_refusal", "refusal_low", "refusal_high"), self.refusal, strict=True)
        return found


def draw(report: Report) -> tuple[Any, list[dict[str, object]]]:
    """Draw reasoning accuracy against harm and over-refusal, a line of panels for each LRM."""
    points = list_points(report)
    sides = [side for side in SIDES if any(point.on(side) for point in points)]
    figure, found = _panels(report, sides or list(SIDES)[:1])
    styles, names = style_of(report), shown_names(report)
    for axis, lrm, side in found:
        mine = [(point, x) for point in points if point.lrm == lrm and (x := point.on(side))]
        _draw_panel(axis, mine, side, styles, names)
    add_legend(figure)
    return figure, [point.columns() for point in points]


def list_points(report: Report) -> list[PlanePoint]:
    """Return every model and seed at its final epoch that has an accuracy and one of the sides."""
    points = []
    for row in report["rows"]:
        metrics = row["metrics"]
        accuracy = percent(metrics, "reasoning_accuracy")
        harm, refusal = (percent(metrics, side) for side in SIDES)
        if row["final"] and row["seed"] != "mean_ok" and accuracy and (harm or refusal):
            points.append(
                PlanePoint(
                    lrm=row["lrm"],
                    model=model_name(row),
                    seed=row["seed"],
                    status=row["status"],
                    harm=harm,
                    harm_n=metrics["harmful_score"]["n_valid"] if harm else 0,
                    accuracy=accuracy,
                    accuracy_n=metrics["reasoning_accuracy"]["n_valid"],
                    refusal=refusal,
                )
            )
    return points


def _panels(report: Report, sides: Sequence[str]) -> tuple[Any, list[tuple[Any, str, str]]]:
    """Return a figure and its panels: axis, LRM, and the metric on the x axis."""
    names = lrms(report)
    figure, axes = new_figure(len(sides), len(names), 2.9, sharey=True)
    add_note(figure, about(report, ["reasoning_accuracy", *sides]))
    found = []
    for line, lrm in enumerate(names):
        for column, side in enumerate(sides):
            axis = axes[line][column]
            axis.set_xlabel(SIDES[side])
            axis.set_ylabel("" if column else "Reasoning accuracy (%)")
            if len(names) > 1 and not column:
                axis.set_title(one_line(lrm, 60), loc="left", fontweight="bold")
            found.append((axis, lrm, side))
    return figure, found


def _draw_panel(
    axis: Any,
    points: Sequence[tuple[PlanePoint, Limits]],
    side: str,
    styles: Mapping[str, tuple[str, str]],
    names: Mapping[str, str],
) -> None:
    mean = {p.model: (x, p.accuracy) for p, x in points if p.seed == "mean"}
    place = {model: (x[0], y[0]) for model, (x, y) in mean.items()}
    for point, on_x in points:
        if point.seed != "mean":
            color, marker = styles[point.model]
            at = on_x[0], point.accuracy[0]
            axis.plot(*at, marker=marker, color=color, markersize=3, alpha=0.45, linewidth=0)
    for model, (x, y) in mean.items():
        if model not in ("base", "LRM") and "LRM" in mean:
            arrow = {"arrowstyle": "-|>", "color": styles[model][0], "linewidth": 1.1}
            if len(mean) > CROWD:
                arrow |= {"linewidth": 0.6, "alpha": 0.6}
            arrow |= {"shrinkA": 6, "shrinkB": 5, "mutation_scale": 8}
            axis.annotate("", place[model], place["LRM"], arrowprops=arrow)
        draw_bars(
            axis,
            [x],
            [y],
            styles[model],
            label=names[model],
            markersize=9 if model == "LRM" else 6,
            markeredgecolor="white",
            markeredgewidth=0.5,
            zorder=3,
        )
    if side == "harmful_score":
        methods = [place[model] for model in mean if model != "base"]
        draw_frontier(axis, methods, side, "reasoning_accuracy")
    axis.set_xlim(*SHARES)
    axis.set_ylim(*SHARES)
    say_when_empty(axis, mean)
