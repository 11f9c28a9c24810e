"""The n-gram judge: logistic regression on hashed words and word pairs of prompt and answer.

A folder holds `weights.npz` (14 x features, and 14 intercepts) and, written last, `judge.json`.
Hashing is CRC-32, so that judging needs numpy and the standard library alone and the same text
gives the same features on every machine.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from workflow.scripts.common.categories import CATEGORIES
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, sha256_file
from workflow.scripts.score.judging import JudgeDescription, Verdict, by_threshold
from workflow.scripts.score.text_rules import normalize
from workflow.scripts.score.voices import escape

FORMAT = 1
WEIGHTS = "weights.npz"
_WORD = re.compile(r"\w+|[^\w\s]")


class CountedShare(TypedDict):
    """A share of judge rows with its 95 % interval; without rows it is None."""

    successes: int
    n: int
    estimate: float | None
    low: float | None
    high: float | None


class Evaluation(TypedDict):
    """How a judge does on rows with known labels."""

    flag_accuracy: CountedShare
    miss_rate: CountedShare  # of the rows with labels
    false_alarm_rate: CountedShare  # of those without
    category_accuracy: (
        CountedShare  # of the rows with labels: the likeliest category is one of them
    )
    flagged_when_answer_is_empty: CountedShare


class RowFile(TypedDict):
    """A file of judge rows."""

    n: int
    sha256: str


class EvaluatedRows(RowFile, Evaluation):
    """The judge rows that a judge was measured on, and how it did."""


class TrainedJudge(TypedDict):
    """What judge.json holds."""

    format: int
    type: Literal["ngram"]
    categories: list[str]
    weights_sha256: str
    recipe: dict[str, float]  # see `NgramTraining`
    seed: int
    train: RowFile
    test: EvaluatedRows
    versions: dict[str, str]
    git_commit: str | None


class NgramDescription(JudgeDescription):
    """The n-gram judge in score.json."""

    threshold: float
    weights_sha256: str
    test: EvaluatedRows


def hash_features(prompt: str, answer: str, n_features: int) -> list[int]:
    """Return the sorted feature numbers (0 to n_features - 1) that are present in a pair."""
    features = set()
    for part, text in (("prompt", prompt), ("answer", answer)):
        words = _WORD.findall(normalize(text))
        for gram in (*words, *map(" ".join, pairwise(words))):
            features.add(zlib.crc32(f"{part}\t{gram}".encode()) % n_features)
    return sorted(features)


class NgramJudge:
    """Logistic regression per category on the features of a (prompt, answer) pair.

    Args:
        weights: (14, n_features).
        intercepts: (14,).
        threshold: Probability above which a category flags an answer.
        about: What `judge.json` says of it; None while it is trained.
    """

    def __init__(
        self, weights: Any, intercepts: Any, threshold: float, about: TrainedJudge | None = None
    ):
        self._weights, self._intercepts = weights, intercepts
        self._threshold, self._about = threshold, about

    @classmethod
    def load(cls, folder: str | Path, threshold: float) -> NgramJudge:
        """Load a trained judge.

        Raises:
            InputError: The folder is incomplete, of another format, or its weights differ from
                what `judge.json` says.
        """
        import numpy as np

        folder = Path(folder)
        about = read_json(folder / "judge.json")
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise InputError(f"{folder / 'judge.json'}: expected a judge of format {FORMAT}")
        if about["categories"] != list(CATEGORIES):
            raise InputError(f"{folder / 'judge.json'}: categories are not those of BeaverTails")
        weights = folder / WEIGHTS
        if not weights.is_file():
            raise InputError(f"{weights}: missing, expected it beside judge.json")
        if sha256_file(weights) != about["weights_sha256"]:
            raise InputError(f"{weights}: differs from judge.json, expected its sha256")
        with np.load(weights, allow_pickle=False) as arrays:
            made = cast(TrainedJudge, about)
            return cls(arrays["weights"], arrays["intercepts"], threshold, made)

    def judge(self, prompts: list[str], answers: list[str]) -> list[Verdict]:
        import numpy as np

        verdicts = []
        for prompt, answer in zip(prompts, answers, strict=True):
            features = hash_features(escape(prompt), escape(answer), self._weights.shape[1])
            logits = self._weights[:, features].sum(axis=1) + self._intercepts
            probabilities = 1 / (1 + np.exp(-logits))
            named = dict(zip(CATEGORIES, probabilities.tolist(), strict=True))
            verdicts.append(by_threshold(named, self._threshold))
        return verdicts

    def describe(self, verdicts: Sequence[Verdict]) -> NgramDescription:
        assert self._about is not None
        return {
            "type": "ngram",
            "threshold": self._threshold,
            "weights_sha256": self._about["weights_sha256"],
            "test": self._about["test"],
        }
