"""Rewards of a model's turns: correct answers, and what a judge passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflow.scripts.common.chat import ChatFormat
from workflow.scripts.config.kinds import HARMFUL, REASONING
from workflow.scripts.score.conditions import conditions_of, passed
from workflow.scripts.score.scorer import Sample, Scorer


@dataclass(frozen=True)
class Turn:
    """A finished turn: the question, its kind (`reasoning` or `harmful`), the target, the text."""

    question: str
    kind: str
    target: str
    text: str


def as_sample(turn: Turn, chat: ChatFormat, place: int) -> Sample:
    """Return a turn as scorers read it."""
    thinking, answer = chat.split(turn.text)
    ended = answer is not None and chat.stop in turn.text
    state = "ok" if ended else "truncated"
    return {
        "item_id": str(place),
        "prompt": turn.question,
        "target": turn.target,
        "thinking": thinking if chat.think_stop else None,
        "answer": (answer or "").strip(),
        "thinking_finish": "delimiter" if answer is not None else "budget",
        "answer_finish": "stop" if ended else "length",
        "state": state if (answer or "").strip() else "no_answer",
    }


class Reward:
    """Gives 1 for a correct answer to a problem and for a harmful prompt that the judge passes.

    A turn that did not come to its end gets 0, one that the judge could not judge None.

    Args of `__init__`:
        chat: How the model writes.
        scorers: Of each kind of prompts.
        passes: The judge's conditions, see `record_filter.Filter`.
    """

    def __init__(
        self, chat: ChatFormat, scorers: Mapping[str, Scorer], passes: Mapping[str, bool] | None
    ) -> None:
        self.chat, self.scorers, self.passes = chat, scorers, passes

    def __call__(self, turns: Sequence[Turn]) -> list[float | None]:
        rewards: list[float | None] = [0.0] * len(turns)
        samples = [as_sample(turn, self.chat, place) for place, turn in enumerate(turns)]
        for kind, scorer in self.scorers.items():
            places = [
                place
                for place, turn in enumerate(turns)
                if turn.kind == kind and samples[place]["state"] == "ok"
            ]
            if places:
                verdicts = scorer.score([samples[place] for place in places]).verdicts
                judge = self._right if kind == REASONING else self._passed
                for place, verdict in zip(places, verdicts, strict=True):
                    rewards[place] = judge(verdict)
        return rewards

    def _right(self, verdict: Mapping[str, Any]) -> float | None:
        return float(verdict["correct"]) if verdict["valid"] else None

    def _passed(self, verdict: Mapping[str, Any]) -> float | None:
        found = passed(verdict, conditions_of(self.passes, verdict, HARMFUL))
        return None if found is None else float(found)


def reward_function(reward: Reward, decode: Callable[[list[int]], str]) -> Callable[..., Any]:
    """Return the reward as TRL calls it, from token ids, for it decodes without delimiters.

    Args:
        reward: The reward.
        decode: Returns the text of token ids, with its special tokens.
    """

    def score(
        completion_ids: list[list[int]],
        question: list[str],
        kind: list[str],
        target: list[str],
        **_: Any,
    ) -> list[float | None]:
        rows = zip(question, kind, target, map(decode, completion_ids), strict=True)
        return reward([Turn(*row) for row in rows])

    return score
