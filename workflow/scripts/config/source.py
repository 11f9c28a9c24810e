"""Where rows come from, and which of them become a training set or a benchmark."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from workflow.scripts.config.section import (
    AboveZero,
    Commit,
    Pattern,
    Positive,
    Section,
    Share,
    expect_one_source,
)

ENDINGS = (".jsonl", ".json", ".csv", ".parquet")
LETTERS = "ABCDEFGHIJ"


class Source(Section):
    """A data set of the hub, a local file, or a file of an installed package."""

    hub: str | None = None
    """Name of a data set on the hub"""
    revision: Commit | None = None
    """A commit of the hub; else the lock's"""
    config: str | None = None
    """A configuration of the hub's data set"""
    split: str | None = None
    """A split of the hub's data set"""
    file: str | None = None
    """A file of the hub's data set or of the package"""
    path: str | None = None
    """A local file, relative to the clone: .jsonl, .json, .csv or .parquet"""
    package: str | None = None
    """An installed package that holds the file"""

    @model_validator(mode="after")
    def _check(self) -> Source:
        expect_one_source(self, ("hub", "path", "package"))
        hub_only = [key for key in ("revision", "config", "split") if getattr(self, key)]
        if hub_only and self.hub is None:
            raise ValueError(f"has {hub_only[0]}, which only a source of the hub has")
        if self.hub is not None and (self.split is None) == (self.file is None):
            raise ValueError(f"hub {self.hub}: expected either split or file")
        if self.path is not None:
            if self.file is not None:
                raise ValueError("has path and file, expected one of them")
            if not self.path.endswith(ENDINGS):
                raise ValueError(f"path is {self.path!r}, expected {', '.join(ENDINGS)}")
        if self.package is not None and self.file is None:
            raise ValueError("has a package, expected the key file beside it")
        return self


class Selection(Section):
    """Which rows are taken. The order: where, shuffle, first, parse, deduplicate, limit."""

    source: Source
    fields: dict[str, str] = {}
    """Part to field of the row. Data: id, prompt, thinking, answer; benchmarks: item_id, prompt,
    target, category"""
    where: dict[str, Any] = {}
    """Field to value or values: rows to keep"""
    shuffle_seed: int | None = None
    """Shuffles the rows before the first are taken"""
    first: Positive | None = None
    """Rows kept of the source"""
    limit: Positive | None = None
    """Items kept at the end"""
    deduplicate: Literal["none", "exact", "normalised"] = "none"
    """Repeated prompts"""
    max_bad_share: Share = 0.0
    """Rows that may fail to parse"""
    join: str = "\n"
    """Between the texts of a list"""
    strip: bool | tuple[str, ...] = False
    """Parts that lose their outer whitespace; true: all"""

    def check_parts(self, parts: tuple[str, ...]) -> None:
        """Raise `ValueError` for a part that an item does not have."""
        named = {"fields": self.fields, "strip": () if isinstance(self.strip, bool) else self.strip}
        for key, names in named.items():
            if unknown := sorted(set(names) - set(parts)):
                raise ValueError(f"{key} names {unknown[0]}, expected some of {', '.join(parts)}")


class DelimiterSplit(Section):
    """Thinking and answer of one field, on both sides of a delimiter."""

    field: str
    """Field of the row"""
    delimiter: str
    """Ends the thinking, such as </think>"""
    opening: str = ""
    """Left out where it opens the thinking, such as <think>"""


class PatternSplit(Section):
    """Parts of one field by a regular expression."""

    field: str
    """Field of the row"""
    pattern: Pattern
    """Matches the whole text, with groups named prompt, thinking or answer"""

    @model_validator(mode="after")
    def _check(self) -> PatternSplit:
        groups = set(re.compile(self.pattern).groupindex)
        if not groups or groups - {"prompt", "thinking", "answer"}:
            raise ValueError(
                f"pattern names {sorted(groups)}, expected some of prompt, thinking, answer"
            )
        return self

    @property
    def parts(self) -> set[str]:
        return set(re.compile(self.pattern).groupindex)


class Render(Section):
    """How a chat format writes the records of a training set."""

    newline_before_answer: bool = True
    """False leaves out the line break before the answer delimiter, as upstream does"""


def _kind_of_split(value: Any) -> str:
    given = value.keys() if isinstance(value, dict) else getattr(value, "model_fields_set", ())
    return "(pattern)" if "pattern" in given else "(delimiter)"  # no keys of either


Split = Annotated[
    Annotated[DelimiterSplit, Tag("(delimiter)")] | Annotated[PatternSplit, Tag("(pattern)")],
    Discriminator(_kind_of_split),
]


class RecordSelection(Selection):
    """Rows to training records."""

    split: Split | None = None
    """One field with several parts"""
    constant_thinking: str | None = None
    """The thinking of every record"""
    thinking_prefix: str = ""
    """Set before the thinking"""
    answer_prefix: str = ""
    """Set before the answer"""
    answer_prefix_only_if_absent: bool = False
    """Not where the answer holds it already"""
    strip_answer_after_prefix: bool = False
    """As upstream does, so that blank lines stay after the prefix"""

    @model_validator(mode="after")
    def _check(self) -> RecordSelection:
        self.check_parts(("id", "prompt", "thinking", "answer"))
        parts = set(self.fields) - {"id"}
        if isinstance(self.split, DelimiterSplit):
            parts |= {"thinking", "answer"}
        elif self.split:
            parts |= self.split.parts
        if self.constant_thinking is not None and "thinking" in parts:
            raise ValueError("thinking is given twice, by constant_thinking and by a field")
        for part in ("prompt", "answer"):
            if part not in parts:
                raise ValueError(f"nothing gives the {part}, expected it in fields or split")
        return self


class Part(Section):
    """A set of a mixture, and how many of its rows: n, ratio, or all."""

    set: str
    """An entry of data that is no mixture"""
    n: Positive | None = None
    """That many rows"""
    ratio: AboveZero | None = None
    """That many rows for each row of the first set, rounded, half up"""

    @model_validator(mode="after")
    def _check(self) -> Part:
        if self.n is not None and self.ratio is not None:
            raise ValueError("has n and ratio, expected one of them at most")
        return self


def _kind_of_part(value: Any) -> str:
    return "(set)" if isinstance(value, str) else "(rows)"


def _kind_of_data(value: Any) -> str:
    return "(sets)" if isinstance(value, list | tuple) else "(name)"


AnyPart = Annotated[
    Annotated[str, Tag("(set)")] | Annotated[Part, Tag("(rows)")], Discriminator(_kind_of_part)
]
Mix = Annotated[tuple[AnyPart, ...], Field(min_length=1)]
# What a stage is trained on: an entry of data, or the sets of a mixture.
StageData = Annotated[
    Annotated[str, Tag("(name)")] | Annotated[Mix, Tag("(sets)")], Discriminator(_kind_of_data)
]


class Choices(Section):
    """Multiple choice: the target is a letter."""

    correct: str
    """Field of the right choice"""
    incorrect: Annotated[tuple[str, ...], Field(min_length=1, max_length=len(LETTERS) - 1)]
    """Fields of the wrong ones"""
    order: Literal["hash", "seed"]
    """By each question's hash, or by one random stream over the rows"""
    seed: int | None = None
    """Of the random stream"""

    @model_validator(mode="after")
    def _check(self) -> Choices:
        if (self.order == "seed") != (self.seed is not None):
            raise ValueError(f"seed is {self.seed} with order {self.order}: a seed goes with seed")
        return self


class ItemSelection(Selection):
    """Rows to the items of a benchmark."""

    target_after: str | None = None
    """The target follows the last such mark"""
    choices: Choices | None = None

    @model_validator(mode="after")
    def _check(self) -> ItemSelection:
        self.check_parts(("item_id", "prompt", "target", "category"))
        if "prompt" not in self.fields:
            raise ValueError("fields has no prompt, expected the field that holds it")
        if self.target_after is not None and "target" not in self.fields:
            raise ValueError("target_after without a field for the target")
        if self.choices and "target" in self.fields:
            raise ValueError("choices and a field for the target, expected one of them")
        return self
