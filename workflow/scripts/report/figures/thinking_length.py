"""Tokens of thinking by model and benchmark."""

from __future__ import annotations

from typing import Any

from workflow.scripts.report.figures.lines import draw_dots
from workflow.scripts.report.figures.points import Points
from workflow.scripts.report.figures.style import Row
from workflow.scripts.report.metrics import THINKING_TOKENS

TITLE = "How long the models think"
CAPTION = (
    "Tokens of thinking by model and benchmark at the final epoch: mean over training seeds "
    "with 95 % intervals; ticks are single seeds."
)


def draw(report: Row) -> tuple[Any, Points]:
    """Draw the mean length of thinking, a series for each benchmark."""
    series = {f"{THINKING_TOKENS}/{name}": name for name in report["benchmarks"]}
    return draw_dots(report, series, "Thinking (tokens)", None)
