"""What a scorer is: the section that an experiment has of it, and what scores the samples.

Each type of scorer is a file of `scorers/`, named like the type; see `registry.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NotRequired, Protocol, TypedDict

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.llm import Llm
from workflow.scripts.config.section import Section

if TYPE_CHECKING:
    from workflow.scripts.config.classifier import FetchedJudge
    from workflow.scripts.score.judging import JudgeDescription

PACKAGE = "workflow.scripts."


class Sample(TypedDict):
    """A finished turn of a model, as scorers read it; `turns.Completion` says what the fields are.

    Training rewards such turns as well; a row of samples.jsonl has more, see `SampleRow`.
    """

    item_id: str
    prompt: str
    target: str  # the gold answer, or what was asked for; empty where there is none
    thinking: str | None
    answer: str
    thinking_finish: str
    answer_finish: NotRequired[str]
    state: str
    checkpoint: NotRequired[str]  # `final` for the last one, whatever its epoch; none in training


class SampleRow(Sample):
    """A row of samples.jsonl; checkpoint, item and repeat are its key."""

    repeat: int  # counts the samples of an item
    seed: int  # of the sample's random numbers
    category: str
    meta: NotRequired[dict[str, Any]]  # the further fields of the item's row
    prompt_ids: list[int]
    thinking_tokens: int
    answer_tokens: int


class SampleVerdict(TypedDict):
    """What a scorer says of a sample.

    Types add what their metrics are made of: see `AnswerVerdict`, `refusal_scorer.RefusalVerdict`
    and `harm_scorer.HarmVerdict`. A field is None where it could not be decided.
    """

    state: str  # the sample's, `no_answer`, `parse_error`, or a judge's `judge_error`, `api_error`
    valid: bool  # whether it counts; not where the judge failed


class AnswerVerdict(SampleVerdict):
    """A verdict on a final answer."""

    correct: bool | float | None  # a number from 0 to 1 where a task of lm-eval grades
    extracted: str | None  # the answer that was read
    metrics: NotRequired[dict[str, float]]  # what the task's own verifier or metrics gave


class VerdictRow(SampleVerdict):
    """A row of verdicts.jsonl: a verdict, whatever its type, with the key of its sample."""

    checkpoint: str
    item_id: str
    repeat: int


class TaskScore(TypedDict):
    """What a task of lm-eval says of all samples of a checkpoint."""

    name: str
    version: float | str
    main: str  # the metric that models are compared by, as `METRIC,FILTER`
    metrics: dict[str, float | None]


@dataclass(frozen=True)
class Scored:
    """What a scorer makes of the samples of one result.

    Attributes:
        verdicts: Of each sample, in order.
        judge: What identifies the judge, and how it fared; empty without one.
        task: What the task's own metrics say, by checkpoint; empty without a task.
    """

    verdicts: Sequence[SampleVerdict]
    judge: JudgeDescription
    task: dict[str, TaskScore] = field(default_factory=dict)


class Scorer(Protocol):
    """Gives samples verdicts; is loaded once for many results and keeps nothing of one."""

    def score(self, samples: Sequence[Sample]) -> Scored:
        """Score the samples of one result."""
        ...


@dataclass(frozen=True)
class Place:
    """Where a scorer works, which changes no verdict.

    Attributes:
        where: What errors call the scorer's section.
        judge: Folder of a trained judge, for a scorer that has one.
        prompts: Folder of the benchmark's items, for a scorer that reads a task.
        replies: Folder that keeps an endpoint's replies, for what asks a chat model.
        batch_size: Texts that a model reads at once.
        device: `auto`, `cpu`, `cuda`, …, for a model.
    """

    where: str = "scorer"
    judge: Path | None = None
    prompts: Path | None = None
    replies: Path | None = None
    batch_size: int = 8
    device: str = "auto"

    def items(self) -> Path:
        """Return `prompts`, for a scorer that cannot do without.

        Raises:
            InputError: There are none.
        """
        if self.prompts is None:
            raise InputError(f"{self.where}: no prompts, expected the folder of the task's items")
        return self.prompts


class ScorerSection(Section):
    """A scorer's section, and what a job with it is made from and needs.

    A type sets `kinds`, `metrics` and `load`, and of the rest what differs.
    """

    kinds: ClassVar[tuple[str, ...]]
    """Kinds of benchmarks that it scores"""
    gpus: ClassVar[int] = 0
    """GPUs of a job"""
    parameters: ClassVar[float] = 0
    """Of the model that a job loads"""
    reads: ClassVar[str | None] = None
    """The key of the benchmark's section, `task` or `reasoning_gym`, whose task it scores by"""

    def scored_kinds(self) -> tuple[str, ...]:
        """Return the kinds of benchmarks that it scores with these settings."""
        return self.kinds

    def benchmark_error(self, kind: str, values: tuple[str, ...] | None) -> str | None:
        """Return why it cannot score a benchmark; None where it can.

        Args:
            kind: The benchmark's kind.
            values: The metrics of its task that samples are compared by; None without a task.
        """
        kinds = self.scored_kinds()
        if kind in kinds:
            return None
        return f"scores {' or '.join(kinds)} benchmarks, this one is {kind}"

    @abstractmethod
    def metrics(self, kind: str) -> dict[str, str]:
        """Return metric name -> the verdicts' field that it is the share or the mean of.

        Args:
            kind: The benchmark's kind.
        """

    @abstractmethod
    def load(self, place: Place) -> Scorer:
        """Return what scores samples, its models loaded.

        Raises:
            InputError: Something that it needs is missing or does not fit.
        """

    def modules(self) -> tuple[str, ...]:
        """Return the modules, below `workflow.scripts`, that are loaded to score with it."""
        return (type(self).__module__.removeprefix(PACKAGE),)

    def endpoints(self) -> dict[str, Llm]:
        """Return the services that it asks over the network, by key."""
        return {}

    def trained_judge(self) -> str | None:
        """Return the entry of `judges` that it scores with."""
        return None

    def fetched_judge(self) -> FetchedJudge | None:
        """Return the section of `fetch_judge`, where there is something to fetch."""
        return None

    def local_model(self) -> str | None:
        """Return the local model folder that it scores with."""
        return None

    def target_error(self, target: str) -> str | None:
        """Return what it expected of a gold answer that it cannot read; None for a good one."""
        return None
