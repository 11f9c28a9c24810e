"""What the report reads of an experiment: the keys of its sections, without those of defaults.

An experiment was checked by the classes of config/ when it was loaded. These types name what the
report reads of it and check nothing, so that the report of an older experiment, whose sections had
other keys, can still be compared; other keys are kept in `inputs.json` as they are.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Package(TypedDict):
    """A file of an installed package."""

    name: str


class ReadyMade(TypedDict, total=False):
    """Where something that is not made here comes from."""

    hub: str
    revision: str
    """Of the hub"""
    path: str
    package: Package | str


class ModelEntry(ReadyMade, total=False):
    """An entry of bases, lrms, alignments or durability; its method says which keys it has."""

    title: str
    base: str
    """Of an LRM that is trained here"""
    lrms: list[str]
    """Those that an alignment is applied to; default, all"""
    method: str
    recipe: str
    data: str
    prefix: str
    """What the thinking begins with; this and the following are of the method prompt"""
    close_thinking: bool
    system: str
    effort: str


class Source(ReadyMade, total=False):
    """Where rows are read from."""

    split: str


class Prepare(TypedDict):
    """How rows become records or items."""

    source: NotRequired[Source]


class GymTask(TypedDict):
    """A task of reasoning-gym."""

    task: str
    seed: NotRequired[int]


class Sampled(TypedDict):
    """A training set that each LRM writes itself."""

    prompts: str
    """The entry of data whose prompts it is asked"""


class Part(TypedDict):
    """A set of a mixture; all of its rows, without n or ratio."""

    set: str
    n: NotRequired[int]
    ratio: NotRequired[float]
    """Rows for each row of the first set"""


class DataEntry(TypedDict, total=False):
    """Where an entry of data or benchmarks comes from: one of these keys says it."""

    mix: list[Part]
    generated: str
    reasoning_gym: GymTask
    sampled: Sampled
    prepare: Prepare
    source: Source
    task: str
    """Of lm-eval"""


class BenchmarkEntry(DataEntry, total=False):
    """An entry of benchmarks."""

    title: str
    scorers: list[str]
    """The one that counts first"""


class PublishedValue(TypedDict):
    """A published value to show beside ours."""

    model: str
    """base/NAME, lrm/NAME or aligned/LRM/ALIGNMENT"""
    metric: str
    value: float
    """Percent"""
    n: NotRequired[int]
    epoch: NotRequired[int]
    """Default: the final one"""
    source: NotRequired[str]


class ReportSection(TypedDict, total=False):
    """What the report is asked to show."""

    published: list[PublishedValue]
    interval_width: float
    """Points"""
    frontier: list[str]
    """Measures, see `metrics.read_measure`"""
    frontier_margin: float
    """Points"""
    single_file: int
    """Items of each benchmark in the page in one file"""


class Experiment(TypedDict):
    """An experiment."""

    description: NotRequired[str]
    seeds: NotRequired[list[int]]
    bases: dict[str, ModelEntry]
    lrms: dict[str, ModelEntry]
    alignments: dict[str, ModelEntry]
    durability: NotRequired[dict[str, ModelEntry]]
    benchmarks: dict[str, BenchmarkEntry]
    data: NotRequired[dict[str, DataEntry]]
    recipes: NotRequired[dict[str, Any]]
    """As config's `Recipe` reads them"""
    report: NotRequired[ReportSection]
