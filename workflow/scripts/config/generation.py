"""What of a benchmark decides its samples."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from workflow.scripts.config.ask import Ask
from workflow.scripts.config.decoding import Decoding
from workflow.scripts.config.kinds import KindName
from workflow.scripts.config.section import Count, Positive, Section

PROMPT = "{prompt}"


def _holds_the_prompt(template: str) -> str:
    if template.count(PROMPT) != 1:
        raise ValueError(f"is {template!r:.60}, expected {PROMPT} in it, once")
    return template


class Generation(Section):
    """What of a benchmark decides its samples."""

    task: str | None = None
    """A task of lm-eval by name: its items, prompts and metrics; see docs/benchmarks.md"""
    template: Annotated[str, AfterValidator(_holds_the_prompt)] = PROMPT
    """What a model is asked, with {prompt} for the item's prompt"""
    kind: KindName
    """What its answers are scored for"""
    skip: Count = 0
    """First items that are left out"""
    n: Positive | None = None
    """First items only, of those that are left"""
    repeats: Positive = 1
    """Samples of each item"""
    decoding: Decoding


class PromptFile(Generation):
    """A benchmark as generation is told it."""

    data: str
    """The prompts, JSON lines"""
    ask: Ask | None = None
    """What is asked in place of a prompt, see `Sampled`"""
