"""An experiment, whole, and config.yaml; references between sections are checked here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.acceptance import Acceptance
from workflow.scripts.config.chat_format import ChatFormatName
from workflow.scripts.config.dataset import Dataset
from workflow.scripts.config.durability import Attack
from workflow.scripts.config.engines import EngineName
from workflow.scripts.config.generation import Generation
from workflow.scripts.config.gym_task import GymTask
from workflow.scripts.config.kinds import KINDS, REASONING
from workflow.scripts.config.micro_data import MicroData
from workflow.scripts.config.mixtures import check_data, check_mix
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
    Title,
    expect_entry,
    expect_one_source,
    read_section,
)
from workflow.scripts.config.source import ItemSelection, Mix, Source, StageData
from workflow.scripts.data.tasks import find_task
from workflow.scripts.models.alignment import Alignment, check_order
from workflow.scripts.models.method_registry import any_alignment
from workflow.scripts.report.metrics import COSTS, FRONTIER, MARGIN, METRICS, Cost, read_measure
from workflow.scripts.report.power import WANTED_WIDTH
from workflow.scripts.score.registry import any_scorer
from workflow.scripts.score.scorer import ScorerSection

if TYPE_CHECKING:
    AnyAlignment = Alignment
    AnyScorer = ScorerSection
else:
    AnyAlignment = any_alignment()
    AnyScorer = any_scorer()

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
    data: StageData | None = None
    """An entry of data, or sets as in data.NAME.mix, for one that is trained here"""
    recipe: str | None = None
    """An entry of recipes, for one that is trained here"""
    title: Title | None = None
    """What the report calls it; default, its name"""

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
    reasoning_gym: GymTask | None = None
    """A task of reasoning-gym by name, see docs/benchmarks.md"""
    include_path: str | None = None
    """A folder of lm-eval's task files, relative to the clone, in place of its own tasks"""
    split: Literal["test", "development"] = "test"
    """development: to choose a model by (method select), measured for the candidates alone and in
    no table; the report is on the others"""
    engine: EngineName = "hf"
    """transformers, or vLLM"""
    scorers: Annotated[tuple[str, ...], Field(min_length=1)]
    """Entries of scorers"""
    title: Title | None = None
    """What the report calls it; default, its name"""
    _pinned: Source | None = PrivateAttr(None)

    @property
    def source(self) -> Source | None:
        """Where its rows come from, where that is one data set or file."""
        if self.prepare or self.task is None:
            return self.prepare.source if self.prepare else None
        if self._pinned:
            return self._pinned
        found = find_task(self.task, self.include_path).source
        return read_section(Source, found, f"task {self.task}") if found else None

    def of_source(self, source: Source) -> Benchmark:
        """Return a benchmark of a task with the source of its rows, which has a revision."""
        found = self.model_copy()
        found._pinned = source
        return found

    @model_validator(mode="after")
    def _check(self) -> Benchmark:
        expect_one_source(self, ("generated", "prepare", "task", "reasoning_gym"))
        if self.reasoning_gym and self.kind != REASONING:
            raise ValueError(f"kind is {self.kind}, expected {REASONING}: it has reasoning_gym")
        if self.include_path is not None and self.task is None:
            raise ValueError("has include_path, which goes with task")
        if KINDS[self.kind].has_target and self.prepare:
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

    def meets(self, other: Benchmark) -> bool:
        """Tell whether another benchmark has some of the same rows of the same source."""
        mine, its = (
            (one.generated, one.prepare, one.task, one.include_path) for one in (self, other)
        )
        if mine != its:
            return False
        if self.reasoning_gym or other.reasoning_gym:
            return False  # their questions are of different parts
        first, second = sorted((self, other), key=lambda one: one.skip)
        return first.n is None or first.skip + first.n > second.skip


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
    single_file: Positive | None = None
    """Items of each benchmark in `single.html`, the page in one file to send; default, none is
    made"""
    published: tuple[Published, ...] = ()
    """Published values to show beside ours"""
    interval_width: Annotated[float, Field(gt=0, le=100)] = WANTED_WIDTH
    """Points of a 95 % interval that the table of several samples says the samples for"""

    frontier: Annotated[tuple[str, ...], Field(min_length=2, max_length=3)] = FRONTIER
    """Metrics that the frontier of the methods is over, metrics at the last step of an entry of
    durability, as `harmful_score after NAME`, and costs: `gpu_hours`, `tokens`; the default without
    those of which the experiment has no benchmark"""
    frontier_margin: Annotated[float, Field(ge=0, le=100)] = MARGIN
    """Points, of a cost percent, by which "at least as good" may miss where methods are tested for
    dominance"""

    @model_validator(mode="after")
    def _check(self) -> Report:
        if self.single_file and not self.transcripts:
            raise ValueError(
                "single_file carries transcripts, expected transcripts: true (without them "
                "index.html is a single file)"
            )
        for name in self.frontier:
            try:
                read_measure(name)
            except ValueError as error:
                raise ValueError(f"frontier: {error}") from None
        if len(set(self.frontier)) < len(self.frontier):
            raise ValueError(f"frontier is {list(self.frontier)}, expected different metrics")
        if set(self.frontier) <= set(COSTS):
            raise ValueError(f"frontier is {list(self.frontier)}, expected a metric beside costs")
        return self


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
    """Training recipes by name"""
    durability: dict[Name, Attack] = {}
    """Fine-tunings by name, each applied to the aligned models: does safety outlast them?"""
    benchmarks: Annotated[dict[Name, Benchmark], Field(min_length=1)]
    """Benchmarks by name"""
    scorers: Annotated[dict[Name, AnyScorer], Field(min_length=1)]
    """Scorers by name"""
    judges: dict[Name, NgramTraining] = {}
    """Harm judges that are trained here"""
    report: Report = Report()
    gate: Acceptance | None = None
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
        check_order(self.alignments)
        self._check_attacks()
        self._check_gates()
        self._check_benchmarks()
        self._check_published()
        self._check_titles()
        self._check_frontier()
        if self.gate:
            self.gate.check(self)
        asked = [*self.benchmarks, *(name for name, one in self.data.items() if one.sampled)]
        of_a_benchmark = [f"{rule}/{name}" for rule in OF_A_BENCHMARK for name in asked]
        for name in self.resources:
            if name not in (*RULES, *of_a_benchmark):
                raise ValueError(
                    f"resources.{name}: no such rule, expected some of {', '.join(RULES)}, or "
                    f"{' or '.join(OF_A_BENCHMARK)} with /BENCHMARK"
                )
        return self

    def with_sources(self) -> dict[str, Any]:
        """Return it as JSON values without defaults; tasks say where their rows come from."""
        found = self.without_defaults()
        for name, one in self.benchmarks.items():
            if one.task and one.source:
                found["benchmarks"][name]["source"] = one.source.without_defaults()
        return found

    def check_layers(self, lrm: str, recipe: str) -> None:
        """Make sure that a model has the layers that get adapters, where its size is known.

        Raises:
            ValueError: In one line.
        """
        base, lora = self.bases.get(self.lrms[lrm].base or ""), self.recipes[recipe].lora
        if base and base.pretrain and lora and lora.layers:
            last = base.pretrain.num_hidden_layers - 1
            if lora.layers[1] > last:
                raise ValueError(
                    f"recipes.{recipe}.lora.layers is {list(lora.layers)}, expected layers from 0 "
                    f"to {last}: lrms.{lrm} has no others"
                )

    def _check_models(self) -> None:
        for name, lrm in self.lrms.items():
            for key, section in (("base", "bases"), ("recipe", "recipes")):
                if entry := getattr(lrm, key):
                    expect_entry(f"lrms.{name}.{key}", entry, section, getattr(self, section))
            if lrm.data:
                check_data(f"lrms.{name}.data", lrm.data, self)
            if lrm.recipe:
                self.check_layers(name, lrm.recipe)
                if self.recipes[lrm.recipe].keeps_adapters:
                    raise ValueError(
                        f"lrms.{name}.recipe: {lrm.recipe!r} has lora.merge false, expected true: "
                        "alignments start from whole weights"
                    )
        for name, dataset in self.data.items():
            if dataset.mix:
                check_mix(f"data.{name}.mix", dataset.mix, self.data)
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
            asked = self.data[sampled.prompts]
            if asked.sampled or asked.mix:
                how = "sampled, too" if asked.sampled else "a mixture"
                raise ValueError(
                    f"{key}.prompts: {sampled.prompts!r} is {how}, expected a set that is not made "
                    "from others"
                )
            if name in self.benchmarks:
                raise ValueError(f"{key}: {name!r} is a benchmark, too, expected another name")
            expect_entry(f"{key}.judge", sampled.judge, "scorers", self.scorers)
            scorer = self.scorers[sampled.judge]
            if problem := scorer.benchmark_error(sampled.kind, None):
                raise ValueError(f"{key}.judge: {sampled.judge!r} {problem}")
            fields = sorted(set(scorer.metrics(sampled.kind).values()))
            for field in sampled.passes or {}:
                if field not in fields:
                    raise ValueError(
                        f"{key}.passes: {sampled.judge} gives no {field!r}, expected some of "
                        f"{', '.join(fields)}"
                    )
        for name, lrm in self.lrms.items():
            for one in self.own_sets(lrm.data):
                raise ValueError(
                    f"lrms.{name}.data: {one!r} is written by LRMs, expected another entry"
                )

    def own_sets(self, data: str | Mix | None) -> list[str]:
        """Return the sets of a stage's data that LRMs write themselves."""
        mix = self.data[data].mix or (data,) if isinstance(data, str) else data or ()
        sets = [part if isinstance(part, str) else part.set for part in mix]
        return [name for name in sets if self.data[name].sampled]

    def _check_benchmarks(self) -> None:
        for name, scorer in self.scorers.items():
            if judge := scorer.trained_judge():
                expect_entry(f"scorers.{name}.judge", judge, "judges", self.judges)
        for name, benchmark in self.benchmarks.items():
            try:
                task = benchmark.task and find_task(benchmark.task, benchmark.include_path)
            except InputError as error:
                raise ValueError(f"benchmarks.{name}.task: {error}") from None
            for chosen in benchmark.scorers:
                key = f"benchmarks.{name}.scorers"
                expect_entry(key, chosen, "scorers", self.scorers)
                scorer, values = self.scorers[chosen], task.values if task else None
                if problem := scorer.benchmark_error(benchmark.kind, values):
                    raise ValueError(f"{key}: {chosen!r} {problem}")
                if scorer.reads and getattr(benchmark, scorer.reads) is None:
                    raise ValueError(f"{key}: {chosen!r} scores benchmarks with {scorer.reads}")

        self._check_splits()

    def _check_splits(self) -> None:
        """Make sure that no item is in a development benchmark and in a test benchmark."""
        if all(one.split == "development" for one in self.benchmarks.values()):
            raise ValueError("benchmarks: all are of split development, expected one of test")
        for name, chosen in self.benchmarks.items():
            for other, test in self.benchmarks.items():
                if (chosen.split, test.split) == ("development", "test") and chosen.meets(test):
                    raise ValueError(
                        f"benchmarks.{name} is for development and shares items with {other}: "
                        "expected skip and n that keep them apart"
                    )

    def _check_attacks(self) -> None:
        for name, attack in self.durability.items():
            attack.check(f"durability.{name}", self)
        for section in ("lrms", "alignments"):
            for name, entry in getattr(self, section).items():
                recipe = getattr(entry, "recipe", None)
                if recipe and self.recipes[recipe].steps:
                    raise ValueError(
                        f"{section}.{name}.recipe: {recipe!r} has steps, which are for durability"
                    )

    def _check_gates(self) -> None:
        """Make sure that there are the probe problems of each gate, and a batch of documents."""
        gates = {f"recipes.{name}": recipe.gate for name, recipe in self.recipes.items()}
        asked = {key: gate.n for key, gate in gates.items() if gate}
        for name, base in self.bases.items():
            if base.pretrain:
                asked[f"bases.{name}.pretrain"] = base.pretrain.gate.n
                batch, made = base.pretrain.global_batch, self.micro_data
                if made and batch > made.corpus_documents:
                    raise ValueError(
                        f"bases.{name}.pretrain.global_batch is {batch}, expected at most "
                        f"micro_data.corpus_documents, {made.corpus_documents}"
                    )
        for key, n in asked.items():
            if self.micro_data is None:
                raise ValueError(f"{key}.gate needs the section micro_data")
            if n > self.micro_data.probe:
                raise ValueError(
                    f"{key}.gate.n is {n}, expected at most micro_data.probe, "
                    f"{self.micro_data.probe}"
                )

    def _check_titles(self) -> None:
        """Make sure that no two entries are called the same in the report."""
        for section, taken in (("lrms", ()), ("alignments", ("base", "LRM")), ("benchmarks", ())):
            known = dict.fromkeys(taken, "what the report calls other models")
            for name, entry in getattr(self, section).items():
                title = entry.title or name
                if title in known:
                    raise ValueError(
                        f"{section}.{name}.title is {title!r}, expected another than {known[title]}"
                    )
                known[title] = f"that of {section}.{name}"

    def _check_frontier(self) -> None:
        for name in self.report.frontier if self.report.frontier != FRONTIER else ():
            measure = read_measure(name)
            if isinstance(measure.of, Cost):
                continue
            kind = measure.of.kind
            names = [name for name, one in self.benchmarks.items() if one.kind == kind]
            if not names:
                raise ValueError(f"report.frontier: {name!r} needs a benchmark of kind {kind}")
            if measure.attack:
                expect_entry("report.frontier", measure.attack, "durability", self.durability)
                attack = self.durability[measure.attack]
                if not set(names) <= set(attack.measured(self.benchmarks)):
                    raise ValueError(
                        f"report.frontier: {name!r} needs durability.{measure.attack} to be "
                        f"measured on {', '.join(names)}"
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
    container: str | None = None
    """The image in which `--software-deployment-method apptainer` runs jobs: a file or a URL"""
    network_on_nodes: bool = False
    """Whether compute nodes reach the internet; false: what asks an API runs beside the driver"""
    publish_to: str | None = None
    """Owner on the hub that models are published under"""
    keep: tuple[str, ...] = ()
    """Names of results, with `*` for anything, that `make collect` never deletes"""
