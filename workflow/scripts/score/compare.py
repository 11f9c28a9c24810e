"""Comparing a stated answer with the gold one: as text, as whole numbers, by math-verify."""

from __future__ import annotations

import re
import time
from fractions import Fraction

from workflow.scripts.score.answer_scorer import Comparison
from workflow.scripts.score.markup import to_latex

LONGEST = 1000  # characters of an answer; what is longer is no result
_TEXT = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox|rm)\s*\{([^{}]*)\}")
_NUMBER = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-+]?\.\d+"
_MULTIPLES = {
    "hundred": 100,
    "dozen": 12,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_MANY = re.compile(rf"({_NUMBER})\s*({'|'.join(_MULTIPLES)})s?\b", re.IGNORECASE)
_DEGREES = re.compile(r"\s*(?:\^\s*\{?\s*\\(?:circ|degree)\s*\}?|\\degree\b)")
# "12 apples", "120 km/h", "8 cm^2": a number or a formula, a space, a unit of few words
_UNIT = re.compile(
    rf"^({_NUMBER}|\S*\\\S*[}}\d])(?:\s+|(?=(?:[kcm]m|kg|mph|mL|ml|cents)\b))"
    r"[A-Za-z][A-Za-z.]*(?:[/ ·]+[A-Za-z][A-Za-z.]*){0,3}(?:\s*\^?\s*\{?[23]\}?)?$"
)
# A variable, where commands, text and units are gone
_VARIABLE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]")
_WHOLE = re.compile(r"[+-]?\d{1,999}")


def without_units(answer: str) -> str:
    """Return an answer as a number or formula alone where a unit or a name is beside it.

    `42 \\text{ apples}`, `90^\\circ`, `\\$18`, `50\\%` and `m+n=42` lose what is not the number;
    `12 million` and `2 dozen` are multiplied out; `3 1/2` is a mixed number.
    """
    bare = to_latex(answer).strip()
    bare = (
        re.sub(r"\\[()\[\]]|\\[,!;: ]|(?<!\\)\$|[*~]", " ", bare) if len(bare) <= LONGEST else bare
    )
    bare = re.sub(r"(?<=\d)\{,\}(?=\d)", ",", bare)
    bare = (
        re.sub(r"(?<=\d)(?:,\s|\s)(?=\d{3}(?:\D|$))(?!\d{3}\s*/)", ",", bare)
        if re.fullmatch(r"\s*[-+]?\d{1,3}(?:,?\s*\d{3})+\s*", bare)
        else bare
    )
    bare = _DEGREES.sub(" ", _TEXT.sub(r" \1 ", bare)).replace("\\$", "").strip(" .:")
    bare = re.sub(r"^(?:final )?answer\s*[:=]?\s*", "", bare, flags=re.IGNORECASE)
    bare = re.sub(r"\s+", " ", bare)
    if "," not in re.sub(r"\d,\d{3}", "", bare) and not re.search(
        r"\b(?:and|or)\b|\\(?:le|ge|in|cup)\b|[<>]", bare
    ):
        bare = bare.rpartition("=")[2].strip()
    if many := _MANY.match(bare):
        return str(_whole(Fraction(many[1].replace(",", "")) * _MULTIPLES[many[2].lower()]))
    bare = re.sub(r"^([-+]?\d+) (\d+)/(\d+)$", r"\1\\frac{\2}{\3}", bare)
    bare = re.sub(r"^(.*[\d}])\s*\\?%$", r"\1", bare)
    if (unit := _UNIT.match(bare)) and not re.search(r"\b(?:percent|or|and|pi|x|i)\b", bare):
        return unit[1]
    return bare


def _whole(number: Fraction) -> int | float:
    return int(number) if number.denominator == 1 else float(number)


def as_integer(text: str) -> int | None:
    """Read a whole number: `$073$`, `1,024`, `\\text{204}`, `42^\\circ`, `m+n=42`, `3 million`."""
    if len(text) > LONGEST:
        return None
    bare = re.sub(r"\s", "", without_units(text)).rstrip(".")
    bare = re.sub(r"(?<=\d),(?=\d{3}(?!\d))|\.0+$", "", bare).strip("{}")
    return int(bare) if _WHOLE.fullmatch(bare) else None


def same_answer(
    candidate: str, target: str, timeout_s: int = 5, in_percent: bool = False
) -> Comparison:
    """Compare two answers: as text, as whole numbers, else mathematically with math-verify.

    Text outside math delimiters is what the source wrote as answer, so both sides are read as
    LaTeX. A side that cannot be read, or a comparison over `timeout_s` seconds, is a failure.

    Args:
        candidate: What the model answered.
        target: The gold answer.
        timeout_s: Time for all of it, in seconds.
        in_percent: Whether the question asks for percent, so that "12 percent" is 12. A sign, as in
            `12\\%`, may be left out in any case.
    """
    if _plain(candidate) == _plain(target):
        return Comparison(True)
    if len(candidate) > LONGEST:
        return Comparison(False, failed=True)
    if in_percent:
        candidate = re.sub(r"\s*\bper ?cent(?:age points?)?\b", r"\\%", candidate)
    left, right = as_integer(candidate), as_integer(target)
    if left is not None and right is not None and (left == right or "%" not in candidate):
        return Comparison(left == right)
    gold = without_units(target)
    if "=" in target or _VARIABLE.search(gold):  # 2 k is no 2
        compared = _verify(to_latex(candidate), to_latex(target), timeout_s)
    else:
        compared = _verify(without_units(candidate), gold, timeout_s)
    if "%" in candidate and not compared.correct and not compared.failed:  # 25 % is 1/4, too
        return _verify(to_latex(candidate), to_latex(target), timeout_s)
    return compared


def asks_percent(prompt: str) -> bool:
    """Tell whether a question asks for percent."""
    return re.search(r"\bper ?cent|%", prompt, re.IGNORECASE) is not None


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
    start = time.monotonic()

    def left() -> int:
        return max(1, timeout_s - int(time.monotonic() - start))

    try:
        gold = parse(f"${target}$", parsing_timeout=left(), raise_on_error=True)
        answer = parse(f"${candidate}$", parsing_timeout=left(), raise_on_error=True)
        if not gold or not answer:
            return Comparison(False, failed=True)
        correct = verify(gold, answer, timeout_seconds=left(), raise_on_error=True)
        return Comparison(bool(correct))
    except TimeoutException:
        return Comparison(False, failed=True)
    except Exception:  # sympy raises whatever its parsers and solvers come upon
        return Comparison(False, failed=True)
