"""The final answer of a sample, by rules: a value, a whole number, or the letter of an option.

Nothing that extracts ever sees the gold answer. How a choice is read is in `choices`, how a value
is read in `values`, and how one is compared with the gold answer in `compare`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from workflow.scripts.score.choices import read_choice
from workflow.scripts.score.compare import Comparison, as_integer, same_answer
from workflow.scripts.score.values import is_exact, last_expression, read_value


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


def read_answer(section: dict[str, Any], text: str, prompt: str = "") -> Answer:
    """Read the answer that a text states.

    Args:
        section: The scorer's section: its type, and the letters of a choice.
        text: What the model said.
        prompt: The question, for the options of a choice and to tell it from the answer.
    """
    if section["type"] == "choice":
        choice = read_choice(text, section["letters"], prompt)
        if choice.letter is None:
            return Answer(None, "parse_error" if choice.several else "no_answer")
        return Answer(choice.letter)
    return _checked(section, read_value(text, prompt))


def read_last_expression(section: dict[str, Any], text: str, prompt: str = "") -> Answer:
    """Read the last expression of a text that states no answer in a usual form."""
    if section["type"] == "choice":
        return Answer(None, "no_answer")
    return _checked(section, last_expression(text, prompt, section.get("timeout_s", 5)))


def _checked(section: dict[str, Any], value: str | None) -> Answer:
    if value is None:
        return Answer(None, "no_answer")
    if section["type"] == "integer" and as_integer(value) is None:
        return Answer(value, "parse_error")
    return Answer(value)


def is_doubtful(answer: Answer) -> bool:
    """Tell whether an extractor should be asked: nothing was read, or words in place of a value."""
    if answer.state != "ok" or answer.text is None:
        return True
    return len(re.findall(r"[A-Za-z]{2,}", answer.text)) > 2 and not is_exact(answer.text)


def grade(section: dict[str, Any], answer: str, target: str, prompt: str = "") -> Comparison:
    """Compare an answer with the gold one, as the scorer's type does."""
    if section["type"] == "choice":
        return Comparison(answer == target.strip())
    if section["type"] == "integer" and (number := as_integer(answer)) is not None:
        return Comparison(number == as_integer(target))
    in_percent = re.search(r"\bper ?cent|%", prompt, re.IGNORECASE) is not None
    compared = same_answer(answer, target, section.get("timeout_s", 5), in_percent)
    if section["type"] == "integer" and not compared.correct:
        return Comparison(False, failed=True)  # no whole number
    return compared
