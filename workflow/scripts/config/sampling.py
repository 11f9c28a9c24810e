"""Training sets that an LRM writes itself: what it is asked, who judges, what is kept."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from workflow.scripts.config.ask import Ask
from workflow.scripts.config.decoding import Decoding
from workflow.scripts.config.engines import EngineName
from workflow.scripts.config.record_filter import Filter
from workflow.scripts.config.section import Positive


class Sampled(Filter):
    """Records that each LRM writes itself, for its own alignment."""

    prompts: str
    """An entry of data, neither sampled nor a mixture: its prompts are asked"""
    n: Positive | None = None
    """Its first records only"""
    ask: Ask = "{prompt}"
    """What is asked in place of the prompt, with {prompt} and, if wanted, {thinking} and {answer}
    of the record. Judge and training see the prompt alone"""
    kind: Literal["harmful", "benign"] = "harmful"
    """Of the prompts, for the judge"""
    samples: Positive = 1
    """Of each prompt"""
    engine: EngineName = "hf"
    """transformers, or vLLM"""
    decoding: Decoding
    judge: str
    """An entry of scorers"""

    @model_validator(mode="after")
    def _check(self) -> Sampled:
        if self.samples > 1 and not self.decoding.temperature:
            raise ValueError(
                f"samples is {self.samples} at temperature 0, expected 1: greedy samples are all "
                "the same"
            )
        if self.per_prompt > self.samples:
            raise ValueError(
                f"per_prompt is {self.per_prompt}, expected at most samples, {self.samples}"
            )
        return self
