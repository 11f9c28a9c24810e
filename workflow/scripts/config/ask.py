"""What is asked in place of a prompt: a text with fields of the record in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

FIELD = re.compile(r"\{(prompt|thinking|answer)\}")


def expect_prompt(ask: str) -> str:
    """Return a text with `{prompt}` in it; `ValueError` where it has none."""
    if "{prompt}" not in ask:
        raise ValueError(f"is {ask!r:.60}, expected a text with {{prompt}} in it")
    return ask


Ask = Annotated[str, AfterValidator(expect_prompt)]


def fill(ask: str, fields: Mapping[str, Any]) -> str:
    """Return a text with the fields of a record put in; a thinking that is not there is empty."""
    return FIELD.sub(lambda found: fields.get(found[1]) or "", ask)
