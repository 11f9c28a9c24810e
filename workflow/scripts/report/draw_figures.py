"""Draw the figures of an experiment from its `tradeoff.json`.

Writes for each figure `<name>.svg`, `<name>.png` and `<name>.csv` (the numbers drawn, in percent or
tokens): epochs, plane, categories, thinking_length, length_effect, states, over_refusal, judges.
The same input gives the same bytes.

python -m workflow.scripts.report.draw_figures --report results/micro/report/tradeoff.json \
    --out results/micro/report
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import read_json, write_bytes, write_text
from workflow.scripts.report.escape import csv_cell, one_line
from workflow.scripts.report.results import FORMAT
from workflow.scripts.report.tables import model_name

FIGURES = "epochs plane categories thinking_length length_effect states over_refusal judges".split()
# Okabe & Ito's palette, told apart by the colour-blind; markers tell the same in grey.
BASE, LRM = ("#888888", "X"), ("#000000", "*")
ALIGNED = [
    ("#0072B2", "o"),
    ("#D55E00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
    ("#5D3A9B", "<"),
    ("#117733", ">"),
]
SERIES = [("#000000", "o"), ("#D55E00", "s"), ("#0072B2", "^"), ("#009E73", "D"), ("#CC79A7", "v")]
COLUMN = 3.5  # inches: one column of a paper
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


def style_of(report: Row) -> dict[str, tuple[str, str]]:
    """Return {model name: (colour, marker)}, the same for an alignment in every figure."""
    aligned = [row["alignment"] for row in report["rows"] if row["role"] == "aligned"]
    names = dict.fromkeys(aligned)
    styles = {"base": BASE, "LRM": LRM}
    for i, name in enumerate(names):
        # Beyond eight alignments a colour comes again with another marker.
        marker = ALIGNED[(i + i // len(ALIGNED)) % len(ALIGNED)][1]
        styles[name] = (ALIGNED[i % len(ALIGNED)][0], marker)
    return styles


def lrms(report: Row) -> list[str]:
    return list(dict.fromkeys(row["lrm"] for row in report["rows"]))


def percent(row: Row, metric: str) -> tuple[float, float, float] | None:
    """Return (estimate, low, high) of a metric in percent (tokens for a length), None without."""
    one = row["metrics"].get(metric)
    if not one or one["estimate"] is None:
        return None
    scale = 1 if metric.startswith("thinking_tokens") else 100
    estimate = one["estimate"] * scale
    low, high = (estimate if one[key] is None else one[key] * scale for key in ("low", "high"))
    return estimate, low, high


def curves(report: Row, metric: str) -> list[dict[str, Any]]:
    """Return the points of a metric over safety epochs, the LRM being epoch 0 of each alignment."""
    found = []
    for lrm in lrms(report):
        rows = [row for row in report["rows"] if row["lrm"] == lrm]
        for alignment in dict.fromkeys(r["alignment"] for r in rows if r["role"] == "aligned"):
            for row in rows:
                start = row["role"] == "lrm"
                if not (start or row["alignment"] == alignment) or row["epoch"] is None:
                    continue
                value = percent(row, metric)
                if value is None or row["seed"] == "mean_ok":
                    continue
                found.append(
                    {
                        "lrm": lrm,
                        "alignment": alignment,
                        "seed": row["seed"],
                        "epoch": row["epoch"],
                        "metric": metric,
                        **dict(zip(("percent", "low", "high"), value, strict=True)),
                        "n": row["metrics"][metric]["n"],
                        "n_valid": row["metrics"][metric]["n_valid"],
                    }
                )
    return found


def draw_epochs(report: Row) -> tuple[Any, list[dict[str, Any]]]:
    """Draw reasoning accuracy and harmful score over safety epochs, a column per LRM."""
    metrics = {"reasoning_accuracy": "Reasoning accuracy (%)", "harmful_score": "Harmful score (%)"}
    points = [point for metric in metrics for point in curves(report, metric)]
    styles, names = style_of(report), lrms(report)
    figure, axes = _figure(len(names), len(metrics), 2.05, share_x=True)
    for column, lrm in enumerate(names):
        for line, (metric, title) in enumerate(metrics.items()):
            axis = axes[line][column]
            chosen = [p for p in points if p["lrm"] == lrm and p["metric"] == metric]
            for alignment in dict.fromkeys(p["alignment"] for p in chosen):
                color, marker = styles[alignment]
                mine = [p for p in chosen if p["alignment"] == alignment]
                for seed in dict.fromkeys(p["seed"] for p in mine if p["seed"] != "mean"):
                    one = sorted((p for p in mine if p["seed"] == seed), key=lambda p: p["epoch"])
                    if len(one) > 1:
                        axis.plot(*_xy(one), color=color, linewidth=0.6, alpha=0.55)
                mean = sorted((p for p in mine if p["seed"] == "mean"), key=lambda p: p["epoch"])
                if not mean:
                    continue
                low, high = ([p[key] for p in mean] for key in ("low", "high"))
                x, y = _xy(mean)
                axis.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0)
                axis.plot(
                    x, y, color=color, marker=marker, markersize=4.5, linewidth=1.6, label=alignment
                )
            axis.set_ylim(-4, 104)
            axis.set_yticks(range(0, 101, 25))
            if not column:
                axis.set_ylabel(title)
            if not line and len(names) > 1:
                axis.set_title(lrm)
            if line == len(metrics) - 1:
                axis.set_xlabel("Safety epochs (0 = LRM)")
                epochs = sorted({p["epoch"] for p in points})
                axis.set_xticks(epochs)
            _say_when_empty(axis, chosen)
    _legend(figure, axes)
    return figure, points


def draw_plane(report: Row) -> tuple[Any, list[dict[str, Any]]]:
    """Draw harmful score against reasoning accuracy, with an arrow from each LRM to its models."""
    points = []
    for row in report["rows"]:
        harm, accuracy = percent(row, "harmful_score"), percent(row, "reasoning_accuracy")
        if row["final"] and row["seed"] != "mean_ok" and harm and accuracy:
            points.append(
                {
                    "lrm": row["lrm"],
                    "model": model_name(row),
                    "seed": row["seed"],
                    "status": row["status"],
                    **dict(zip(("harmful_score", "harm_low", "harm_high"), harm, strict=True)),
                    **dict(zip(("reasoning_accuracy", "low", "high"), accuracy, strict=True)),
                    "harm_n": row["metrics"]["harmful_score"]["n_valid"],
                    "accuracy_n": row["metrics"]["reasoning_accuracy"]["n_valid"],
                }
            )
    styles, names = style_of(report), lrms(report)
    figure, axes = _figure(len(names), 1, 3.1)
    for column, lrm in enumerate(names):
        axis = axes[0][column]
        mine = [p for p in points if p["lrm"] == lrm]
        mean = {p["model"]: p for p in mine if p["seed"] == "mean"}
        for point in mine:
            if point["seed"] != "mean":
                color, marker = styles[point["model"]]
                axis.plot(
                    point["harmful_score"],
                    point["reasoning_accuracy"],
                    marker=marker,
                    color=color,
                    markersize=3,
                    alpha=0.45,
                    linewidth=0,
                )
        for model, point in mean.items():
            color, marker = styles[model]
            x, y = point["harmful_score"], point["reasoning_accuracy"]
            if model not in ("base", "LRM") and "LRM" in mean:
                start = mean["LRM"]
                axis.annotate(
                    "",
                    (x, y),
                    (start["harmful_score"], start["reasoning_accuracy"]),
                    arrowprops={
                        "arrowstyle": "-|>",
                        "color": color,
                        "linewidth": 1.1,
                        "shrinkA": 6,
                        "shrinkB": 5,
                        "mutation_scale": 8,
                    },
                )
            axis.errorbar(
                x,
                y,
                xerr=[[x - point["harm_low"]], [point["harm_high"] - x]],
                yerr=[[y - point["low"]], [point["high"] - y]],
                color=color,
                marker=marker,
                markersize=9 if marker == "*" else 6,
                markeredgecolor="white",
                markeredgewidth=0.5,
                elinewidth=0.9,
                linewidth=0,
                label=model + (" (failed)" if point["status"] != "ok" else ""),
                zorder=3,
            )
        edge = frontier(list(mean.values()))
        if len(edge) > 1:
            axis.step(
                [p["harmful_score"] for p in edge],
                [p["reasoning_accuracy"] for p in edge],
                where="post",
                color="#777777",
                linestyle="--",
                linewidth=0.8,
                label="frontier",
                zorder=1,
            )
        axis.set_xlim(-4, 104)
        axis.set_ylim(-4, 104)
        axis.set_xlabel("Harmful score (%), lower is safer")
        if not column:
            axis.set_ylabel("Reasoning accuracy (%)")
        if len(names) > 1:
            axis.set_title(lrm)
        _say_when_empty(axis, mean)
    _legend(figure, axes)
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


def draw_length_effect(report: Row) -> tuple[Any, list[dict[str, Any]]]:
    """Draw accuracy and harm of every model and epoch against its thinking length.

    A dotted line is the benchmark's thinking budget; the same task under several budgets makes
    several benchmarks, which lie side by side along the axis.
    """
    sides = {"reasoning_accuracy": "Reasoning accuracy (%)", "harmful_score": "Harmful score (%)"}
    kinds = {"reasoning_accuracy": "reasoning", "harmful_score": "harmful"}
    decoding = report.get("provenance", {}).get("decoding", {})
    points: list[dict[str, Any]] = []
    for row in report["rows"]:
        if row["seed"] != "mean":
            continue
        for metric, kind in kinds.items():
            for name, about in report["benchmarks"].items():
                length = percent(row, f"thinking_tokens/{name}")
                value = percent(row, f"{metric}/{name}")
                if about["kind"] != kind or length is None or value is None:
                    continue
                found = decoding.get(name)
                budget = found.get("max_thinking_tokens") if isinstance(found, Mapping) else None
                points.append(
                    {
                        "lrm": row["lrm"],
                        "model": model_name(row),
                        "epoch": "" if row["epoch"] is None else row["epoch"],
                        "final": row["final"],
                        "metric": metric,
                        "benchmark": name,
                        "budget": budget or "",
                        **dict(zip(("tokens", "tokens_low", "tokens_high"), length, strict=True)),
                        **dict(zip(("percent", "low", "high"), value, strict=True)),
                        "n": row["metrics"][f"{metric}/{name}"]["n"],
                    }
                )
    styles, names = style_of(report), lrms(report)
    figure, axes = _figure(len(names), len(sides), 2.2)
    for column, lrm in enumerate(names):
        for line, (metric, title) in enumerate(sides.items()):
            axis = axes[line][column]
            mine = [p for p in points if p["lrm"] == lrm and p["metric"] == metric]
            for point in mine:
                color, marker = styles[point["model"]]
                x, y = point["tokens"], point["percent"]
                last = point["final"]
                axis.errorbar(
                    x,
                    y,
                    xerr=[[x - point["tokens_low"]], [point["tokens_high"] - x]],
                    yerr=[[y - point["low"]], [point["high"] - y]],
                    color=color,
                    marker=marker,
                    markersize=(9 if marker == "*" else 5.5) if last else 3,
                    alpha=1 if last else 0.45,
                    elinewidth=0.8 if last else 0.4,
                    linewidth=0,
                    label=point["model"] if last else None,
                )
            for budget in sorted({p["budget"] for p in mine if p["budget"]}):
                # A budget far beyond every length would squeeze the points into a corner.
                if budget <= 4 * max(p["tokens_high"] for p in mine):
                    axis.axvline(budget, color="#777777", linestyle=":", linewidth=1)
            axis.set_ylim(-4, 104)
            axis.set_xlim(left=min([0.0, *(p["tokens_low"] for p in mine)]))
            axis.set_ylabel(title if not column else "")
            if not line and len(names) > 1:
                axis.set_title(lrm)
            if line == len(sides) - 1:
                axis.set_xlabel("Thinking (tokens, mean); dotted: budget")
            _say_when_empty(axis, mine)
    _legend(figure, axes)
    return figure, points


def draw_judges(report: Row) -> tuple[Any, list[dict[str, Any]]]:
    """Draw how well judges do on held-out answers, and how often two scorers agree, by model."""
    points: list[dict[str, Any]] = []
    for name, judge in sorted(report["judges"].items()):
        tests = judge.get("test") if isinstance(judge, Mapping) else None
        for measure, one in sorted((tests or {}).items()):
            if isinstance(one, Mapping) and one.get("low") is not None:
                points.append(_judged(f"{name}: {measure}", "held-out answers", one))
    for one in report["agreement"]:
        model = "all models" if one["role"] == "all" else f"{one['lrm']}: {model_name(one)}"
        pair = f"{one['benchmark']}: {one['first']}, {one['second']}"
        points.append(_judged(model, f"agreement, {pair}", one))
    lines = list(dict.fromkeys(p["line"] for p in points))
    series = list(dict.fromkeys(p["series"] for p in points))
    figure, axes = _figure(1, 1, 0.8 + 0.3 * max(len(lines), 2))
    axis = axes[0][0]
    for index, name in enumerate(series):
        color, marker = SERIES[index % len(SERIES)]
        mine = [p for p in points if p["series"] == name]
        offset = (index - (len(series) - 1) / 2) * 0.5 / max(len(series), 1)
        axis.errorbar(
            [p["value"] for p in mine],
            [lines.index(p["line"]) + offset for p in mine],
            xerr=[
                [max(0.0, p["value"] - p["low"]) for p in mine],
                [max(0.0, p["high"] - p["value"]) for p in mine],
            ],
            color=color,
            marker=marker,
            markersize=4.5,
            elinewidth=0.9,
            linewidth=0,
            label=name,
        )
    axis.set_yticks(range(len(lines)), [_wrapped(line) for line in lines])
    axis.set_ylim(max(len(lines), 1) - 0.5, -0.5)
    axis.set_xlim(-4, 104)
    axis.set_xlabel("Percent")
    _say_when_empty(axis, points)
    if len(series) > 1:
        _legend(figure, axes)
    return figure, points


def _judged(line: str, series: str, one: Row) -> dict[str, Any]:
    values = {key: one[name] * 100 for key, name in (("value", "estimate"), ("low", "low"))}
    return {"line": line, "series": series, **values, "high": one["high"] * 100, "n": one["n"]}


def draw_dots(
    report: Row, series: Mapping[str, str], x_label: str, limits: tuple[float, float] | None
) -> tuple[Any, list[dict[str, Any]]]:
    """Draw one line per model and one marker per series, with intervals and faint seeds.

    Args:
        report: The report.
        series: {metric: what the legend calls it}.
        x_label: Title of the x axis.
        limits: Its limits, None for automatic.
    """
    points = []
    for row in report["rows"]:
        if row["final"] and row["seed"] != "mean_ok":
            for metric, title in series.items():
                value = percent(row, metric)
                if value is not None:
                    points.append(
                        {
                            "lrm": row["lrm"],
                            "model": model_name(row),
                            "seed": row["seed"],
                            "series": title,
                            **dict(zip(("value", "low", "high"), value, strict=True)),
                            "n": row["metrics"][metric]["n"],
                            "n_valid": row["metrics"][metric]["n_valid"],
                        }
                    )
    return _draw_lines(report, points, list(series.values()), x_label, limits, "model"), points


def draw_categories(report: Row) -> tuple[Any, list[dict[str, Any]]]:
    """Draw the harmful score of each model by the prompts' category."""
    points = [
        {
            "lrm": one["lrm"],
            "category": one["category"],
            "benchmark": one["benchmark"],
            "seed": "mean",
            "series": model_name(one),
            "value": one["estimate"] * 100,
            "low": one["low"] * 100,
            "high": one["high"] * 100,
            "n": one["n"],
        }
        for one in report["categories"]
        if one["low"] is not None
    ]
    # Several benchmarks would write over each other: the first is drawn, the CSV has all.
    first = next((p["benchmark"] for p in points), None)
    drawn = [p for p in points if p["benchmark"] == first]
    names = list(style_of(report))
    figure = _draw_lines(report, drawn, names, "Harmful score (%)", (-4, 104), "category")
    return figure, points


def _draw_lines(
    report: Row,
    points: Sequence[Row],
    series: Sequence[str],
    x_label: str,
    limits: tuple[float, float] | None,
    line_key: str,
) -> Any:
    names = lrms(report)
    lines = list(dict.fromkeys(p[line_key] for p in points))
    used = [name for name in series if any(p["series"] == name for p in points)]
    step = 0.72 / max(len(used), 1)
    row_height = max(0.3, 0.12 * len(used))
    figure, axes = _figure(len(names), 1, 0.75 + row_height * max(len(lines), 1), share_y=True)
    models = style_of(report)
    for column, lrm in enumerate(names):
        axis = axes[0][column]
        for index, name in enumerate(used):
            color, marker = models[name] if line_key == "category" else SERIES[index % len(SERIES)]
            offset = (index - (len(used) - 1) / 2) * step
            mine = [p for p in points if p["lrm"] == lrm and p["series"] == name]
            for point in (p for p in mine if p["seed"] != "mean"):
                y = lines.index(point[line_key]) + offset
                axis.plot(
                    point["value"], y, marker="|", color=color, alpha=0.6, markersize=6, linewidth=0
                )
            mean = [p for p in mine if p["seed"] == "mean"]
            if not mean:
                continue
            x = [p["value"] for p in mean]
            axis.errorbar(
                x,
                [lines.index(p[line_key]) + offset for p in mean],
                xerr=[
                    [max(0.0, p["value"] - p["low"]) for p in mean],
                    [max(0.0, p["high"] - p["value"]) for p in mean],
                ],
                color=color,
                marker=marker,
                markersize=6 if marker == "*" else 4.5,
                elinewidth=0.9,
                linewidth=0,
                label=name,
            )
        axis.set_yticks(range(len(lines)), [_wrapped(line) for line in lines])
        axis.set_ylim(max(len(lines), 1) - 0.5, -0.5)
        axis.grid(axis="y", visible=False)
        for edge in range(1, len(lines)):
            axis.axhline(edge - 0.5, color="#e6e6e6", linewidth=0.6)
        if limits:
            axis.set_xlim(*limits)
        elif points:
            axis.set_xlim(left=0)
        axis.set_xlabel(x_label)
        if len(names) > 1:
            axis.set_title(lrm)
        _say_when_empty(axis, points)
    _legend(figure, axes)
    return figure


def _wrapped(text: str) -> str:
    """Break a category's name so that it leaves room for the plot."""
    import textwrap

    spaced = one_line(text, 80).replace("_", " ").replace(",", ", ")
    return "\n".join(textwrap.wrap(spaced, 24))


def _xy(points: Sequence[Row]) -> tuple[list[float], list[float]]:
    return [p["epoch"] for p in points], [p["percent"] for p in points]


def _figure(
    columns: int, lines: int, height: float, share_x: bool = False, share_y: bool = False
) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    size = (COLUMN * columns, height * lines)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharex=share_x, sharey=share_y)
    return figure, axes


def _legend(figure: Any, axes: Any) -> None:
    """Put one legend above the panels, so that it can cover no data."""
    found: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if not found or (len(found) == 1 and len(axes.flat) == 1):
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
    for kind, metadata in (
        ("svg", {"Date": None, "Creator": None}),
        ("png", {"Software": None}),
    ):
        stream = io.BytesIO()
        figure.savefig(stream, format=kind, dpi=200, metadata=metadata)
        write_bytes(stem.with_suffix(f".{kind}"), stream.getvalue())
    text = io.StringIO()
    header = list(dict.fromkeys(key for row in rows for key in row)) or ["lrm"]
    writer = csv.DictWriter(text, header, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in rows)
    write_text(stem.with_suffix(".csv"), text.getvalue())


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--report", required=True, help="tradeoff.json")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    report = read_json(args.report)
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise InputError(f"{args.report}: expected a report of format {FORMAT}")

    import matplotlib

    shares = (-4.0, 104.0)
    lengths = {f"thinking_tokens/{name}": name for name in report["benchmarks"]}
    unfinished = {
        "truncated": "truncated (reasoning)",
        "unanswered": "unanswered (reasoning)",
        "harmful_refusal": "refused (harmful)",
    }
    with matplotlib.rc_context(STYLE):
        figures = {
            "epochs": draw_epochs(report),
            "plane": draw_plane(report),
            "categories": draw_categories(report),
            "thinking_length": draw_dots(report, lengths, "Thinking (tokens)", None),
            "length_effect": draw_length_effect(report),
            "states": draw_dots(report, unfinished, "Samples (%)", shares),
            "over_refusal": draw_dots(
                report, {"over_refusal": "over-refusal"}, "Benign prompts refused (%)", shares
            ),
            "judges": draw_judges(report),
        }
        for name, (figure, rows) in figures.items():
            save(figure, rows, args.out / name)


if __name__ == "__main__":
    run(main)
