"""The text of an answer without its mark-up: boxes, LaTeX, Markdown, unicode, a second question.

Every function takes one pass over the text or a bounded number of them: what a model wrote may be
hostile, and no time limit covers the search for an answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ"
_SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉"
_FRACTIONS = dict(
    zip("½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞", "12 13 23 14 34 15 25 35 45 16 56 18 38 58 78".split(), strict=True)
)
_SYMBOLS = {
    "−": "-",
    "–": "-",
    "—": "-",
    "‐": "-",
    "‑": "-",
    "×": r"\times ",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "÷": "/",
    "π": r"\pi ",
    "∞": r"\infty ",
    "°": r"^\circ ",
    "±": r"\pm ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "∪": r"\cup ",
    "∈": r"\in ",
    "⁄": "/",
}
# Full-width forms of ASCII, other spaces, and marks that show nothing
_PLAIN: dict[int, str | None] = {0xFF01 + i: chr(0x21 + i) for i in range(94)}
_PLAIN |= dict.fromkeys((0x3000, 0xA0, 0x202F, 0x2009), " ")
_PLAIN |= dict.fromkeys((0x200B, 0x200C, 0x200D, 0xFEFF, 0x2060), None)
_BOX = re.compile(r"\\(?:boxed|fbox)[ \t]*")
_TOKEN = re.compile(r"[^\s$.,{}\\]{1,100}")
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)
_IN_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf|textit|mathit|mbox|bf|rm)\s*\{([^{}]*)\}")
# Whoever speaks after such a line is not the model that was asked.
_NEXT_TURN = re.compile(
    r"<\|(?:im_start|im_end|eot_id|endoftext|end_of_text|start_header_id|User)[^>]{0,20}\|?>|</s>"
    r"|^[ \t#>*]*(?:(?:next |new )?question|q|human|"
    r"user|instruction|问题)[ \t]*\d{0,3}[*]*[ \t]*[:.：]",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True)
class Box:
    """The content of a `\\boxed{…}`: its place in the text, and its content."""

    start: int
    end: int
    content: str


def find_boxes(text: str) -> list[Box]:
    """Return the closed, outermost, filled boxes of a text in order, in one pass over it."""
    opens = {found.end(): found.start() for found in _BOX.finditer(text)}
    spans: list[tuple[int, int, int, int]] = []  # start, end, and those of the content
    for inside, start in opens.items():  # `\\boxed 7`
        token = None if text.startswith("{", inside) else _TOKEN.match(text, inside)
        if token:
            spans.append((start, token.end(), inside, token.end()))
    waiting: list[tuple[int, int | None]] = []  # (place after a brace, start of the box it opens)
    for found in _BRACES.finditer(text):
        if found.group() == "{":
            waiting.append((found.end(), opens.get(found.start())))
        elif found.group() == "}" and waiting:
            inside, opening = waiting.pop()
            if opening is not None:
                spans.append((opening, found.end(), inside, found.start()))
    spans.sort(key=lambda span: (span[0], -span[1]))
    boxes: list[Box] = []
    done = 0
    for start, end, inside, stop in spans:
        if start >= done:
            done = end
            if content := text[inside:stop].strip():
                boxes.append(Box(start, end, content))
    return boxes


def unbox(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the text with each box replaced by its content, and where those stand in it."""
    parts: list[str] = []
    spans, done, length = [], 0, 0
    for box in find_boxes(text):
        content = box.content
        for _ in range(3):  # a box in a box
            if inner := find_boxes(content):
                content = inner[-1].content
        parts += [text[done : box.start], content]
        length += box.start - done + len(content)
        spans.append((length - len(content), length))
        done = box.end
    return "".join([*parts, text[done:]]), spans


def own_part(text: str, prompt: str = "") -> str:
    """Return what the model says itself: no repeated prompt, nothing after a second question."""
    if len(prompt.strip()) >= 15:
        text = text.replace(prompt.strip(), "\n")
    start = len(text) - len(text.lstrip())
    turn = next((m for m in _NEXT_TURN.finditer(text) if m.start() > start), None)
    return text[: turn.start()] if turn else text


def to_latex(text: str) -> str:
    """Write the unicode of mathematics in LaTeX and ASCII: `√2`, `3½`, `x²`, `–3`, `６４`."""
    text = text.translate(_PLAIN)
    text = re.sub(
        f"[{_SUPERSCRIPTS}]+",
        lambda m: "^{" + m[0].translate(str.maketrans(_SUPERSCRIPTS, "0123456789+-n")) + "}",
        text,
    )
    text = re.sub(
        f"[{_SUBSCRIPTS}]+",
        lambda m: "_{" + m[0].translate(str.maketrans(_SUBSCRIPTS, "0123456789")) + "}",
        text,
    )
    text = re.sub(
        f"[{''.join(_FRACTIONS)}]",
        lambda m: rf"\frac{{{_FRACTIONS[m[0]][0]}}}{{{_FRACTIONS[m[0]][1]}}}",
        text,
    )
    text = re.sub(r"√\s?(?:\(([^()\n]{1,40})\)|(\d+|[A-Za-z]))", r"\\sqrt{\1\2}", text)
    return re.sub(f"[{''.join(_SYMBOLS)}]", lambda m: _SYMBOLS[m[0]], text)


def plain_text(text: str) -> str:
    """Take Markdown, LaTeX delimiters and text commands, quotes and tags off a text."""
    text = re.sub(r"[ \t\r\f\v]+", " ", text.translate(_PLAIN))
    text = re.sub(r"(?<=[a-z])_(?=[a-z])", " ", text)  # keys of JSON
    text = re.sub(r"<(?:final )?answer>", " answer: ", text, flags=re.IGNORECASE)
    text = re.sub(r"</?[A-Za-z ]{1,14}>", " ", text)
    text = re.sub(r" ?[–—−] ?(?=\D)", " - ", text)
    text = re.sub(r"\\[,;: ]", " ", text)
    text = re.sub(r"\\[()\[\]!]|\\(?:left|right|quad|qquad)\b|[$*`\"“”„«»‘]", "", text)
    for _ in range(3):  # commands in commands
        text = _IN_TEXT.sub(r"\1", text)
    text = re.sub(r"(?m)^[ >#~|]{1,20}(?:[-•+] )?|^[-•+] |_{2,3}", "", text)
    return re.sub(r" {2,}", " ", text)
