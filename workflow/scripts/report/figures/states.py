"""Samples that were cut, have no answer, or are refused."""

from __future__ import annotations

from typing import Any

from workflow.scripts.report.figures.lines import LinePoint, draw_dots
from workflow.scripts.report.figures.style import SHARES
from workflow.scripts.report.schema import Report

TITLE = "Samples that were cut, have no answer, or are refused"
CAPTION = (
    "Share of reasoning samples whose thinking or answer was cut, or that have no readable "
    "answer, and of harmful prompts that are refused, at the final epoch, with 95 % "
    "intervals; ticks are single training seeds."
)
SERIES = {
    "truncated": "truncated (reasoning)",
    "unanswered": "unanswered (reasoning)",
    "harmful_refusal": "refused (harmful)",
}


def draw(report: Report) -> tuple[Any, list[LinePoint]]:
    """Draw the share of unfinished reasoning samples and of refused harmful prompts."""
    return draw_dots(report, SERIES, "Samples (%)", SHARES)
