"""Reading the final answer out of a model's text, and comparing it with the gold answer.

Nothing that extracts ever sees the gold answer. Order: the last `\\boxed{}`, else the last line
of the form "Final Answer: X" / "Answer: X" / "#### X" that is not prose, unless a later "the answer
is X" gives a number, a formula or a letter; else the last "the answer is X", else (mathematics
only) the last expression that math-verify finds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ANSWER_LINE = re.compile(
    r"^[ \t>*_#-]*(?:final )?answer[ \t*_]*(?:is)?[ \t*_]*[:：][\s*_]*+"
    r"(?!(?:final )?answer[ \t*_]*[:：]|####)(\S.*)$"  # not the mark of the next line
    r"|^####[ \t]*(\S.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_ANSWER_IS = re.compile(
    r"\b(?:answer|result) (?:is|equals)[: ]+(?:\*\*)?(.+?)(?:\*\*)?(?:[.!](?=\s|$)|\n|$)",
    re.IGNORECASE,
)
# How an answer begins that is no sentence: a number, a formula, an option's letter
_EXACT = re.compile(
    r"[-+(\[{]*[\d$\\]|(?i:option |choice )?[(\[]?(?:[B-HJ-Z](?![A-Za-z])|[AI](?:[)\].:,;]|$))"
)
_WORD = re.compile(r"[A-Za-z]{2,}")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
# "12 apples": a number and then words alone
_UNITS = re.compile(r"^([+-]?\$?\d[\d.,/]*)(?:\s+[A-Za-z]{3,})+\.?$")
_INTEGER = re.compile(r"[+-]?\d+")


def last_boxed(text: str) -> str | None:
    """Return what the last `\\boxed{…}` (braces balanced) or `\\boxed X` holds; None if none."""
    for found in reversed(list(_BOX.finditer(text))):
        rest = text[found.end() :]
        if not rest.startswith("{"):
            if token := re.match(r"[^\s$.,]+", rest):
                return token.group()
            continue
        depth = 0
        for index, character in enumerate(rest):
            escaped = index > 0 and rest[index - 1] == "\\"
            depth += {"{": 1, "}": -1}.get(character, 0) if not escaped else 0
            if depth == 0:
                return rest[1:index].strip() or None
    return None


def extract_answer(text: str) -> str | None:
    """Return the final answer that a text states in a usual form; None when it states none."""
    if boxed := last_boxed(text):
        return boxed
    lines = [
        (found.start(), answer)
        for found in _ANSWER_LINE.finditer(text)
        if (answer := _bare_line((found[1] or found[2]).strip())) and not _is_prose(answer)
    ]
    stated = [
        (found.start(), answer)
        for found in _ANSWER_IS.finditer(text)
        if (answer := found[1].strip(" *_:")) and not _is_prose(answer)
    ]
    position = lines[-1][0] if lines else -1
    if stated and (not lines or (stated[-1][0] > position and _is_bare(stated[-1][1]))):
        return stated[-1][1]
    return lines[-1][1] if lines else None


def _is_bare(answer: str) -> bool:
    """Tell a number, a formula or a letter from one with words around it."""
    return bool(_EXACT.match(answer)) and not _WORD.search(re.sub(r"\\[A-Za-z]+", "", answer))


def _is_prose(answer: str) -> bool:
    """Tell a sentence, such as a solution that begins with "Answer:", from an answer."""
    return len(_WORD.findall(answer)) > 4 and not _EXACT.match(answer)


def _bare_line(line: str) -> str | None:
    """Take the answer out of what follows "Answer:", which may be a sentence or go on after it."""
    if inner := _ANSWER_IS.findall(line):
        return inner[-1].strip(" *_") or None
    formulas = re.findall(r"(?<!\\)\$([^$]+)(?<!\\)\$", line)
    if len(formulas) == 1:
        return formulas[0].strip()
    return re.split(r"[.!]\s", line, maxsplit=1)[0].strip(" *_") or None


def extract_expression(text: str, timeout_s: int = 5) -> str | None:
    """Return the last mathematical expression of a text that states no answer; None if none."""
    if not re.search(r"[\d$\\]", text):
        return None
    from math_verify import parse

    found = [part for part in parse(text, parsing_timeout=timeout_s) if isinstance(part, str)]
    return found[-1].strip() or None if found else None


def as_integer(text: str) -> int | None:
    """Read a whole number as mathematicians write it (`$073$`, `1,024`, `\\text{204}`, `12.`)."""
    bare = re.sub(r"\\(?:text|mathrm|mathbf|textbf)\{([^{}]*)\}", r"\1", text)
    bare = re.sub(r"\\[()\[\]!,;$]|\{,\}|[$\s*]", "", bare).rstrip(".")
    bare = re.sub(r"(?<=\d),(?=\d{3}(?!\d))|\.0+$", "", bare)
    return int(bare) if _INTEGER.fullmatch(bare) and len(bare) < 1000 else None


def extract_choice(text: str, letters: str) -> str | None:
    """Return the letter of the chosen option; None when the text chooses none."""
    stated = extract_answer(text)
    # "A large number" chooses nothing, "A) a large number" does; other letters are no words.
    others = "".join(letter for letter in letters if letter != "A")
    option = rf"(?i:option |choice )?[(\[]?(?:(A)(?=$|[)\].:,;])|([{others}])(?![A-Za-z]))"
    if stated is None and re.fullmatch(rf"{option}[)\].:]?", text.strip(" \n$*_.")):
        stated = text.strip()
    if stated is None:
        return None
    bare = re.sub(r"\\(?:text|mathrm|mathbf|textbf)\{([^{}]*)\}", r"\1", stated)
    found = re.match(option, bare.strip(" $*_."))
    letter = (found.group(1) or found.group(2)) if found else None
    return letter if letter in tuple(letters) else None


@dataclass(frozen=True)
class Comparison:
    """Outcome of comparing an extracted answer with the gold one; `failed` when none was had."""

    correct: bool
    failed: bool = False


def same_answer(candidate: str, target: str, timeout_s: int = 5) -> Comparison:
    """Compare two answers: as text, as whole numbers, else mathematically with math-verify.

    Text outside math delimiters is what the source wrote as answer, so both sides are read as
    LaTeX. A side that cannot be read, or a comparison over `timeout_s` seconds, is a failure.
    """
    candidate = _UNITS.sub(r"\1", candidate.strip())
    if _plain(candidate) == _plain(target):
        return Comparison(True)
    left, right = as_integer(candidate), as_integer(target)
    if left is not None and right is not None:
        return Comparison(left == right)
    return _verify(candidate, target, timeout_s)


def _plain(text: str) -> str:
    text = re.sub(r"\\(?:left|right|!|,|;|:)|\\(?=[ $%])|[$\s]", "", text)
    text = re.sub(r"\\[dt]frac", r"\\frac", text)
    text = re.sub(r"\\text\{([^{}]*)\}", r"\1", text)
    return text.rstrip(".")


def _verify(candidate: str, target: str, timeout_s: int) -> Comparison:
    import logging

    from math_verify import parse, verify
    from math_verify.errors import TimeoutException

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    try:
        gold = parse(f"${target}$", parsing_timeout=timeout_s, raise_on_error=True)
        answer = parse(f"${candidate}$", parsing_timeout=timeout_s, raise_on_error=True)
        if not gold or not answer:
            return Comparison(False, failed=True)
        correct = verify(gold, answer, timeout_seconds=timeout_s, raise_on_error=True)
        return Comparison(bool(correct))
    except TimeoutException:
        return Comparison(False, failed=True)
    except Exception:  # sympy raises whatever its parsers and solvers come upon
        return Comparison(False, failed=True)
