"""The parts of a figure: panels, markers with intervals, legend, and what it rests on."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from workflow.scripts.report.dominance import non_dominated
from workflow.scripts.report.escape import one_line
from workflow.scripts.report.figures.points import Limits
from workflow.scripts.report.figures.style import FAINT, LINE, LRM, lrms
from workflow.scripts.report.metrics import read_measure
from workflow.scripts.report.schema import Report

COLUMN = 3.5  # inches: one column of a paper
NARROW = 1.75  # the least width of a panel
FRONTIER = "frontier"


def new_figure(
    columns: int, lines: int, height: float, sharex: bool = False, sharey: bool = False
) -> tuple[Any, Any]:
    """Return a figure and its axes by line and column; `height` is that of a line in inches.

    It is one or two columns of a paper wide, and wider only where panels would be too narrow.
    """
    from matplotlib.figure import Figure

    width = columns * max(NARROW, min(COLUMN, 2 * COLUMN / columns))
    figure = Figure(figsize=(width, height * lines), layout="constrained")
    return figure, figure.subplots(lines, columns, squeeze=False, sharex=sharex, sharey=sharey)


def new_panels(
    report: Report,
    height: float,
    x_label: str,
    y_labels: Iterable[str] = ("",),
    note: Sequence[str] = (),
    **share: bool,
) -> tuple[Any, list[tuple[Any, str, int]]]:
    """Return a figure and its panels (axis, LRM, line): a column per LRM, a line per y label."""
    names, titles = lrms(report), list(y_labels)
    figure, axes = new_figure(len(names), len(titles), height, **share)
    found = []
    for line, title in enumerate(titles):
        for column, lrm in enumerate(names):
            axis = axes[line][column]
            axis.set_ylabel("" if column else title)
            axis.set_xlabel(x_label if line == len(titles) - 1 else "")
            if len(names) > 1 and not line:
                axis.set_title(one_line(lrm, 60))
            found.append((axis, lrm, line))
    add_note(figure, about(report, note))
    return figure, found


def draw_bars(
    axis: Any, xs: Sequence[Limits], ys: Sequence[Limits], style: tuple[str, str], **more: Any
) -> None:
    """Draw markers at (value, low, high) of both axes, with the intervals that there are."""

    def sides(limits: Sequence[Limits]) -> list[list[float]]:
        below = [0.0 if low is None else max(0.0, value - low) for value, low, _ in limits]
        above = [0.0 if high is None else max(0.0, high - value) for value, _, high in limits]
        return [below, above]

    color, marker = style
    axis.errorbar(
        [x[0] for x in xs],
        [y[0] for y in ys],
        xerr=sides(xs) if any(x[1] is not None for x in xs) else None,
        yerr=sides(ys) if any(y[1] is not None for y in ys) else None,
        color=color,
        marker=marker,
        linewidth=0,
        **{"markersize": 6 if marker == LRM[1] else 4.5, "elinewidth": 0.9, **more},
    )


def draw_frontier(axis: Any, points: Sequence[tuple[float, float]], x: str, y: str) -> None:
    """Draw the frontier of two metrics as a dashed line of steps, where it has two points."""
    signs = [1 if read_measure(name).higher_is_better else -1 for name in (x, y)]
    on_it = non_dominated([(signs[0] * of_x, signs[1] * of_y) for of_x, of_y in points])
    edge = sorted({point for point, kept in zip(points, on_it, strict=True) if kept})
    if len(edge) > 1:
        where = "pre" if signs[0] > 0 else "post"
        dashed = {"color": LINE, "linestyle": "--", "linewidth": 0.8, "zorder": 1}
        axis.step(*zip(*edge, strict=True), where=where, label=FRONTIER, **dashed)


def add_legend(figure: Any) -> None:
    """Put one legend above the panels, so that it can cover no data; the frontier is last."""
    found: dict[str, Any] = {}
    for axis in figure.axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    found = dict(sorted(found.items(), key=lambda one: one[0] == FRONTIER))
    if not found or (len(found) == 1 and len(figure.axes) == 1):
        return
    longest = min(60, max(map(len, found)))
    fitting = max(1, int(figure.get_figwidth() * 17 / (longest + 6)))
    lines = -(-len(found) // fitting)
    # Many or long names take their room from the page, not from the plot.
    figure.set_figheight(figure.get_figheight() + 0.16 * max(lines - 1, 0))
    figure.legend(
        list(found.values()),
        [one_line(name, 60) for name in found],
        loc="outside upper center",
        ncols=min(len(found), fitting),
        frameon=False,
        handletextpad=0.4,
        columnspacing=1.0,
    )


def add_note(figure: Any, parts: Sequence[str]) -> None:
    """Write below a figure what it rests on."""
    if parts:
        whole = [part.replace(" ", "\xa0") for part in parts[1:]]  # only a long list is broken
        lines = textwrap.wrap("; ".join((parts[0], *whole)), int(figure.get_figwidth() * 21))
        figure.set_figheight(figure.get_figheight() + 0.12 * len(lines))
        figure.supxlabel("\n".join(lines), fontsize=6.5, color=FAINT)


def draw_title(title: str, width: float) -> Any:
    """Return a figure of `width` inches that holds nothing but a title, to be put above another."""
    from matplotlib.figure import Figure

    lines = textwrap.wrap(title, int(width * 12.5))
    height = 0.12 + 0.16 * len(lines)
    figure = Figure(figsize=(width, height))
    style: Any = {"va": "top", "ha": "left", "fontsize": 9, "fontweight": "bold"}
    figure.text(0.05 / width, 1 - 0.06 / height, "\n".join(lines), **style)
    return figure


def say_when_empty(axis: Any, points: Any) -> None:
    """Write into a panel without points that nothing was measured."""
    if not points:
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", color=FAINT)


def about(report: Report, metrics: Sequence[str]) -> list[str]:
    """Return what a figure of these metrics rests on: items by benchmark, seeds, the interval."""
    means = [row for row in report["rows"] if row["final"] and row["seed"] == "mean"]
    sizes: dict[str, list[int]] = {}
    for row in means:
        for key, one in row["metrics"].items():
            name, _, benchmark = key.partition("/")
            if benchmark and "@" not in key and (key in metrics or name in metrics):
                sizes.setdefault(benchmark, []).append(one["items"])
    found = [
        row["metrics"][metric] for row in means for metric in metrics if metric in row["metrics"]
    ]
    over = "seeds and items" if any(one.get("all_low") is not None for one in found) else "items"
    items = ", ".join(f"{span(n)} {one_line(name, 30)}" for name, n in sizes.items())
    return [f"n = {items}", seeds_of(report), f"95 % intervals over {over}"] if sizes else []


def seeds_of(report: Report) -> str:
    """Return over how many training seeds the means are."""
    means = [row for row in report["rows"] if row["final"] and row["seed"] == "mean"]
    seeds = [row["n_seeds"] for row in means if row["role"] == "aligned"]
    seeds = seeds or [row["n_seeds"] for row in means]
    return f"{span(seeds)} training seed{'s' if max(seeds) > 1 else ''}"


def span(numbers: Iterable[int]) -> str:
    """Return the least and the largest of some numbers."""
    ends = sorted(set(numbers))
    return " to ".join(map(str, dict.fromkeys((*ends[:1], *ends[-1:]))))
