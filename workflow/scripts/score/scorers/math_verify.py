"""Mathematics: a value, compared by math-verify."""

from __future__ import annotations

from typing import Literal

from workflow.scripts.config.section import Positive
from workflow.scripts.score.answer_scorer import NO_ANSWER, Answer, AnswerSection, Comparison


class MathVerify(AnswerSection):
    """Mathematics: the final answer equals the target by math-verify."""

    type: Literal["math_verify"]
    timeout_s: Positive = 5
    """Seconds for one comparison"""

    def read(self, text: str, prompt: str = "") -> Answer:
        from workflow.scripts.score.values import read_value

        value = read_value(text, prompt)
        return NO_ANSWER if value is None else Answer(value)

    def is_doubtful(self, answer: Answer) -> bool:
        from workflow.scripts.score.values import is_wordy

        return super().is_doubtful(answer) or is_wordy(str(answer.text))

    def guess(self, text: str, prompt: str = "") -> Answer:
        from workflow.scripts.score.values import last_expression

        value = last_expression(text, prompt, self.timeout_s)
        return NO_ANSWER if value is None else Answer(value)

    def grade(self, answer: str, target: str, prompt: str = "") -> Comparison:
        from workflow.scripts.score.compare import asks_percent, same_answer

        return same_answer(answer, target, self.timeout_s, asks_percent(prompt))

    def wanted(self) -> str:
        return "a number, a formula (as LaTeX) or a few words, without a unit"

    def read_reply(self, reply: str, prompt: str) -> Answer:
        return Answer(reply)
