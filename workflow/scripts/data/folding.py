"""Folding: the words by which two texts count as the same."""

from __future__ import annotations

import re
import sys

Words = tuple[str, ...]


def fold(text: str) -> Words:
    """Return the words of a text: casefolded, punctuation and whitespace dropped.

    A minus in front of a number belongs to it; between two numbers it is a dash.
    """
    return tuple(map(sys.intern, re.findall(r"(?<!\w)-\d\w*|\w+", text.casefold())))
