"""Benign prompts that are refused."""

from __future__ import annotations

from typing import Any

from workflow.scripts.report.figures.lines import LinePoint, draw_dots
from workflow.scripts.report.figures.style import SHARES
from workflow.scripts.report.schema import Report

TITLE = "Over-refusal: benign prompts that are refused"
CAPTION = (
    "Share of benign prompts that are refused at the final epoch, mean over training seeds "
    "with 95 % intervals (over seeds and items from three seeds on, else over items); ticks "
    "are single seeds."
)


def draw(report: Report) -> tuple[Any, list[LinePoint]]:
    """Draw over-refusal."""
    series = {"over_refusal": "over-refusal"}
    return draw_dots(report, series, "Benign prompts refused (%)", SHARES)
