"""Scoring by the final answer: what the types that compare it with a gold answer share.

A type says how an answer is read and compared, see `AnswerSection`; nothing that reads ever sees
the gold answer.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, Protocol

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.kinds import REASONING
from workflow.scripts.config.llm import Llm
from workflow.scripts.score.scorer import (
    PACKAGE,
    AnswerVerdict,
    Place,
    Sample,
    Scored,
    Scorer,
    ScorerSection,
)

if TYPE_CHECKING:
    from workflow.scripts.score.judging import JudgeDescription

EXTRACTOR = "score.llm_extractor"  # loaded by name: no part of the code without an extractor
MISSING = ("", "nan", "none", "null", "n/a", "na", "<na>")


@dataclass(frozen=True)
class Answer:
    """What a text states.

    Attributes:
        text: The answer: a value as it is written, or a letter. None where no single one is stated.
        state: `ok`; `no_answer`, none is stated; `parse_error`, what is stated is not what was
            asked for (several letters, or no whole number).
    """

    text: str | None
    state: str = "ok"


NO_ANSWER = Answer(None, "no_answer")


@dataclass(frozen=True)
class Comparison:
    """Outcome of comparing an extracted answer with the gold one; `failed` when none was had."""

    correct: bool
    failed: bool = False


class Extractor(Protocol):
    """Reads answers that the rules cannot read; never sees the gold one."""

    def extract(
        self, prompts: list[str], answers: list[str], n: int
    ) -> tuple[list[Answer], JudgeDescription]:
        """Return what each text states, and what identifies the extractor and its use.

        Args:
            prompts: The questions.
            answers: Those texts that the rules could not read.
            n: How many texts there are in all.
        """
        ...


class AnswerSection(ScorerSection):
    """A scorer of final answers."""

    kinds: ClassVar[tuple[str, ...]] = (REASONING,)
    extractor: Llm | None = None
    """Reads the answers that the rules cannot read; never shown the gold answer"""

    @abstractmethod
    def read(self, text: str, prompt: str = "") -> Answer:
        """Read the answer that a text states.

        Args:
            text: What the model said.
            prompt: The question, for the options of a choice and to tell it from the answer.
        """

    def is_doubtful(self, answer: Answer) -> bool:
        """Tell whether an extractor should be asked what a text states."""
        return answer.state != "ok" or answer.text is None

    def guess(self, text: str, prompt: str = "") -> Answer:
        """Read the last expression of a text that states no answer in a usual form."""
        return NO_ANSWER

    @abstractmethod
    def grade(self, answer: str, target: str, prompt: str = "") -> Comparison:
        """Compare an answer with the gold one."""

    @abstractmethod
    def wanted(self) -> str:
        """Return what an extractor is asked for."""

    def read_reply(self, reply: str, prompt: str) -> Answer:
        """Read an extractor's reply as an answer is read: `c`, `(c)`, the option's text."""
        answer = self.read(f"Answer: {reply}", prompt)
        return answer if answer.text is not None else Answer(None, "parse_error")

    def default_answer(self) -> str | None:
        """Return the answer that counts where none was given."""
        return None

    def target_error(self, target: str) -> str | None:
        """Return what was expected of a gold answer that cannot be read: a score would be 0 %."""
        bare = bare_target(target)
        missing = bare.lower() in MISSING or not re.search(r"\w", bare)
        if missing or bare.count("{") != bare.count("}"):
            return "expected a gold answer"
        return None

    def metrics(self, kind: str) -> dict[str, str]:
        return {"accuracy": "correct"}

    def endpoints(self) -> dict[str, Llm]:
        return {"extractor": self.extractor} if self.extractor else {}

    def modules(self) -> tuple[str, ...]:
        return (*super().modules(), *([EXTRACTOR] if self.extractor else []))

    def load(self, place: Place) -> Scorer:
        if self.extractor is None:
            return AnswerScorer(self, None)
        module = import_module(f"{PACKAGE}{EXTRACTOR}")
        return AnswerScorer(self, module.load_extractor(self, self.extractor, place))


def bare_target(target: str) -> str:
    """Return a gold answer without white space, dollar signs and LaTeX's spaces."""
    return re.sub(r"\\[!,; ]|[$\s]", "", target)


class AnswerScorer:
    """Scores reasoning by its final answer.

    Args:
        section: How answers are read and compared.
        extractor: Is asked where the rules read no answer.
    """

    def __init__(self, section: AnswerSection, extractor: Extractor | None):
        self._section, self._extractor = section, extractor

    def score(self, samples: Sequence[Sample]) -> Scored:
        for sample in samples:
            if expected := self._section.target_error(sample["target"]):
                raise InputError(
                    f"item {sample['item_id']}: target is {sample['target']!r:.40}, {expected}"
                )
        answers = [self._section.read(sample["answer"], sample["prompt"]) for sample in samples]
        # The rules guess, or a chat model reads, what states no answer in a usual form; the gold
        # answer is no part of a request.
        asked = [
            index
            for index, (sample, answer) in enumerate(zip(samples, answers, strict=True))
            if self._section.is_doubtful(answer) and sample["answer"].strip()
        ]
        about: JudgeDescription = {}
        if self._extractor is not None:
            replies, about = self._extractor.extract(
                [samples[i]["prompt"] for i in asked],
                [samples[i]["answer"] for i in asked],
                len(samples),
            )
            for i, reply in zip(asked, replies, strict=True):
                answers[i] = reply
        else:
            for i in asked:
                if answers[i].text is None and samples[i].get("answer_finish") != "length":
                    answers[i] = self._guess(samples[i], answers[i])
        verdicts = [
            self._verdict(sample, answer) for sample, answer in zip(samples, answers, strict=True)
        ]
        return Scored(verdicts, about)

    def _guess(self, sample: Sample, answer: Answer) -> Answer:
        guess = self._section.guess(sample["answer"], sample["prompt"])
        return guess if guess.state == "ok" else answer

    def _verdict(self, sample: Sample, answer: Answer) -> AnswerVerdict:
        state, correct = answer.state, False
        chosen = self._section.default_answer() if answer.text is None else answer.text
        if chosen is not None:
            compared = self._section.grade(chosen, sample["target"], sample["prompt"])
            correct = compared.correct
            if answer.text is not None and state in ("ok", "parse_error"):
                state = "parse_error" if compared.failed else "ok"
        if state == "ok" or (state == "no_answer" and sample["state"] == "truncated"):
            state = sample["state"]  # a cut sample without an answer is a cut sample
        valid = state not in ("judge_error", "api_error")
        return {"state": state, "valid": valid, "correct": correct, "extracted": answer.text}
