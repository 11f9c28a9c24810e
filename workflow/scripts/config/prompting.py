"""What is written into a model's prompts beside the question: control without training."""

from __future__ import annotations

from workflow.scripts.config.section import Section


class Prompting(Section):
    """What is written into a model's prompts beside the question."""

    prefix: str = ""
    """Opens the thinking, which goes on after it; its tokens count as thinking"""
    close_thinking: bool = False
    """The thinking ends after the prefix; without a prefix the model does not think"""
    system: str | None = None
    """System text, in place of the chat format's"""
    effort: str | None = None
    """How much the model shall think, of the levels that its chat format knows"""


NOTHING_TOLD = Prompting()
