"""A wrong decoding value is named, and a thinking budget of 0 is right."""

from __future__ import annotations

from typing import Any

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.decoding import Decoding
from workflow.scripts.config.section import read_section

LIMITS = {"max_thinking_tokens": 1, "max_answer_tokens": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_thinking_token": 1}, "max_thinking_token is unknown; did you mean max_thinking_"),
        ({"temperature": -1}, "temperature is -1, expected at least 0"),
        ({"top_p": 0}, "top_p is 0, expected above 0"),
        ({"seed": "1"}, "seed is '1', expected a whole number"),
        ({"max_answer_tokens": True}, "max_answer_tokens is True, expected a whole number"),
        ({"force_answer": 1}, "force_answer is 1, expected a boolean"),
    ],
)
def test_a_wrong_decoding_value_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^decoding: {message}"):
        read_section(Decoding, {**LIMITS, **change}, "decoding")


def test_no_thinking_at_all_is_a_budget() -> None:
    section = read_section(Decoding, {**LIMITS, "max_thinking_tokens": 0}, "decoding")
    assert section.max_thinking_tokens == 0
