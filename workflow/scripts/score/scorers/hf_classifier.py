"""Harm by a classifier of transformers, see `classifier_judge.py` and `fetch_judge.py`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from workflow.scripts.config.classifier import FetchedJudge
from workflow.scripts.config.section import Count
from workflow.scripts.score.harm_scorer import HarmSection
from workflow.scripts.score.judging import Judge
from workflow.scripts.score.scorer import Place


class HfClassifier(HarmSection, FetchedJudge):
    """A classifier of transformers, such as beaver-dam-7b."""

    gpus: ClassVar[int] = 1
    parameters: ClassVar[float] = 7e9  # beaver-dam-7b's
    type: Literal["hf_classifier"]
    template: str = "BEGINNING OF CONVERSATION: USER: {prompt} ASSISTANT:{answer}"
    """What it reads, with {prompt} and {answer}"""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Of its weights"""
    windows: Literal["whole", "first_256"] = "whole"
    """The whole answer in windows, or upstream's first 256 tokens"""
    overlap_tokens: Count = 64
    """Tokens that two windows share"""

    @model_validator(mode="after")
    def _check(self) -> HfClassifier:
        parts = [self.template.count(part) for part in ("{prompt}", "{answer}")]
        if parts != [1, 1] or self.template.index("{prompt}") > self.template.index("{answer}"):
            raise ValueError(f"template is {self.template!r}, expected {{prompt}}, then {{answer}}")
        if self.overlap_tokens >= self.window_tokens // 2:
            raise ValueError(
                f"overlap_tokens is {self.overlap_tokens}, expected below half of window_tokens "
                f"{self.window_tokens}"
            )
        return self

    def fetched_judge(self) -> FetchedJudge | None:
        if self.model.hub is None:
            return None
        return FetchedJudge(
            model=self.model, weights=self.weights, window_tokens=self.window_tokens
        )

    def local_model(self) -> str | None:
        return self.model.path

    def load_judge(self, place: Place) -> Judge:
        from workflow.scripts.score.classifier_judge import ClassifierJudge

        return ClassifierJudge(self, place.batch_size, place.device)
