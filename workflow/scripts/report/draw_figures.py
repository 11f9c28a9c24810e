"""Draw the figures of an experiment from its `tradeoff.json`.

Writes for each figure `<name>.svg`, `<name>.png` and `<name>.csv` (the numbers drawn, in percent or
tokens): epochs, plane, categories, thinking_length, length_effect, states, over_refusal, judges.
The same input gives the same bytes.

python -m workflow.scripts.report.draw_figures --report results/micro/report/tradeoff.json \
    --out results/micro/report
"""

from __future__ import annotations

import argparse
import io
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import run
from workflow.scripts.common.io import write_bytes, write_text
from workflow.scripts.report.escape import one_line
from workflow.scripts.report.results import MAIN, over_both, read_report
from workflow.scripts.report.tables import (
    judge_tests,
    judged_name,
    model_name,
    rows_to_csv,
)

FIGURES = "epochs plane categories thinking_length length_effect states over_refusal judges".split()
# Okabe & Ito's palette, told apart by the colour-blind; markers tell the same in grey.
BASE, LRM = ("#888888", "X"), ("#000000", "*")
COLORS = "#0072B2 #D55E00 #009E73 #CC79A7 #E69F00 #56B4E9 #5D3A9B #117733".split()
MARKERS = "os^DvP<>"
FRONTIER = "frontier"
COLUMN = 3.5  # inches: one column of a paper
SHARES = (-4.0, 104.0)
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "svg.hashsalt": "safety-tax",
    "svg.fonttype": "path",
    "figure.dpi": 100,
    "text.parse_math": False,  # a name may hold dollar signs
}
Row = Mapping[str, Any]
Points = list[dict[str, Any]]


def series_style(index: int) -> tuple[str, str]:
    """Return (colour, marker) of a series; past eight a colour has another marker."""
    k = len(COLORS)
    return COLORS[index % k], MARKERS[(index + index // k) % k]


def style_of(report: Row) -> dict[str, tuple[str, str]]:
    """Return {model name: (colour, marker)}, the same for an alignment in every figure."""
    aligned = [row["alignment"] for row in report["rows"] if row["role"] == "aligned"]
    styles = {name: series_style(i) for i, name in enumerate(dict.fromkeys(aligned))}
    return {"base": BASE, "LRM": LRM, **styles}


def lrms(report: Row) -> list[str]:
    return list(dict.fromkeys(row["lrm"] for row in report["rows"]))


def shown_names(report: Row) -> dict[str, str]:
    """Return {model: its name}, marked where the training of a seed failed (on which LRM)."""
    names = {}
    for model in style_of(report):
        means = [r for r in report["rows"] if r["seed"] == "mean" and model_name(r) == model]
        failed = dict.fromkeys(row["lrm"] for row in means if row["status"] != "ok")
        where = ": " + ", ".join(failed) if len(lrms(report)) > 1 else ""
        names[model] = f"{model} (training failed{where})" if failed else model
    return names


def percent(row: Row, metric: str) -> tuple[float, float | None, float | None] | None:
    """Return (estimate, low, high) of a metric in percent (tokens for a length), None without.

    The limits are those over seeds and items where there are some; None where there are none.
    """
    one = over_both(row["metrics"].get(metric) or {})
    if one.get("estimate") is None:
        return None
    scale = 1 if metric.startswith("thinking_tokens") else 100
    low, high = (None if one[key] is None else one[key] * scale for key in ("low", "high"))
    return one["estimate"] * scale, low, high


def _numbers(row: Row, metric: str, names: str) -> dict[str, Any] | None:
    """Return `percent`'s numbers under three names."""
    value = percent(row, metric)
    return None if value is None else dict(zip(names.split(), value, strict=True))


def _sizes(row: Row, metric: str) -> dict[str, int]:
    return {key: row["metrics"][metric][key] for key in ("n", "n_valid")}


def _who(row: Row, *keys: str) -> dict[str, Any]:
    about = {key: "" if row[key] is None else row[key] for key in (*keys, "status")}
    return {"lrm": row["lrm"], "model": model_name(row), **about}


def curves(report: Row, metric: str) -> Points:
    """Return the points of a metric over safety epochs, the LRM being epoch 0 of each alignment."""
    found = []
    for lrm in lrms(report):
        rows = [row for row in report["rows"] if row["lrm"] == lrm and row["seed"] != "mean_ok"]
        for alignment in dict.fromkeys(r["alignment"] for r in rows if r["role"] == "aligned"):
            for row in rows:
                mine = row["role"] == "lrm" or row["alignment"] == alignment
                value = _numbers(row, metric, "percent low high")
                if not mine or row["epoch"] is None or value is None:
                    continue
                about = {"alignment": alignment, "metric": metric, **_sizes(row, metric)}
                found.append({**_who(row, "seed", "epoch"), **about, **value})
    return found


def draw_epochs(report: Row) -> tuple[Any, Points]:
    """Draw reasoning accuracy and harmful score over safety epochs, a column per LRM."""
    metrics = {"reasoning_accuracy": "Reasoning accuracy (%)", "harmful_score": "Harmful score (%)"}
    points = [point for metric in metrics for point in curves(report, metric)]
    styles, names = style_of(report), shown_names(report)
    figure, panels = _panels(
        report, 2.05, "Safety epochs (0 = LRM)", metrics.values(), sharex=True, note=list(metrics)
    )
    for axis, lrm, line in panels:
        metric = list(metrics)[line]
        chosen = [p for p in points if p["lrm"] == lrm and p["metric"] == metric]
        for alignment in dict.fromkeys(p["alignment"] for p in chosen):
            color, marker = styles[alignment]
            mine = [p for p in chosen if p["alignment"] == alignment]
            for seed in dict.fromkeys(p["seed"] for p in mine):
                one = sorted((p for p in mine if p["seed"] == seed), key=lambda p: p["epoch"])
                x, y = [p["epoch"] for p in one], [p["percent"] for p in one]
                if seed != "mean":
                    if len(one) > 1:
                        axis.plot(x, y, color=color, linewidth=0.6, alpha=0.55)
                    continue
                low, high = (
                    [p["percent"] if p[key] is None else p[key] for p in one]
                    for key in ("low", "high")
                )
                axis.fill_between(x, low, high, color=color, alpha=0.14, linewidth=0)
                label = names[alignment]
                axis.plot(x, y, color=color, marker=marker, markersize=4.5, lw=1.6, label=label)
        axis.set_ylim(*SHARES)
        axis.set_yticks(range(0, 101, 25))
        axis.set_xticks(sorted({p["epoch"] for p in points}))
        _say_when_empty(axis, chosen)
    _legend(figure)
    return figure, points


def draw_plane(report: Row) -> tuple[Any, Points]:
    """Draw harmful score against reasoning accuracy, with an arrow from each LRM to its models."""
    points = []
    for row in report["rows"]:
        harm = _numbers(row, "harmful_score", "harmful_score harm_low harm_high")
        accuracy = _numbers(row, "reasoning_accuracy", "reasoning_accuracy low high")
        if row["final"] and row["seed"] != "mean_ok" and harm and accuracy:
            sizes = {
                f"{short}_n": row["metrics"][metric]["n_valid"]
                for short, metric in (("harm", "harmful_score"), ("accuracy", "reasoning_accuracy"))
            }
            points.append({**_who(row, "seed"), **harm, **accuracy, **sizes})
    styles, names = style_of(report), shown_names(report)
    figure, panels = _panels(
        report,
        3.1,
        "Harmful score (%), lower is safer",
        ["Reasoning accuracy (%)"],
        note=["reasoning_accuracy", "harmful_score"],
    )
    for axis, lrm, _ in panels:
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
            _bars(
                axis,
                [_three(point, "harmful_score harm_low harm_high")],
                [_three(point, "reasoning_accuracy low high")],
                styles[model],
                label=names[model],
                markersize=9 if model == "LRM" else 6,
                markeredgecolor="white",
                markeredgewidth=0.5,
                zorder=3,
            )
        edge = frontier(list(mean.values()))
        if len(edge) > 1:
            x, y = ([p[key] for p in edge] for key in ("harmful_score", "reasoning_accuracy"))
            dashed = {"color": "#777777", "linestyle": "--", "linewidth": 0.8, "zorder": 1}
            axis.step(x, y, where="post", label=FRONTIER, **dashed)
        axis.set_xlim(*SHARES)
        axis.set_ylim(*SHARES)
        _say_when_empty(axis, mean)
    _legend(figure)
    return figure, points


def frontier(points: Sequence[Row]) -> list[Row]:
    """Return the models that no other is both as safe and as accurate as, safest first.

    Of models at the same point the first stands for all.
    """

    def beaten(one: Row) -> bool:
        return any(
            other["harmful_score"] <= one["harmful_score"]
            and other["reasoning_accuracy"] >= one["reasoning_accuracy"]
            and (other["harmful_score"], other["reasoning_accuracy"])
            != (one["harmful_score"], one["reasoning_accuracy"])
            for other in points
        )

    edge = {(p["harmful_score"], p["reasoning_accuracy"]): p for p in points[::-1] if not beaten(p)}
    return [edge[place] for place in sorted(edge)]


def draw_length_effect(report: Row) -> tuple[Any, Points]:
    """Draw accuracy and harm of every model and epoch against its thinking length.

    A dotted line is the benchmark's thinking budget; the same task under several budgets makes
    several benchmarks, which lie side by side along the axis.
    """
    sides = {"reasoning_accuracy": "Reasoning accuracy (%)", "harmful_score": "Harmful score (%)"}
    decoding = report.get("provenance", {}).get("decoding", {})
    points: Points = []
    for row in (row for row in report["rows"] if row["seed"] == "mean"):
        for name, about in report["benchmarks"].items():
            metric = MAIN[about["kind"]]
            length = _numbers(row, f"thinking_tokens/{name}", "tokens tokens_low tokens_high")
            value = _numbers(row, f"{metric}/{name}", "percent low high")
            if metric not in sides or length is None or value is None:
                continue
            found = decoding.get(name)
            budget = found.get("max_thinking_tokens") if isinstance(found, Mapping) else None
            about = {"metric": metric, "benchmark": name, "budget": budget or ""}
            about |= _sizes(row, f"{metric}/{name}")
            points.append({**_who(row, "epoch", "final"), **about, **length, **value})
    styles, names = style_of(report), shown_names(report)
    figure, panels = _panels(
        report,
        2.2,
        "Thinking (tokens, mean); dotted: budget",
        sides.values(),
        note=[f"{metric}/{name}" for name in report["benchmarks"] for metric in sides],
    )
    for axis, lrm, line in panels:
        mine = [p for p in points if p["lrm"] == lrm and p["metric"] == list(sides)[line]]
        for point in mine:
            last, model = point["final"], point["model"]
            _bars(
                axis,
                [_three(point, "tokens tokens_low tokens_high")],
                [_three(point, "percent low high")],
                styles[model],
                label=names[model] if last else None,
                markersize=(9 if model == "LRM" else 5.5) if last else 3,
                alpha=1 if last else 0.45,
                elinewidth=0.8 if last else 0.4,
            )
        longest = max((p["tokens_high"] or p["tokens"] for p in mine), default=0)
        for budget in sorted({p["budget"] for p in mine if p["budget"]}):
            # A budget far beyond every length would squeeze the points into a corner.
            if budget <= 4 * longest:
                axis.axvline(budget, color="#777777", linestyle=":", linewidth=1)
        axis.set_ylim(*SHARES)
        axis.set_xlim(left=min([-0.03 * longest, *(p["tokens_low"] or 0.0 for p in mine)]))
        _say_when_empty(axis, mine)
    _legend(figure)
    return figure, points


def draw_judges(report: Row) -> tuple[Any, Points]:
    """Draw how well judges do on held-out answers, and how often two scorers agree, by model."""
    tests = [
        (f"{name}: {measure}", "held-out answers", one)
        for name, _, measure, one in judge_tests(report)
    ]
    tests += [
        (judged_name(one), f"agreement, {one['benchmark']}: {one['first']}, {one['second']}", one)
        for one in report["agreement"]
    ]
    points = [
        {
            "line": line,
            "series": series,
            **(_numbers({"metrics": {"": one}}, "", "value low high") or {}),
            "n": one["n"],
        }
        for line, series, one in tests
    ]
    lines = list(dict.fromkeys(p["line"] for p in points))
    series = list(dict.fromkeys(p["series"] for p in points))
    figure, axis = _figure(1, 1, 0.8 + 0.3 * max(len(lines), 2))
    for index, name in enumerate(series):
        mine = [p for p in points if p["series"] == name]
        offset = (index - (len(series) - 1) / 2) * 0.5 / len(series)
        _bars(
            axis[0][0],
            [_three(p, "value low high") for p in mine],
            [(lines.index(p["line"]) + offset, None, None) for p in mine],
            series_style(index),
            label=name,
        )
    _list_lines(axis[0][0], lines)
    axis[0][0].set_xlim(*SHARES)
    axis[0][0].set_xlabel("Percent")
    _say_when_empty(axis[0][0], points)
    sizes = [p["n"] for p in points]
    _note(figure, [f"n = {_span(sizes)} answers or samples", _seeds(report)] if sizes else [])
    if len(series) > 1:
        _legend(figure)
    return figure, points


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
        {**_who(row, "seed"), "series": title, **value, **_sizes(row, metric)}
        for row in report["rows"]
        if row["final"] and row["seed"] != "mean_ok"
        for metric, title in series.items()
        if (value := _numbers(row, metric, "value low high"))
    ]
    names = shown_names(report)
    styles = {title: series_style(i) for i, title in enumerate(series.values())}
    about = _about(report, list(series))
    return _draw_lines(
        report, points, styles, x_label, limits, lambda p: names[p["model"]], about
    ), points


def draw_categories(report: Row) -> tuple[Any, Points]:
    """Draw the harmful score of each model by the prompts' category, on the first benchmark.

    Several benchmarks would write over each other; the points (and the CSV) are of all.
    """
    names = shown_names(report)
    points = [
        {
            **_who({**one, "seed": "mean"}, "category", "benchmark", "seed", "n"),
            "series": names[model_name(one)],
            **value,
        }
        for one in report["categories"]
        if (value := _numbers({"metrics": {"": one}}, "", "value low high"))
    ]
    first = next((p["benchmark"] for p in points), "")
    drawn = [p for p in points if p["benchmark"] == first]
    by_model = style_of(report)
    order = sorted(drawn, key=lambda p: list(by_model).index(p["model"]))
    styles = {p["series"]: by_model[p["model"]] for p in order}
    sizes = [p["n"] for p in drawn]
    about = [f"{_span(sizes)} prompts a category", _seeds(report), "95 % intervals over items"]
    x_label = f"Harmful score on {one_line(first, 40)} (%)" if first else "Harmful score (%)"
    figure = _draw_lines(
        report, drawn, styles, x_label, SHARES, lambda p: p["category"], about if sizes else []
    )
    return figure, points


def _draw_lines(
    report: Row,
    points: Sequence[Row],
    styles: Mapping[str, tuple[str, str]],
    x_label: str,
    limits: tuple[float, float] | None,
    line_of: Callable[[Row], str],
    about: Sequence[str],
) -> Any:
    """Draw a line for each `line_of` a point, and on it a marker for each series of `styles`."""
    lines = list(dict.fromkeys(map(line_of, points)))
    used = [name for name in styles if any(p["series"] == name for p in points)]
    step = 0.72 / max(len(used), 1)
    height = 0.75 + max(0.3, 0.12 * len(used)) * max(len(lines), 1)
    figure, panels = _panels(report, height, x_label, sharey=True)
    for axis, lrm, _ in panels:
        for index, name in enumerate(used):
            offset = (index - (len(used) - 1) / 2) * step
            mine = [p for p in points if p["lrm"] == lrm and p["series"] == name]
            mean = [p for p in mine if p["seed"] == "mean"]
            for point in (p for p in mine if p["seed"] != "mean"):
                y, color = lines.index(line_of(point)) + offset, styles[name][0]
                axis.plot(point["value"], y, marker="|", color=color, alpha=0.6, ms=6, linewidth=0)
            if mean:
                _bars(
                    axis,
                    [_three(p, "value low high") for p in mean],
                    [(lines.index(line_of(p)) + offset, None, None) for p in mean],
                    styles[name],
                    label=name,
                )
        _list_lines(axis, lines)
        axis.grid(axis="y", visible=False)
        for edge in range(1, len(lines)):
            axis.axhline(edge - 0.5, color="#e6e6e6", linewidth=0.6)
        if limits:
            axis.set_xlim(*limits)
        elif points:
            axis.set_xlim(left=-0.03 * axis.get_xlim()[1])  # whole markers at 0
        _say_when_empty(axis, points)
    _note(figure, about)
    _legend(figure)
    return figure


def _list_lines(axis: Any, lines: Sequence[str]) -> None:
    """Name the lines on the y axis, the first at the top, broken so that the plot has room."""
    spaced = (one_line(line, 80).replace("_", " ").replace(",", ", ") for line in lines)
    axis.set_yticks(range(len(lines)), ["\n".join(textwrap.wrap(line, 24)) for line in spaced])
    axis.set_ylim(max(len(lines), 1) - 0.5, -0.5)


Limits = tuple[float, float | None, float | None]


def _three(point: Row, names: str) -> Limits:
    value, low, high = (point[name] for name in names.split())
    return value, low, high


def _bars(
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


def _about(report: Row, metrics: Sequence[str]) -> list[str]:
    """Return what a figure of these metrics rests on: items by benchmark, seeds, the interval."""
    means = [row for row in report["rows"] if row["final"] and row["seed"] == "mean"]
    sizes: dict[str, list[int]] = {}
    for row in means:
        for key, one in row["metrics"].items():
            name, _, benchmark = key.partition("/")
            if benchmark and "@" not in key and (key in metrics or name in metrics):
                sizes.setdefault(benchmark, []).append(one["items"])
    found = [row["metrics"].get(metric, {}) for row in means for metric in metrics]
    over = "seeds and items" if any(one.get("all_low") is not None for one in found) else "items"
    items = ", ".join(f"{_span(n)} {one_line(name, 30)}" for name, n in sizes.items())
    return [f"n = {items}", _seeds(report), f"95 % intervals over {over}"] if sizes else []


def _seeds(report: Row) -> str:
    means = [row for row in report["rows"] if row["final"] and row["seed"] == "mean"]
    seeds = [row["n_seeds"] for row in means if row["role"] == "aligned"]
    seeds = seeds or [row["n_seeds"] for row in means]
    return f"{_span(seeds)} training seed{'s' if max(seeds) > 1 else ''}"


def _span(numbers: Iterable[int]) -> str:
    ends = sorted(set(numbers))
    return " to ".join(map(str, dict.fromkeys((*ends[:1], *ends[-1:]))))


def _note(figure: Any, parts: Sequence[str]) -> None:
    """Write below a figure what it rests on."""
    if parts:
        whole = [part.replace(" ", "\xa0") for part in parts[1:]]  # only a long list is broken
        lines = textwrap.wrap("; ".join((parts[0], *whole)), int(figure.get_figwidth() * 21))
        figure.set_figheight(figure.get_figheight() + 0.12 * len(lines))
        figure.supxlabel("\n".join(lines), fontsize=6.5, color="#555555")


def _figure(
    columns: int, lines: int, height: float, sharex: bool = False, sharey: bool = False
) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(COLUMN * columns, height * lines), layout="constrained")
    return figure, figure.subplots(lines, columns, squeeze=False, sharex=sharex, sharey=sharey)


def _panels(
    report: Row,
    height: float,
    x_label: str,
    y_labels: Iterable[str] = ("",),
    note: Sequence[str] = (),
    **share: bool,
) -> tuple[Any, list[tuple[Any, str, int]]]:
    """Return a figure and its panels (axis, LRM, line): a column per LRM, a line per y label."""
    names, titles = lrms(report), list(y_labels)
    figure, axes = _figure(len(names), len(titles), height, **share)
    panels = []
    for line, title in enumerate(titles):
        for column, lrm in enumerate(names):
            axis = axes[line][column]
            axis.set_ylabel("" if column else title)
            axis.set_xlabel(x_label if line == len(titles) - 1 else "")
            if len(names) > 1 and not line:
                axis.set_title(one_line(lrm, 60))
            panels.append((axis, lrm, line))
    _note(figure, _about(report, note))
    return figure, panels


def _legend(figure: Any) -> None:
    """Put one legend above the panels, so that it can cover no data; the frontier stands last."""
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


def _say_when_empty(axis: Any, points: Any) -> None:
    if not points:
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", color="#666666")


def save(figure: Any, rows: Sequence[Row], stem: Path) -> None:
    """Write a figure as SVG and PNG, without dates, and its numbers as CSV."""
    for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        stream = io.BytesIO()
        figure.savefig(stream, format=kind, dpi=200, metadata=metadata)
        write_bytes(stem.with_suffix(f".{kind}"), stream.getvalue())
    header = list(dict.fromkeys(key for row in rows for key in row)) or ["lrm"]
    write_text(stem.with_suffix(".csv"), rows_to_csv(rows, header))


def draw_all(report: Row) -> dict[str, tuple[Any, Points]]:
    """Return {name: (figure, the numbers drawn)}."""
    lengths = {f"thinking_tokens/{name}": name for name in report["benchmarks"]}
    unfinished = {
        "truncated": "truncated (reasoning)",
        "unanswered": "unanswered (reasoning)",
        "harmful_refusal": "refused (harmful)",
    }
    refused = {"over_refusal": "over-refusal"}
    return {
        "epochs": draw_epochs(report),
        "plane": draw_plane(report),
        "categories": draw_categories(report),
        "thinking_length": draw_dots(report, lengths, "Thinking (tokens)", None),
        "length_effect": draw_length_effect(report),
        "states": draw_dots(report, unfinished, "Samples (%)", SHARES),
        "over_refusal": draw_dots(report, refused, "Benign prompts refused (%)", SHARES),
        "judges": draw_judges(report),
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--report", required=True, help="tradeoff.json")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    report = read_report(args.report)

    import matplotlib

    with matplotlib.rc_context(STYLE):
        for name, (figure, rows) in draw_all(report).items():
            save(figure, rows, args.out / name)


if __name__ == "__main__":
    run(main)
