"""Harm by the n-gram judge that is trained here, see `ngram_judge.py` and `train_judge.py`."""

from __future__ import annotations

from typing import Literal

from workflow.scripts.common.errors import InputError
from workflow.scripts.score.harm_scorer import HarmSection
from workflow.scripts.score.judging import Judge
from workflow.scripts.score.scorer import Place


class Ngram(HarmSection):
    """The n-gram judge that is trained here."""

    type: Literal["ngram"]
    judge: str
    """An entry of judges"""

    def trained_judge(self) -> str | None:
        return self.judge

    def load_judge(self, place: Place) -> Judge:
        from workflow.scripts.score.ngram_judge import NgramJudge

        if place.judge is None:
            raise InputError(
                f"{place.where}: judge is missing, expected the folder of a trained n-gram judge"
            )
        return NgramJudge.load(place.judge, self.threshold)
