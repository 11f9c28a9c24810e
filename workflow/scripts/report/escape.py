"""Text of models and configurations made harmless for each format that it is shown in."""

from __future__ import annotations

import re

# Terminal codes and other control characters, and marks that turn the order of text around.
_ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
CELL = 32_000  # characters; spreadsheets cut a cell at 32,767
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: object) -> str:
    """Return the text with every mark that acts on a terminal or on the reading order spelled out.

    New lines and tabs stay; U+202E becomes ⟨U+202E⟩.
    """
    return _ACTING.sub(lambda mark: f"⟨U+{ord(mark[0]):04X}⟩", str(text))


def one_line(text: object, most: int = 300) -> str:
    """Return the visible text in one line of at most `most` characters."""
    line = " ".join(visible(text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def csv_cell(value: object) -> object:
    """Return a value that no spreadsheet takes for a formula: such a text gets a leading quote.

    Numbers stay numbers, and so do texts that are numbers.
    """
    if not isinstance(value, str):
        return value
    text = visible(value)
    text = text if len(text) <= CELL else f"{text[: CELL - 1]}…"
    if text.startswith(_FORMULA) and not _is_number(text):
        return f"'{text}"
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def escape_markdown(text: object) -> str:
    """Return one line that Markdown and the HTML inside it read as plain text."""
    line = re.sub(r"([\\`*_\[\]<>|#&~$])", r"\\\1", one_line(text, 2000))
    # An address would become a link, a leading mark a list or a heading.
    line = re.sub(r"(?i)\b(https?|ftp|mailto):", r"\1\\:", line)
    return re.sub(r"^([-+=]|\d+(?=[.)]\s))", r"\\\1", line) if re.match(r"[-+=]\s", line) else line


def escape_latex(text: object) -> str:
    """Return one line in which every character that LaTeX reads as a command is escaped."""
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "−": r"$-$",
        "–": r"--",
        "…": r"\ldots{}",
        "⟨": r"\textless{}",
        "⟩": r"\textgreater{}",
        **{character: f"\\{character}" for character in "&%$#_{}"},
    }
    return "".join(special.get(character, character) for character in one_line(text, 2000))
