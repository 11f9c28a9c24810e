"""Whether a scorer can read a benchmark's gold answer: a score against none would be 0 %."""

from __future__ import annotations

import re
from typing import Any

_MISSING = ("", "nan", "none", "null", "n/a", "na", "<na>")
_WHOLE = re.compile(r"[+-]?(?:\d{1,999}|\d{1,3}(?:,\d{3})+)(?:\.0+)?")


def target_error(scorer: dict[str, Any], target: str) -> str | None:
    """Return what a scorer of answers expected of a gold answer that it cannot read, else None.

    Args:
        scorer: A section of `scorers`; only its type, and the letters of a choice, count.
        target: The gold answer.
    """
    kind, bare = scorer["type"], re.sub(r"\\[!,; ]|[$\s]", "", target)
    if bare.lower() in _MISSING or not re.search(r"\w", bare) or bare.count("{") != bare.count("}"):
        return "expected a gold answer"
    if kind == "integer" and not _WHOLE.fullmatch(re.sub("[{}]", "", bare)):
        return "expected a whole number"
    letters = scorer.get("letters") or "ABCD"
    if kind == "choice" and target.strip() not in tuple(letters):
        return f"expected one of the letters {letters}"
    return None
