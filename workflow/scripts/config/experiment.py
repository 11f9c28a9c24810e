"""An experiment, whole, and config.yaml; references between sections are checked here."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from workflow.scripts.config.chat_format import ChatFormatName
from workflow.scripts.config.dataset import Dataset
from workflow.scripts.config.engines import EngineName
from workflow.scripts.config.generation import Generation
from workflow.scripts.config.micro_data import MicroData
from workflow.scripts.config.ngram_training import NgramTraining
from workflow.scripts.config.planning import (
    OF_A_BENCHMARK,
    RULES,
    Budget,
    Hardware,
    Knobs,
    Resources,
)
from workflow.scripts.config.pretrain import Pretrain
from workflow.scripts.config.recipe import Recipe
from workflow.scripts.config.section import (
    AboveZero,
    Commit,
    Count,
    Name,
    Positive,
    Section,
    expect_entry,
    expect_one_source,
)
from workflow.scripts.config.source import ItemSelection
from workflow.scripts.models.alignment import Alignment
from workflow.scripts.models.method_registry import any_alignment
from workflow.scripts.score.registry import any_scorer
from workflow.scripts.score.scorer import ScorerSection

if TYPE_CHECKING:
    AnyAlignment = Alignment
    AnyScorer = ScorerSection
else:
    AnyAlignment = any_alignment()
    AnyScorer = any_scorer()

TASKS = Path(__file__).parents[2] / "tasks"
MODEL_SOURCES = ("hub", "path", "package")
Seed = Annotated[int, Field(ge=0)]


class PackageFile(Section):
    """A GGUF file of an installed package."""

    name: str
    """The package"""
    file: str
    """The file in it"""


class ReadyMade(Section):
    """Where a model that is not trained here comes from."""

    hub: str | None = None
    """Name of a model on the hub"""
    revision: Commit | None = None
    """A commit of the hub; else the lock's"""
    path: str | None = None
    """A local model folder"""
    package: PackageFile | None = None
    parameters_b: AboveZero | None = None
    """Billions of parameters, where the name does not tell"""


class Base(ReadyMade):
    """A base model, trained from scratch or ready-made."""

    chat_format: ChatFormatName
    """An entry of workflow/scripts/common/chat.py"""
    pretrain: Pretrain | None = None

    @model_validator(mode="after")
    def _check(self) -> Base:
        expect_one_source(self, ("pretrain", *MODEL_SOURCES))
        return self


class Lrm(ReadyMade):
    """A large reasoning model, trained here from a base or ready-made."""

    chat_format: ChatFormatName | None = None
    """Of a ready-made model; one that is trained here has its base's"""
    base: str | None = None
    """An entry of bases: what it was trained from"""
    data: str | None = None
    """An entry of data, for one that is trained here"""
    recipe: str | None = None
    """An entry of recipes, for one that is trained here"""

    @model_validator(mode="after")
    def _check(self) -> Lrm:
        expect_one_source(self, ("data", *MODEL_SOURCES))
        needed = ("base", "recipe") if self.data else ("chat_format",)
        for key in needed:
            if getattr(self, key) is None:
                how = "trained here" if self.data else "ready-made"
                raise ValueError(f"{key} is missing, as it is {how}")
        return self


class Benchmark(Generation):
    """Prompts, how they are answered, and what scores the answers."""

    generated: Literal["clock_sums", "harmful", "benign"] | None = None
    """A benchmark of micro_data"""
    prepare: ItemSelection | None = None
    """Rows to items, see workflow/scripts/data/prepare_benchmark.py"""
    engine: EngineName = "hf"
    """transformers, or vLLM"""
    scorers: Annotated[tuple[str, ...], Field(min_length=1)]
    """Entries of scorers"""

    @model_validator(mode="after")
    def _check(self) -> Benchmark:
        expect_one_source(self, ("generated", "prepare"))
        if self.kind == "reasoning" and self.prepare:
            if "target" not in self.prepare.fields and self.prepare.choices is None:
                raise ValueError(
                    "prepare.fields has no target, expected the field of the gold answer (or "
                    "choices): the benchmark is of kind reasoning"
                )
        if self.repeats > 1 and not self.decoding.temperature:
            raise ValueError(
                f"repeats is {self.repeats} at temperature 0, expected 1: greedy samples are all "
                "the same"
            )
        return self


class Published(Section):
    """A published value to show beside ours."""

    model: str
    """base/NAME, lrm/NAME or aligned/LRM/ALIGNMENT"""
    metric: str
    """As the report's tables call it"""
    epoch: Count | None = None
    """Epochs of safety training"""
    value: float
    """In the metric's unit, percent for shares"""
    n: Positive | None = None
    """Items behind it"""
    source: str | None = None
    """Where it is published"""

    @model_validator(mode="after")
    def _check(self) -> Published:
        from workflow.scripts.report.metrics import METRICS

        metric = self.metric.partition("/")[0]
        share = metric in METRICS or metric.startswith("pass_at_")
        if not share and metric != "thinking_tokens":
            known = ", ".join([*METRICS, "pass_at_K", "thinking_tokens"])
            raise ValueError(f"metric is {self.metric!r}, expected one of {known}")
        if share and not 0 <= self.value <= 100:
            raise ValueError(f"value is {self.value:g}, expected percent, 0 to 100")
        return self


class Report(Section):
    """What the report shows."""

    transcripts: bool = False
    """Put what the models wrote into the page, hidden behind a click where harmful"""
    published: tuple[Published, ...] = ()
    """Published values to show beside ours"""


class Experiment(Section):
    """An experiment, whole: nothing of one experiment reaches another. Percentages are 0 to 100,
    shares 0 to 1, lengths are tokens."""

    description: str
    """One sentence"""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    """Training seeds; each is a whole chain of base, LRM and aligned models"""
    micro_data: MicroData | None = None
    data: Annotated[dict[Name, Dataset], Field(min_length=1)]
    """Training sets by name"""
    bases: dict[Name, Base]
    """Base models by name"""
    lrms: Annotated[dict[Name, Lrm], Field(min_length=1)]
    """Large reasoning models by name"""
    alignments: dict[Name, AnyAlignment]
    """Safety alignments by name, each applied to every LRM; without method: sft"""
    recipes: dict[Name, Recipe]
    """Recipes of supervised fine-tuning by name"""
    benchmarks: Annotated[dict[Name, Benchmark], Field(min_length=1)]
    """Benchmarks by name"""
    scorers: Annotated[dict[Name, AnyScorer], Field(min_length=1)]
    """Scorers by name"""
    judges: dict[Name, NgramTraining] = {}
    """Harm judges that are trained here"""
    report: Report = Report()
    resources: dict[str, Resources] = {}
    """Resources by RULE or RULE/BENCHMARK, in place of the rule's own"""
    runtime: Knobs = Knobs()
    budget: Budget = Budget()
    hardware: Hardware = Hardware()

    @model_validator(mode="after")
    def _check(self) -> Experiment:
        self._check_models()
        self._check_sampled()
        for name, alignment in self.alignments.items():
            alignment.check(f"alignments.{name}", self)
        self._check_gates()
        self._check_benchmarks()
        self._check_published()
        sampled = [name for name, entry in self.data.items() if entry.sampled]
        asked = [*self.benchmarks, *sampled]
        of_a_benchmark = [f"{rule}/{name}" for rule in OF_A_BENCHMARK for name in asked]
        for name in self.resources:
            if name not in (*RULES, *of_a_benchmark):
                raise ValueError(
                    f"resources.{name}: no such rule, expected some of {', '.join(RULES)}, or "
                    f"{' or '.join(OF_A_BENCHMARK)} with /BENCHMARK"
                )
        return self

    def _check_models(self) -> None:
        for name, lrm in self.lrms.items():
            for key, section in (("base", "bases"), ("data", "data"), ("recipe", "recipes")):
                if entry := getattr(lrm, key):
                    expect_entry(f"lrms.{name}.{key}", entry, section, getattr(self, section))
        for section in ("data", "benchmarks"):
            for name, entry in getattr(self, section).items():
                if entry.generated and self.micro_data is None:
                    raise ValueError(f"{section}.{name}.generated needs the section micro_data")

    def _check_sampled(self) -> None:
        """Check training sets that LRMs write: whose prompts they are asked, and who judges."""
        for name, entry in self.data.items():
            if (sampled := entry.sampled) is None:
                continue
            key = f"data.{name}.sampled"
            expect_entry(f"{key}.prompts", sampled.prompts, "data", self.data)
            if self.data[sampled.prompts].sampled:
                raise ValueError(f"{key}.prompts: {sampled.prompts!r} is sampled, too")
            if name in self.benchmarks:
                raise ValueError(f"{key}: {name!r} is a benchmark, too, expected another name")
            expect_entry(f"{key}.judge", sampled.judge, "scorers", self.scorers)
            scorer = self.scorers[sampled.judge]
            if sampled.kind not in scorer.scored_kinds():
                raise ValueError(
                    f"{key}.judge: {sampled.judge!r} scores {' or '.join(scorer.scored_kinds())} "
                    f"prompts, these are {sampled.kind}"
                )
            fields = sorted(set(scorer.metrics(sampled.kind).values()))
            for field in sampled.passes or {}:
                if field not in fields:
                    raise ValueError(
                        f"{key}.passes: {sampled.judge} gives no {field!r}, expected some of "
                        f"{', '.join(fields)}"
                    )
        for name, lrm in self.lrms.items():
            if lrm.data and self.data[lrm.data].sampled:
                raise ValueError(
                    f"lrms.{name}.data: {lrm.data!r} is written by LRMs, expected another entry"
                )

    def _check_benchmarks(self) -> None:
        for name, scorer in self.scorers.items():
            if judge := scorer.trained_judge():
                expect_entry(f"scorers.{name}.judge", judge, "judges", self.judges)
        for name, benchmark in self.benchmarks.items():
            if not list(TASKS.rglob(f"{glob.escape(benchmark.task)}.yaml")):
                raise ValueError(
                    f"benchmarks.{name}.task is {benchmark.task!r}, expected a file of "
                    "workflow/tasks/, without .yaml"
                )
            for chosen in benchmark.scorers:
                key = f"benchmarks.{name}.scorers"
                expect_entry(key, chosen, "scorers", self.scorers)
                kinds = self.scorers[chosen].scored_kinds()
                if benchmark.kind not in kinds:
                    raise ValueError(
                        f"{key}: {chosen!r} scores {' or '.join(kinds)} benchmarks, this one is "
                        f"{benchmark.kind}"
                    )

    def _check_gates(self) -> None:
        """Make sure that there are as many probe problems as a gate asks."""
        gates = {f"recipes.{name}": recipe.gate for name, recipe in self.recipes.items()}
        asked = {key: gate.n for key, gate in gates.items() if gate}
        for name, base in self.bases.items():
            if base.pretrain:
                asked[f"bases.{name}.pretrain"] = base.pretrain.gate.n
        for key, n in asked.items():
            if self.micro_data is None:
                raise ValueError(f"{key}.gate needs the section micro_data")
            if n > self.micro_data.probe:
                raise ValueError(
                    f"{key}.gate.n is {n}, expected at most micro_data.probe, "
                    f"{self.micro_data.probe}"
                )

    def _check_published(self) -> None:
        models = [f"base/{name}" for name in self.bases]
        models += [f"lrm/{name}" for name in self.lrms]
        models += [
            f"aligned/{lrm}/{name}"
            for name, alignment in self.alignments.items()
            for lrm in alignment.lrms or self.lrms
        ]
        for place, entry in enumerate(self.report.published):
            key = f"report.published.{place}"
            if entry.model not in models:
                raise ValueError(
                    f"{key}.model is {entry.model!r}, expected one of {', '.join(models)}"
                )
            benchmark = entry.metric.partition("/")[2].partition("@")[0]
            if benchmark:
                expect_entry(f"{key}.metric", benchmark, "benchmarks", self.benchmarks)


class Config(Section):
    """config.yaml: which experiment runs, and what all experiments share."""

    experiment: Name
    """A file of experiments/, without .yaml"""
    only: str | None = None
    """Make these results alone: patterns of their names, with * for anything, and blanks between"""
    vllm_python: str
    """The Python of the vLLM environment"""
    network_on_nodes: bool = False
    """Whether compute nodes reach the internet; false: what asks an API runs beside the driver"""
    publish_to: str | None = None
    """Owner on the hub that models are published under"""
    keep: tuple[str, ...] = ()
    """Names of results, with `*` for anything, that `make collect` never deletes"""
