"""The letter of an option, stated by itself or by the option's text."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints, model_validator

from workflow.scripts.score.answer_scorer import NO_ANSWER, Answer, AnswerSection, Comparison


class Choice(AnswerSection):
    """The final answer is the letter of the right choice."""

    type: Literal["choice"]
    letters: Annotated[str, StringConstraints(pattern="^[A-Z]{2,}$")] = "ABCD"
    """Letters of the choices"""
    default_choice: str | None = None
    """Letter that counts where none was given, as upstream's "A\""""

    @model_validator(mode="after")
    def _check(self) -> Choice:
        if len(set(self.letters)) < len(self.letters):
            raise ValueError(f"letters is {self.letters!r}, expected each letter once")
        if self.default_choice is not None and self.default_choice not in tuple(self.letters):
            raise ValueError(
                f"default_choice is {self.default_choice!r}, expected one of {self.letters}"
            )
        return self

    def read(self, text: str, prompt: str = "") -> Answer:
        from workflow.scripts.score.choices import read_choice

        choice = read_choice(text, self.letters, prompt)
        if choice.letter is None:
            return Answer(None, "parse_error") if choice.several else NO_ANSWER
        return Answer(choice.letter)

    def grade(self, answer: str, target: str, prompt: str = "") -> Comparison:
        return Comparison(answer == target.strip())

    def wanted(self) -> str:
        letters = ", ".join(self.letters)
        return f"the letter of the option it chooses, one of {letters}, and nothing else"

    def default_answer(self) -> str | None:
        return self.default_choice

    def target_error(self, target: str) -> str | None:
        if expected := super().target_error(target):
            return expected
        known = target.strip() in tuple(self.letters)
        return None if known else f"expected one of the letters {self.letters}"
