"""Folding: the words by which two texts count as the same."""

from __future__ import annotations

import re
import sys

Words = tuple[str, ...]


def fold(text: str) -> Words:
    """Return the words of a text: casefolded, punctuation and whitespace dropped.

    Signs go with the punctuation, so that prompts which differ in a minus alone count as the
    same: the normalised and n-gram overlaps err on the high side.
    """
    return tuple(map(sys.intern, re.findall(r"\w+", text.casefold())))
