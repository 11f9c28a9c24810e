"""Tokens of thinking by model and benchmark."""

from __future__ import annotations

from typing import Any

from workflow.scripts.report.figures.lines import LinePoint, draw_dots
from workflow.scripts.report.metrics import THINKING_TOKENS
from workflow.scripts.report.schema import Report

TITLE = "How long the models think"
CAPTION = (
    "Tokens of thinking by model and benchmark at the final epoch: mean over training seeds "
    "with 95 % intervals; ticks are single seeds."
)


def draw(report: Report) -> tuple[Any, list[LinePoint]]:
    """Draw the mean length of thinking, a series for each benchmark."""
    series = {f"{THINKING_TOKENS}/{name}": name for name in report["benchmarks"]}
    return draw_dots(report, series, "Thinking (tokens)", None)
