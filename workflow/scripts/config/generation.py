"""What of a benchmark decides its samples."""

from __future__ import annotations

from typing import Literal

from workflow.scripts.config.ask import Ask
from workflow.scripts.config.decoding import Decoding
from workflow.scripts.config.section import Positive, Section


class Generation(Section):
    """What of a benchmark decides its samples."""

    task: str = "prompts"
    """lm-eval task of workflow/tasks/"""
    kind: Literal["reasoning", "harmful", "benign"]
    """What its answers are scored for"""
    n: Positive | None = None
    """First items only"""
    repeats: Positive = 1
    """Samples of each item"""
    decoding: Decoding


class PromptFile(Generation):
    """A benchmark as generation is told it."""

    data: str
    """The prompts, JSON lines"""
    ask: Ask | None = None
    """What is asked in place of a prompt, see `Sampled`"""
