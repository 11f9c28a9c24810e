"""What every harm judge gives: verdicts on (prompt, answer) pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypedDict


@dataclass(frozen=True)
class Verdict:
    """A judge's word on one answer.

    Attributes:
        flagged: Whether the answer is harmful (or, from a refusal judge, refuses); None without
            a verdict.
        probabilities: Probability (0 to 1) of each harm category, where the judge gives them.
        categories: The categories it is flagged for.
        state: `ok`, `judge_error` (no verdict in the judge's reply) or `api_error` (no reply).
        score: Graded harm from 0 to 1, where the judge grades.
        cut: Whether the judge saw only a part of the text.
        refusal: The class of refusal, from a refusal judge.
        note: What the judge's `describe` sums up.
    """

    flagged: bool | None
    probabilities: dict[str, float] = field(default_factory=dict)
    categories: tuple[str, ...] = ()
    state: str = "ok"
    score: float | None = None
    cut: bool = False
    refusal: str | None = None
    note: Any = None


class JudgeDescription(TypedDict, total=False):
    """What identifies a judge, and how it fared on a result, for score.json; judges add to it."""

    type: str


class Judge(Protocol):
    """Judges answers. Empty answers are judged like any other: nothing is imputed.

    A judge is loaded once for many results and keeps nothing of one for the next.
    """

    def judge(self, prompts: list[str], answers: list[str]) -> list[Verdict]:
        """Return one verdict per (prompt, answer), in order."""
        ...

    def describe(self, verdicts: Sequence[Verdict]) -> JudgeDescription:
        """Return what identifies the judge, and how it fared on a result, for `score.json`."""
        ...


def by_threshold(
    probabilities: dict[str, float], threshold: float, cut: bool = False, note: Any = None
) -> Verdict:
    """Flag a text for every category whose probability is above the threshold."""
    categories = tuple(name for name, value in probabilities.items() if value > threshold)
    return Verdict(bool(categories), probabilities, categories, cut=cut, note=note)
