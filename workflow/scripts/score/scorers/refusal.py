"""Refusals by rules, without a model."""

from __future__ import annotations

from typing import ClassVar, Literal

from workflow.scripts.config.kinds import BENIGN, HARMFUL
from workflow.scripts.score.refusal_scorer import RefusalScorer, RefusalSection
from workflow.scripts.score.scorer import Place, Scorer


class Refusal(RefusalSection):
    """Whether the answer refuses, by patterns."""

    kinds: ClassVar[tuple[str, ...]] = (BENIGN, HARMFUL)
    type: Literal["refusal"]

    def load(self, place: Place) -> Scorer:
        return RefusalScorer(self)
