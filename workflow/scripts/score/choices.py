"""Which option of a multiple-choice question an answer chooses, from its text alone.

The readers of `_READERS` are asked in order; the first that finds something decides, and within one
the last statement does. What they find is one option's letter, or that several or none are stated.
A letter counts where it stands for an option: alone, in brackets, before its option's text, after
"option"; never where it begins a formula, a chemical name or a word.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from workflow.scripts.score import choice_words as words
from workflow.scripts.score.markup import own_part, plain_text, unbox

LINE = 400  # characters of a line that are looked at
MOST = 60  # statements of one kind that are looked at, from the end; the last one decides


@dataclass(frozen=True)
class Choice:
    """What an answer chooses: an option's letter, or no single one (`several` of them, or none)."""

    letter: str | None = None
    several: bool = False


NOTHING = Choice()


class _Reader:
    """One answer, ready to be read: its plain text, its lines, and the question's options."""

    def __init__(self, text: str, letters: str, options: Mapping[str, str]):
        boxed, spans = unbox(re.sub(r"""(["']),\s*(?=["'])""", r"\1\n", text))  # JSON
        parts, done, length = [], 0, 0
        self.boxes: list[tuple[int, int]] = []
        for start, end in spans:
            before, inside = plain_text(boxed[done:start]), plain_text(boxed[start:end])
            parts += [before, inside]
            length += len(before) + len(inside)
            self.boxes.append((length - len(inside), length))
            done = end
        self.text = "".join([*parts, plain_text(boxed[done:])])
        self.letters, self.options = letters, options
        self.texts = {letter: _canonical(option) for letter, option in options.items()}
        lines = [line.strip() for line in self.text.split("\n")]
        self.lines = [line[:LINE] for line in lines if re.search(r"\w", line)]
        while len(self.lines) > 1 and words.CLOSING.match(self.lines[-1]):
            self.lines.pop()
        self.ordinals = dict(zip(words.ORDINALS, letters, strict=False)) | {"last": letters[-1]}
        one = f"[{letters}{letters.lower()}]"
        upper = f"[{letters}]"
        self.leading = re.compile(
            rf"([(\[{{]?)\s?({one})(\s?[)\]}}])?(?![A-Za-z0-9_]|['’][A-Za-z])"
        )
        self.joined = re.compile(
            rf"[)\]]?{words.JOINED}(?:or |and )?(?:{words.NAMES})?\s?[(\[]?({upper})"
            r"(?![A-Za-z0-9_'’-]|\s?[=^])(?! (?:is|was|has|would|are)\b)"
        )
        self.named = re.compile(
            rf"\b(?:{words.NAMES})s?\s[(\[]?({upper})[)\]]?(?![\w'’])(?!\s?[=^+])|[(\[]({upper})[)\]]",
            re.IGNORECASE,
        )
        self.predicate = re.compile(
            rf"(?<![\w'’^_\\-])(?:(?:{words.NAMES})\s)?"
            rf"[(\[]?({upper})[)\]]?(?:(?:[:.,)](?:(?! is )[^\n.]){{1,80}}?)?,?\s{words.IS}\s"
            rf"(?:{words.DEGREE}){{0,4}}(?:{words.GOOD}|better|answer|sense|reasonable|plausible|"
            r"consistent)\b(?! known| (?:only )?if\b)"
            rf"|\sas\s(?:the|our|my)\s(?:\w+\s)?(?:{words.NAMES})\b"
            r"|\sis what (?:remains|is left)\b"
            r"|\s(?:is|remains)\sthe\s(?:only|most|best|\w+(?<!wor)(?<!weak)est)"
            rf"\s(?:[\w-]+\s){{0,2}}(?:{words.NAMES}|one)\b|\sit is\b)"
            rf"|\b(?:ist|est|es)\s({upper})\s(?:die|la|der|das|le)?\s?(?:{words.GOOD})\b",
        )

    def letter_at(self, tail: str) -> Choice | None:
        """Read a text that begins with an option's letter; None when it does not."""
        tail = _strip_lead(tail[:LINE])
        if found := re.match(r"not\b|isn't\b", tail):
            but = re.search(r"\bbut (?:rather |instead )?(.*)", tail[found.end() :])
            return self.letter_at(but[1]) if but else None
        if re.match(r"neither\b", tail):
            return NOTHING
        tail = _strip_lead(re.sub(r"^(?:either|both|between)\s", "", tail))
        found = self.leading.match(tail)
        if not found:
            return None
        letter, rest = found[2].upper(), tail[found.end() :]
        other = self.joined.match(rest)
        if other and found[2].isupper() and other[1].upper() != letter:
            return Choice(several=True)
        if self._names_an_option(letter, rest):
            return Choice(letter)
        if self.texts and _canonical(tail.rstrip(" .")) in self.texts.values():
            return None  # "C2H5OH" or "A large one" is an option's text itself
        if re.match(
            r"[.:,]?\s(?:is|was|isn't|can|can't|does|doesn't|would|has)\b", rest
        ) and words.WRONG.search(rest.split(". ")[0]):
            return None  # "A is not correct"
        if re.match(r"[\s.:)\]-]*[❌✗✘]|\s?[:)\]-]+\s?(?:not|incorrect|wrong|false)\b", rest, re.I):
            return None  # "A: wrong"
        chosen = _is_chosen(rest, lower=found[2].islower(), bracketed=bool(found[3]))
        return Choice(letter) if chosen else None

    def _names_an_option(self, letter: str, rest: str) -> bool:
        """Tell whether the letter is followed by its own option's text."""
        own = self.texts.get(letter)
        said = _canonical(re.sub(r"^[\s.:,;=)\]-]+(?=[^\s])", "", rest).lstrip("("))
        return bool(own) and said.startswith(str(own))

    def option_of(self, text: str) -> Choice | None:
        """Find the option whose text this is, or the only one that it names."""
        if not self.texts:
            return None
        for part in (text, text.split(". ")[0], text.split(", ")[0]):
            bare = _canonical(part)
            same = [k for k, own in self.texts.items() if own and bare in (own, f"the {own}")]
            if len(same) == 1:
                return Choice(same[0])
        return None

    def named_in(self, text: str) -> Choice | None:
        """Find the only option whose text a sentence contains."""
        text = words.CONTRAST.sub("", text)
        if words.WRONG.search(text):
            return None
        said, found = _canonical(text), set()
        for letter, own in sorted(self.texts.items(), key=lambda one: -len(one[1])):
            bounded = rf"(?<![\w.,^-]){re.escape(own)}(?![\w^]|[.,]\d)"
            if own and re.search(bounded, said):
                found.add(letter)
                said = re.sub(bounded, " ", said)  # "an increase" within "not an increase"
        return Choice(found.pop()) if len(found) == 1 else None

    def said_after(self, start: int, tail: str) -> Choice | None:
        """Read what follows a label, up to the end of its line (or the next one that has text)."""
        if not re.search(r"\w", words.COPULA.sub("", tail, count=1)):
            below = self.text[start + len(tail) :].lstrip(" \n-*_=:.>#").split("\n", 1)[0][:LINE]
            return (
                self.letter_at(below)
                or self.option_of(below)
                or self.named_in(below)
                or _none_of(below)
            )
        sentence = re.split(r"[.!?]\s(?!\()", tail, maxsplit=1)[0]
        places = [
            found.end() for found in words.COPULA.finditer(tail) if found.end() <= len(sentence) + 2
        ]
        if re.match(rf"\s?[(\[]|[{self.letters}]", tail):
            places.insert(0, 0)
        for place in places[:6]:
            if found := self.letter_at(tail[place:]):
                return found
        if not places:
            return None
        said = sentence[places[0] :]
        if named := self.only_named(said):
            return named
        for place in places[:6]:
            if found := self.option_of(tail[place:]) or _none_of(tail[place:]):
                return found
        return self.named_in(said)

    def only_named(self, text: str) -> Choice | None:
        """Find the letters that a text names as options: `option C`, `(C)`."""
        text = words.CONTRAST.sub("", text)
        if words.WRONG.search(text):
            return None
        letters = {(found[1] or found[2]).upper() for found in self.named.finditer(text)}
        letters |= {
            self.ordinals.get(found[1].lower(), "?") for found in words.ORDINAL.finditer(text)
        } - {"?"}
        if len(letters) == 1:
            return Choice(letters.pop())
        return Choice(several=True) if letters else None


def _strip_lead(text: str) -> str:
    lead = words.LEAD.match(text)
    return text[lead.end() :] if lead else text


def _is_hypothesis(text: str, place: int) -> bool:
    return words.HYPOTHESIS.search(text[max(0, place - 60) : place]) is not None


def _last_sentence(text: str) -> str:
    return re.split(r"[.!;]\s(?=\S)", text)[-1]


def _none_of(text: str) -> Choice | None:
    return NOTHING if words.NO_OPTION.match(text) else None


def _canonical(text: str) -> str:
    """Write an option's text so that spellings of one text are equal."""
    text = plain_text(text[:LINE]).lower()
    text = re.sub(r"\\(?:times|cdot)\b", "x", text).replace("×", "x").replace("·", "x")
    text = text.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻₀₁₂₃₄₅₆₇₈₉", "0123456789-0123456789"))
    text = re.sub(r"[{}\\^_]|(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"\s*([x+/=-])\s*", r"\1", text)
    return re.sub(r"\s+", " ", text).strip(" .,;:!?()")


def _last(pattern: re.Pattern[str], text: str) -> Iterable[re.Match[str]]:
    return deque(pattern.finditer(text), maxlen=MOST)


Found = Iterator[tuple[int, Choice]]


def stated(reader: _Reader) -> Found:
    """`The correct answer is C`, `Answer: c`, a heading and the letter below it, `\\boxed{C}`."""
    text = reader.text
    for label in _last(words.LABEL, text):
        if _is_hypothesis(text, label.start()):
            continue
        tail = text[label.end() : label.end() + LINE].split("\n", 1)[0]
        if found := reader.said_after(label.end(), tail):
            yield label.start(), found
    for line in _last(words.SHORT_LINE, text):
        if words.HEADING.match(line.group()) and (found := reader.said_after(line.end(), "")):
            yield line.start(), found
    last: tuple[int, Choice] | None = None
    for start, end in reader.boxes[-MOST:]:
        found = reader.letter_at(text[start:end])
        if not found:
            # a boxed value and its letter: `\\boxed{24} (option C)`
            behind = text[end : end + 60].split("\n", 1)[0]
            found = reader.only_named(behind) or _none_of(text[start:end])
        if found and last and re.fullmatch(words.JOINED, text[last[0] : start]):
            found = found if found == last[1] else Choice(several=True)
        if found:
            last = (end, found)
            yield start, found


def declared(reader: _Reader) -> Found:
    """`Option C is correct`, `C is the best answer`, `I would choose C`."""
    text = reader.text
    for found in _last(reader.predicate, text):
        if _is_hypothesis(text, found.start()):
            continue
        before = text[max(0, found.start() - 60) : found.start()]
        several = re.search(rf"(?<![\w'’])[{reader.letters}][)\]]?{words.JOINED}[(\[]?$", before)
        yield found.start(), Choice(several=True) if several else Choice(found[1] or found[2])
    for found in _last(words.DECIDES, text):
        if _is_hypothesis(text, found.start()):
            continue
        if choice := reader.letter_at(text[found.end() : found.end() + LINE].split("\n", 1)[0]):
            yield found.start(), choice


def pointed_at(reader: _Reader) -> Found:
    """The last sentence that names one option: `This corresponds to option C`, `making (B) …`."""
    for line in reversed(reader.lines[-3:]):
        for sentence in reversed(re.split(r"[.!?;]\s", line)):
            if not sentence.endswith("?") and (found := reader.only_named(sentence)):
                yield 0, found
                return


def alone(reader: _Reader) -> Found:
    """The letter, alone or before its text, on the last line or else on the first."""
    upper = f"[{reader.letters}]"
    marked = re.compile(rf"[(\[]?([{reader.letters}])[)\].:]\s?\S")
    listed = {found[1] for line in reader.lines if (found := marked.match(line))}
    listed |= {line.strip(" .()").upper() for line in reader.lines if len(line.strip(" .()")) == 1}
    ending = re.compile(
        r"(?:[,;:>-] |(?:->|→|⇒) ?|\b(?:so|thus|hence|therefore|is|option|i\.e\.?|namely)[,:]? |^)"
        rf"[(\[]?([{reader.letters}])[)\]]?[.!]?$",
        re.IGNORECASE,
    )
    subject = re.compile(  # "B is boron", "A, because of its charge, cannot"
        rf"\W*{upper}(?:\W?|,[^,.;]*,) (?:is|was|has|can|cannot|can't|does|doesn't|will|"
        r"fits|matches|makes|works|satisfies)\b"
    )
    if not reader.lines or len(listed) > 1:
        return
    for line in (reader.lines[-1], reader.lines[0]):
        said = words.CONCLUSION.sub("", line) if line is reader.lines[-1] else line
        bare = _strip_lead(said)
        if said.endswith("?") or subject.match(bare):
            continue
        if choice := reader.letter_at(said):
            yield 0, choice
            return
        found = ending.search(said) if line is reader.lines[-1] else None
        if (
            found
            and not words.WRONG.search(said)
            and not re.search(rf"[=+]|\b{upper}\b.*\b{upper}\b", said)
        ):
            yield 0, Choice(found[1].upper())
            return


def ticked(reader: _Reader) -> Found:
    """The one option of a list that has a tick, or that is called correct."""
    begins = re.compile(rf"\W*(?:option )?([{reader.letters}])(?![\w'’])", re.IGNORECASE)
    listed = [(m, line) for line in reader.lines[-MOST:] if (m := begins.match(line))]
    ticks = [m[1].upper() for m, line in listed if words.RIGHT.search(line)]
    called = [m[1].upper() for m, line in listed if re.match(r"(?i)\W*correct\b", line[m.end() :])]
    for letters in (ticks, called):
        if len(letters) == 1 and len(listed) > 1:
            yield 0, Choice(letters[0])
            return


def in_words(reader: _Reader) -> Found:
    """An option's text in place of its letter, in a box or on the last line."""
    for start, end in reader.boxes[-MOST:]:
        if found := reader.option_of(reader.text[start:end]):
            yield start, found
    if not reader.boxes and reader.lines:
        last = _last_sentence(reader.lines[-1])
        found = reader.option_of(last)
        last = re.sub(rf".*\b[{reader.letters}] ?=.*", "", words.CONTRAST.sub("", last))  # A = 12
        if not found and (is_ := words.IDENTIFIES.search(last)) and not words.WRONG.search(last):
            found = reader.option_of(is_[1])
        if not found and words.CONCLUDES.search(reader.lines[-1]):
            found = reader.named_in(_last_sentence(reader.lines[-1]))
        if not found and (called := words.CALLED.match(last)):
            found = reader.option_of(called[1])
        if found:
            yield 0, found


_READERS: tuple[Callable[[_Reader], Found], ...] = (
    stated,
    declared,
    ticked,
    pointed_at,
    alone,
    in_words,
)


def read_choice(text: str, letters: str = "ABCD", prompt: str = "") -> Choice:
    """Read which option a text chooses.

    Args:
        text: The answer.
        letters: The letters of the options.
        prompt: The question; its options (`A) …` lines) are known by their text, too.
    """
    reader = _Reader(own_part(text, prompt), letters, read_options(prompt, letters))
    for read in _READERS:
        if found := sorted(read(reader), key=lambda one: one[0]):
            return found[-1][1]
    return NOTHING


def read_options(prompt: str, letters: str) -> dict[str, str]:
    """Return the options of a question by their letters: its last `A) …`, `B) …` … lines."""
    options: dict[str, str] = {}
    start = len(prompt)
    for letter in reversed(letters):
        marks = list(re.finditer(rf"^[ \t]*\(?{letter}[).:][ \t]", prompt[:start], re.MULTILINE))
        if not marks:
            continue
        option = prompt[marks[-1].end() : start]
        start = marks[-1].start()
        # what follows the last option after an empty line is no part of it
        options[letter] = option.split("\n\n", 1)[0].strip()
    return options if len(options) > 1 else {}


def _is_chosen(rest: str, lower: bool, bracketed: bool) -> bool:
    """Tell whether a letter is an answer, by the text behind it and how the letter is written."""
    if not re.search(r"\w", rest.split("\n")[0].split(". ")[0]) and not re.match(
        r"\s?[=+^/]", rest
    ):
        return True
    if lower and not bracketed:
        return bool(re.match(rf"[).:,]?\s(?:{words.GOES_ON})\b", rest))
    if bracketed or re.match(
        r"[.:,;!]\s|[。，、]|\s?[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]", rest
    ):
        return True
    if re.match(rf"\s(?:{words.GOES_ON})\b|\s?[✅✓✔☑]|\s?[→>(\[]", rest):
        return True
    # a dash before a text, which is no difference of two things
    dash = re.match(r"\s?-\s(?!\d*[A-Za-z]\b)", rest)
    return bool(dash and not re.search(r"[=^+]", rest))
