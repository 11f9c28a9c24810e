"""The frontier of the methods over two or three measures."""

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
from workflow.scripts.report.figures.style import SHARES, shown_names, style_of
from workflow.scripts.report.metrics import COSTS, metric_title, read_measure
from workflow.scripts.report.schema import Frontier, FrontierMethod, Report
from workflow.scripts.report.tables.table import model_name

TITLE = "The frontier: methods that no other dominates"
CAPTION = (
    "The methods over the measures of the frontier at the final epoch, with 95 % intervals (over "
    "seeds and items from three seeds on, else over items). Full markers: on the frontier, for no "
    "other method is at least as good on every measure and better on one; behind a method's name "
    "is the share of resamples in which that holds, of several LRMs one for each. Of two "
    "measures it is the dashed line."
)


@dataclass(frozen=True)
class FrontierPoint:
    """A method of an LRM.

    Attributes:
        share: Percent of the resamples in which it is on the frontier.
        values: {measure: as tables write it}.
    """

    lrm: str
    model: str
    status: str
    on_frontier: bool
    share: float
    values: Mapping[str, Limits]

    def columns(self) -> dict[str, object]:
        """Return the point as a line of the CSV."""
        found: dict[str, object] = {
            "lrm": self.lrm,
            "model": self.model,
            "status": self.status,
            "on_frontier": self.on_frontier,
            "share": self.share,
        }
        for name, value in self.values.items():
            found |= zip((name, f"{name}_low", f"{name}_high"), value, strict=True)
        return found


def draw(report: Report) -> tuple[Any, list[dict[str, object]]]:
    """Draw each further measure against the first, a line per LRM and a column per measure."""
    frontiers = report["frontier"]
    measures = frontiers[0]["measures"] if frontiers else ["reasoning_accuracy", "harmful_score"]
    points = [point for one in frontiers for point in _points(one)]
    first, others = measures[0], measures[1:]
    figure, axes = new_figure(len(others), max(len(frontiers), 1), 2.9, sharey=True)
    styles, names = style_of(report), _names_with_shares(report, frontiers, points)
    for line in range(max(len(frontiers), 1)):
        lrm = frontiers[line]["lrm"] if frontiers else ""
        mine = [p for p in points if p.lrm == lrm]
        for column, measure in enumerate(others):
            axis = axes[line][column]
            for point in mine:
                _mark(axis, point, (measure, first), styles[point.model], names[point.model])
            if len(measures) == 2:
                both = [(p.values[measure][0], p.values[first][0]) for p in mine]
                draw_frontier(axis, both, measure, first)
            axis.set_xlabel(_label(measure))
            axis.set_ylabel("" if column else _label(first))
            axis.set_xlim(*_limits(points, measure))
            axis.set_ylim(*_limits(points, first))
            if len(frontiers) > 1 and not column:
                axis.set_title(one_line(lrm, 60), loc="left", fontweight="bold")
            say_when_empty(axis, mine)
    add_note(figure, about(report, measures) if frontiers else [])
    add_legend(figure)
    return figure, [point.columns() for point in points]


def _points(frontier: Frontier) -> list[FrontierPoint]:
    return [
        FrontierPoint(
            frontier["lrm"],
            model_name(method),
            method["status"],
            method["non_dominated"],
            100 * method["share"],
            {name: _value(method, name) for name in frontier["measures"]},
        )
        for method in frontier["methods"]
    ]


def _value(method: FrontierMethod, measure: str) -> Limits:
    value = percent(method["metrics"], measure)
    assert value is not None, measure  # a method without it is not compared
    return value


def _mark(
    axis: Any, point: FrontierPoint, xy: tuple[str, str], style: tuple[str, str], name: str
) -> None:
    x, y = (point.values[one] for one in xy)
    color = style[0]
    draw_bars(
        axis,
        [x],
        [y],
        style,
        label=name,
        markersize=9 if point.model == "LRM" else 6,
        markerfacecolor=color if point.on_frontier else "white",
        markeredgecolor="white" if point.on_frontier else color,
        markeredgewidth=0.5 if point.on_frontier else 1.0,
        zorder=3,
    )


def _names_with_shares(
    report: Report, frontiers: Sequence[Frontier], points: Sequence[FrontierPoint]
) -> dict[str, str]:
    """Return the models' names with their share on each LRM, a dash where they are not of it."""
    shares = {(point.model, point.lrm): f"{point.share:.0f}" for point in points}
    on = [frontier["lrm"] for frontier in frontiers]
    return {
        model: f"{name}, {' / '.join(shares.get((model, lrm), '–') for lrm in on)} %"
        for model, name in shown_names(report).items()
    }


def _limits(points: Sequence[FrontierPoint], name: str) -> tuple[float, float]:
    """Return the limits of an axis: a share's are fixed, a cost's begin at 0."""
    if name not in COSTS:
        return SHARES
    ends = [end for p in points for end in p.values[name][::2] if end is not None]
    top = max(ends, default=0.0) or 1.0
    return -0.03 * top, 1.06 * top


def _label(name: str) -> str:
    better = "higher" if read_measure(name).higher_is_better else "lower"
    return f"{metric_title(name)}{'' if name in COSTS else ' (%)'}, {better} is better"
