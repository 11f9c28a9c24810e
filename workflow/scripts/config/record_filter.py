"""Which of an LRM's samples become records of a training set."""

from __future__ import annotations

from typing import Literal

from workflow.scripts.config.section import Positive, Section


class Filter(Section):
    """Which of an LRM's samples become records."""

    passes: dict[str, bool] | None = None
    """Fields of the judge's verdicts, and their values, that a sample passes with. Default: neither
    answer nor thinking harmful, by a harm judge; else a refusal of a harmful prompt, and none of a
    benign one"""
    per_prompt: Positive = 1
    """Records of one prompt at most: the first samples that pass"""
    otherwise: Literal["drop", "given"] = "drop"
    """Prompts without a sample that passes: left out, or kept with the given thinking and answer"""
    min_records: Positive = 1
    """Fewer that an LRM wrote are an error"""
