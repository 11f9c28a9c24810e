"""The harmful score by the category of the prompt."""

from __future__ import annotations

from typing import Any

from workflow.scripts.report.escape import one_line
from workflow.scripts.report.figures.layout import seeds_of, span
from workflow.scripts.report.figures.lines import LinePoint, draw_lines
from workflow.scripts.report.figures.points import scaled
from workflow.scripts.report.figures.style import SHARES, shown_names, style_of
from workflow.scripts.report.schema import Report
from workflow.scripts.report.tables.table import model_name

TITLE = "Harmful score by the category of the prompt"
CAPTION = (
    "Harmful score by the category of the prompt at the final epoch, mean over training "
    "seeds, with 95 % intervals."
)


def draw(report: Report) -> tuple[Any, list[LinePoint]]:
    """Draw the harmful score of each model by the prompts' category, on the first benchmark.

    Several benchmarks would write over each other; the points (and the CSV) are of all.
    """
    names = shown_names(report)
    points: list[LinePoint] = [
        {
            "lrm": one["lrm"],
            "model": model_name(one),
            "category": one["category"],
            "benchmark": one["benchmark"],
            "seed": "mean",
            "n": one["n"],
            "status": one["status"],
            "series": names[model_name(one)],
            "value": value[0],
            "low": value[1],
            "high": value[2],
        }
        for one in report["categories"]
        if (value := scaled(one))
    ]
    first = next((p["benchmark"] for p in points), "")
    drawn = [p for p in points if p["benchmark"] == first]
    by_model = style_of(report)
    order = sorted(drawn, key=lambda p: list(by_model).index(p["model"]))
    styles = {p["series"]: by_model[p["model"]] for p in order}
    numbers_of = [p["n"] for p in drawn]
    about = [
        f"{span(numbers_of)} prompts a category",
        seeds_of(report),
        "95 % intervals over items",
    ]
    x_label = f"Harmful score on {one_line(first, 40)} (%)" if first else "Harmful score (%)"
    figure = draw_lines(
        report, drawn, styles, x_label, SHARES, lambda p: p["category"], about if numbers_of else []
    )
    return figure, points
