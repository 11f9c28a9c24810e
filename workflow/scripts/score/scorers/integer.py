"""A whole number, however it is written."""

from __future__ import annotations

import re
from typing import Literal

from workflow.scripts.score.answer_scorer import (
    NO_ANSWER,
    Answer,
    AnswerSection,
    Comparison,
    bare_target,
)

_WHOLE = re.compile(r"[+-]?(?:\d{1,999}|\d{1,3}(?:,\d{3})+)(?:\.0+)?")


class Integer(AnswerSection):
    """The final answer is the target's whole number."""

    type: Literal["integer"]

    def read(self, text: str, prompt: str = "") -> Answer:
        from workflow.scripts.score.values import read_value

        return _whole(read_value(text, prompt))

    def is_doubtful(self, answer: Answer) -> bool:
        from workflow.scripts.score.values import is_wordy

        return super().is_doubtful(answer) or is_wordy(str(answer.text))

    def guess(self, text: str, prompt: str = "") -> Answer:
        from workflow.scripts.score.values import last_expression

        return _whole(last_expression(text, prompt))

    def grade(self, answer: str, target: str, prompt: str = "") -> Comparison:
        from workflow.scripts.score.compare import as_integer, asks_percent, same_answer

        if (number := as_integer(answer)) is not None:
            return Comparison(number == as_integer(target))
        compared = same_answer(answer, target, in_percent=asks_percent(prompt))
        return compared if compared.correct else Comparison(False, failed=True)

    def wanted(self) -> str:
        return "a whole number, in digits, without a unit"

    def target_error(self, target: str) -> str | None:
        if expected := super().target_error(target):
            return expected
        whole = _WHOLE.fullmatch(re.sub("[{}]", "", bare_target(target)))
        return None if whole else "expected a whole number"


def _whole(value: str | None) -> Answer:
    from workflow.scripts.score.compare import as_integer

    if value is None:
        return NO_ANSWER
    return Answer(value) if as_integer(value) is not None else Answer(value, "parse_error")
