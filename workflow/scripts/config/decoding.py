"""How samples are drawn."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from workflow.scripts.config.section import Count, NotNegative, Positive, Section


class Decoding(Section):
    """How samples are drawn; every key can change a result."""

    max_thinking_tokens: Count
    """The thinking budget, its delimiter not counted"""
    max_answer_tokens: Positive
    """Longest answer"""
    temperature: NotNegative = 0.0
    """0 is greedy"""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the probability mass that is sampled from"""
    seed: Count = 0
    """Each (item, repeat) draws from its own generator, seeded from this"""
    forced_answer: str = ""
    """Opens the answer where the thinking was cut, such as `Final Answer:`"""
    force_answer: bool = True
    """False leaves cut thinking without an answer, as upstream's harm evaluation does"""
    thinking_prefix: bool = True
    """False lets the model open its thinking by itself, or not"""
    generation_prompt: bool = True
    """False leaves out the assistant's header, as upstream's harm evaluation does"""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the weights"""
