"""Which value an answer states as its result: a number, a formula, or a few words.

Order: the last `\\boxed{}` (with the boxes beside it), unless a later "Final Answer: X" gives a
value; else the last line "Answer: X" or sentence "the answer is X"; else a last line that is a
value alone; else, where nobody else can be asked, the last expression of the last sentence.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from workflow.scripts.score.markup import Box, find_boxes, own_part, to_latex, unbox

LINE = 1000  # characters of a line that are looked at
# What announces a result at the start of a line, and what does within one
_LABEL_LINE = re.compile(
    r"^[ \t>*_#✅-]{0,20}(?:(?:the|my|our|so|thus|therefore|hence),? )?"
    r"(?:(?:final|correct|exact|numerical) )*(?:answer|ans|result)\b[ \t*_]*"
    r"(?:is)?[ \t*_]*(?:[:=.]|-(?=\s))"
    r"|^####(?=[ \t]*\S)"
    r"|(?:答案|答え|解答|정답|답)[ \t*]*[:是为は은]"
    r"|^[ \t>*_#]{0,20}(?:antwort|lösung|réponse|reponse|respuesta|"
    r"resposta|risposta|ответ)[ \t*]*:",
    re.IGNORECASE | re.MULTILINE,
)
_LABEL_WITHIN = re.compile(
    r"\b(?:answer|result)\b(?:(?! correct| right)[^\n:=.,!?$\\]){0,60}?"
    r"(?:\bis\b|\bare\b|\bequals\b|:|=)(?: (?:therefore|thus|"
    r"hence|then|simply|just|equal to|given by|exactly|approximately|about)\b)?:?"
    r"|\b(?:antwort|réponse|respuesta|resposta|risposta|ответ)\b[^\n:=.!?$\\]{0,40}?"
    r"(?:\b(?:ist|lautet|est|es|é|è)\b|:|-)",
    re.IGNORECASE,
)
_LABELLED = re.compile(
    r"answer|ans\b|result|####|antwort|lösung|réponse|reponse|respuesta|resposta|risposta|ответ"
    r"|答案|答え|解答|정답|답",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"^[ \t>*_#✅-]{0,20}(?:the )?(?:final )?(?:answer|result|答案|antwort|réponse|respuesta|ответ)"
    r"[ \t>*_#:]{0,20}$",
    re.IGNORECASE,
)
# How a value begins
_VALUE = re.compile(
    r"[-+(\[{|]*(?:\d|\.\d|\\(?!text|mathrm|mbox)[a-zA-Z{]|\$|[a-zA-Z](?![a-zA-Z]))"
)
_WORD = re.compile(r"(?<!\\)\b[A-Za-z]{2,}")
# Where a value ends and a remark on it begins
_REMARK = re.compile(
    r"[,;]?\s(?:since|because|as|for|where|so|which|when|not|with|after|attained|if|that|by|but|in|"
    r"at|from|per year)\s|"
    r",\s(?!(?:and|or)\b)(?=[A-Za-z]{2,})|\s\((?=[^()]*(?:[A-Za-z]{2,}|=|\$))|\s-\s(?=[A-Za-z]{2,})",
    re.IGNORECASE,
)
_BETWEEN_BOXES = re.compile(
    r"(?:[\s$,;&.]|\\[,;quad]+|\\text\{\s*(?:and|or)\s*\}|\b(?:and|or)\b|[a-zA-Z]\s*=)*"
)
# A last sentence that states nothing: a refusal, missing information, a plan
_STATES_NOTHING = re.compile(
    r"\b(?:sorry|apologi[sz]e|(?:i|we)(?: am|'m| are)? ?(?:can't|cannot|can not|"
    r"won't|will not|unable|do not|"
    r"don't|need|would need|not able|not sure)|not enough|insufficient|impossible to|cannot be "
    r"determined|how many|how much|let me|let us|let's)\b",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"^\W*(?:i hope|hope (?:this|that|it)|let me know|feel free|if you have|please let|good luck)",
    re.IGNORECASE,
)


# `4\\frac{1}{4}`, `5\\sqrt{2}`, `3\\pi` outside of delimiters
_FORMULA = re.compile(
    r"(?<![\w$\\{])-?(?:\d[\d.,]{0,40})?(?:\\(?:sqrt|[td]?frac)(?:\{[^{}$]{1,60}\}){1,2}|\\pi\b)"
    r"(?: ?/ ?\d{1,20})?"
)


# What a sentence says of its result at the end: "x = 3 (since -2 is no length)"
_ASIDE = re.compile(
    r"(?<=[\w}$)])(?:\s\([^()\n]*[A-Za-z]{2,}[^()\n]*\)|"
    r",?\s(?:since|because|which|as required|given that|after \w+ing)\b.*)"
    r"(?=[.*\s]*$)"
)


class _Stated(NamedTuple):
    """A value that a text announces: its place, and whether no words are around it."""

    start: int
    value: str
    bare: bool


def read_value(text: str, prompt: str = "") -> str | None:
    """Return the result that a text states in a usual form; None when it states none."""
    text = re.sub(r"<answer>", "\nAnswer: ", own_part(text, prompt), flags=re.IGNORECASE)
    text = to_latex(text)
    boxes = find_boxes(text)
    statements = _statements(unbox(text)[0] if not boxes else text)
    if boxes:
        later = [
            s
            for s in statements
            if s.start > boxes[-1].end and s.bare and not re.search(r"=|\\equiv", s.value)
        ]
        return later[-1].value if later else _boxed(text, boxes)
    if statements:
        return statements[-1].value
    lines = [line.strip(" \t*_#>$[]()\\") for line in text.split("\n") if re.search(r"\w", line)]
    if lines and len(lines[-1]) < 60 and re.match(r"[-+]?[\d\\.]", lines[-1]):
        last = lines[-1].rstrip(".")
        if not _WORD.search(last) and not last.endswith("?"):
            return last
    return None


def last_expression(text: str, prompt: str = "", timeout_s: int = 5) -> str | None:
    """Return the last expression of the last sentence of a text that states no result."""
    lines = [
        line for line in to_latex(own_part(text, prompt)).split("\n") if re.search(r"\w", line)
    ]
    while lines and _CLOSING.match(lines[-1]):
        lines.pop()
    if not lines or any(_HEADING.match(line) for line in lines[-1:]):
        return None
    sentences = [s for s in re.split(r"(?<=[.!?])\s", lines[-1][-LINE:]) if re.search(r"\w", s)]
    if not sentences or sentences[-1].rstrip(" *").endswith("?"):
        return None
    if any(_STATES_NOTHING.search(part) for part in (sentences[-1], lines[0][:300])):
        return None
    found = (_expression_in(sentence, timeout_s) for sentence in sentences[:-3:-1])
    return next(filter(None, found), None)


def _expression_in(sentence: str, timeout_s: int) -> str | None:
    """Return the expression that a sentence ends with; None where it has none."""
    sentence = _ASIDE.sub("", sentence)
    if bold := re.findall(r"\*\*([^*\n]{1,60})\*\*", sentence):
        if re.match(r"[-+$\\]*\d", bold[-1]):
            return str(bold[-1])
    if not re.search(r"[\d$\\]", sentence):
        return None
    if sentence.count("$") == 1 and (money := re.search(r"\$(\d[\d,]*(?:\.\d+)?)", sentence)):
        return money[1]
    equals = re.search(r"(?:[=≈]|\b(?:is|are|equals)\s)([^=≈$]{1,100})$", sentence.rstrip(" .*"))
    if equals and is_exact(equals[1].strip()) and is_bare(equals[1]):
        return equals[1].strip()
    from math_verify import parse

    if "$" not in sentence:
        sentence = _FORMULA.sub(r"$\g<0>$", sentence)
    found = [p for p in parse(sentence, parsing_timeout=timeout_s) if isinstance(p, str)]
    return found[-1].strip() or None if found else None


def _boxed(text: str, boxes: list[Box]) -> str:
    """Return what the last box holds, and the boxes beside it: `\\boxed{1}, \\boxed{-2}`."""
    last = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        gap = text[box.end : last[0].start]
        if len(gap) > 40 or "\n\n" in gap or not _BETWEEN_BOXES.fullmatch(gap):
            break
        last.insert(0, box)
    contents = [
        find_boxes(box.content)[-1].content
        if "\\boxed" in box.content and find_boxes(box.content)
        else box.content
        for box in last
    ]
    distinct = list(dict.fromkeys(contents))
    return ", ".join(distinct)


def _statements(text: str) -> list[_Stated]:
    """Return the values that follow a label; those in the middle of a line only where exact."""
    found: list[_Stated] = []
    lines = text.split("\n")
    offset = 0
    for index, line in enumerate(lines):
        if not _LABELLED.search(line[: 10 * LINE]):
            offset += len(line) + 1
            continue
        label = _LABEL_LINE.search(line) if len(line) < 10 * LINE else None
        heading = _HEADING.match(line[:200])
        tail = line[label.end() :][:LINE] if label else ""
        if heading or (label and not re.search(r"\w", tail)):
            below = [one for one in lines[index + 1 : index + 6] if re.search(r"\w", one)]
            if below and not _LABEL_LINE.search(below[0]) and (value := value_of(below[0][:LINE])):
                found.append(_Stated(offset + len(line), value, is_exact(value)))
        elif label and (value := value_of(tail)):
            found.append(_Stated(offset + label.end(), value, is_exact(value)))
        for within in list(_LABEL_WITHIN.finditer(line[: 10 * LINE]))[-3:]:
            if label and within.end() <= label.end():
                continue
            tail = line[within.end() :][:LINE]
            if is_bare(tail) and (value := value_of(tail)):
                found.append(_Stated(offset + within.end(), value, True))
        offset += len(line) + 1
    return sorted(found, key=lambda one: one.start)


def is_bare(tail: str) -> bool:
    """Tell whether a text begins with a value and goes on with few words, or a remark."""
    tail = tail.lstrip(" \t*_:>\"'“")
    if not _VALUE.match(tail) or re.match(r"[aAI]\s", tail):
        return False
    first = _before_remark(_first_sentence(tail))
    return len(
        _WORD.findall(re.sub(r"\$[^$]*\$|\\[a-z]+\{[^{}]*\}", "", first))
    ) <= 3 and not re.search(r"\b(?:more|less|fewer|times|different|steps?|ways? to)\b", first)


def is_exact(value: str) -> bool:
    """Tell a number or a formula, with a unit at most, from words."""
    words = _WORD.findall(re.sub(r"\\(?:text|mbox|mathrm)\{[^{}]*\}", "", value))
    return bool(_VALUE.match(value)) and len(words) <= 2


def is_wordy(value: str) -> bool:
    """Tell whether what was read as a value is words in the place of one."""
    return len(re.findall(r"[A-Za-z]{2,}", value)) > 2 and not is_exact(value)


def value_of(tail: str) -> str | None:
    """Take the value out of what follows a label: a formula, a number with its unit, few words."""
    tail = _first_sentence(tail.strip().strip("*_>\"'“”✅ \t").strip())
    tail = re.sub(r"</?\w{1,12}>.*$|[*_`]{1,3}(?=\s|$|[.,;])|(?<=\s)\*\*", "", tail).strip()
    tail = re.sub(r"(?:です|입니다|。).*$", "", tail).strip()
    if not re.search(r"\w", tail):
        return None
    if tail.count("$") % 2:  # money
        tail = re.sub(r"\\?\$(?=\d)", "", tail)
    formulas = re.findall(r"(?<!\\)\$([^$]+)(?<!\\)\$|\\\((.+?)\\\)", tail)
    formulas = [(a or b).strip() for a, b in formulas]
    if _VALUE.match(tail) and not re.match(r"[aAI]\s", tail):
        if copula := re.match(
            r"(?:\$[^$]{1,80}\$|\\\([^\n]{1,80}?\\\)|[a-zA-Z])\s+(?:is|equals|=)\s+(.+)", tail
        ):
            return value_of(copula[1])
        first = _before_remark(tail).strip(" *_.,;:")
        inside = re.fullmatch(r"\$([^$]+)\$|\\\((.+)\\\)|\\\[(.+)\\\]", first)
        if inside:
            return (inside[1] or inside[2] or inside[3]).strip()
        if (
            len(formulas) == 1
            and first.startswith("$")
            and not re.search(r"\d", first.rpartition("$")[2])
        ):
            return formulas[0]
        return first or None
    if copula := re.search(
        r"^(?:[^$\\\n]|\$[^$]{1,80}\$){1,200}?\b(?:is|are|be|equals?|equal to|=)\s+(.+)$", tail
    ):
        if value := value_of(copula[1]):
            return value
    if len(formulas) == 1:
        return formulas[0]
    if bold := re.search(r"^[^\d$\\]{0,80}?([-+]?\d[\d,.]*)\D{0,40}$", tail):
        return bold[1].rstrip(".,") if len(_WORD.findall(tail)) > 4 else tail.rstrip(" .")
    return tail.rstrip(" .") if len(_WORD.findall(tail)) <= 4 else None


def _before_remark(text: str) -> str:
    """Return a text up to the first remark that is outside of a formula."""
    remark = _REMARK.search(_without_formulas(text))
    return text[: remark.start()] if remark else text


def _first_sentence(text: str) -> str:
    end = re.search(r"(?<=[^\s.\\])[.!?](?=[\s*]|$)", _without_formulas(text))
    return text[: end.start()] if end else text


def _without_formulas(text: str) -> str:
    """Return a text of the same length with zeros in place of each formula."""
    return re.sub(r"\$[^$]*\$|\\\(.*?\\\)", lambda found: "0" * len(found[0]), text)
