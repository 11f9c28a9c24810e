"""What a job costs: from what like results took (`seconds` of `result.json`), else from a model.

The *work* of a result is what its time grows with: tokens times parameters per GPU for training,
token budget of all samples times parameters per GPU for generation, samples for scoring. A measured
time is scaled by work; the likest results count: the same result's earlier making, else the same
rule on the same benchmark or data set, else the same rule.

Without a like result the time comes from `common/cost_model.py`: what GPUs do, part by part, from
the sizes of `common/known_sizes.py`. Models below `resources.SMALL` parameters compute on one CPU
core. What a job of several results does once (start, load weights) always comes from the model.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypedDict

from workflow.scripts.cluster.resources import (
    SMALL,
    TRAINING,
    budget_of,
    generated_rows,
    generation_times,
    hardware_of,
    kept_checkpoints,
    list_resources,
    most_rounds,
    parameters,
    scoring_times,
    source_rows,
    training_epochs,
    training_size,
    training_times,
)
from workflow.scripts.common.cost_model import (
    JUDGED_TOKENS,
    ONCE,
    PROMPT_TOKENS,
    Parts,
    combine_parts,
)
from workflow.scripts.common.known_sizes import UNKNOWN_ROWS, answer_tokens
from workflow.scripts.common.manifest import Lineage, Training
from workflow.scripts.common.result import read_result
from workflow.scripts.config.decoding import Decoding
from workflow.scripts.config.llm import Llm
from workflow.scripts.config.recipe import Recipe
from workflow.scripts.graph.jobs import Graph, Job
from workflow.scripts.graph.results import Result, list_texts
from workflow.scripts.graph.runs import Run
from workflow.scripts.graph.sampling import list_asked, own_set
from workflow.scripts.graph.store import earlier_results, folder_of
from workflow.scripts.models import method_registry
from workflow.scripts.models.memory import count_adapters, guess_shape
from workflow.scripts.models.recipe import passes

BYTES_PER_SAMPLE_TOKEN = 12  # text, token ids and keys in samples.jsonl
# Where a finished result tells how large it is.
DETAILS = {"models": "manifest.json", "generate": "manifest.json", "score": "score.json"}


@dataclass(frozen=True)
class Cost:
    """What one job takes.

    Attributes:
        parts: Seconds by part of the job; `measured` are those of like results.
        gpu: GPUs it holds; 0 for a model that computes on the CPU.
        nodes: Nodes it runs on.
        disk_gb: What its results take.
        usd: For an API.
        sources: How many of its results are `measured` (scaled from a like result) or from the
            `model` of the hardware.
    """

    parts: Parts
    gpu: int
    nodes: int
    disk_gb: float
    usd: float
    sources: Counter[str]

    @property
    def seconds(self) -> float:
        return sum(self.parts.values())

    @property
    def gpu_hours(self) -> float:
        return self.gpu * self.seconds / 3600


class CheckpointScore(TypedDict):
    """The score of one checkpoint's samples."""

    n: int  # samples


class Details(TypedDict, total=False):
    """What is read of a finished result's file of `DETAILS`, to know its size."""

    # of a model
    train: Training | None
    recipe: dict[str, Any] | None  # with `method`, the settings of another method than SFT
    lineage: Lineage | None
    # of samples
    benchmark: str
    n_items: int
    repeats: int
    decoding: dict[str, Any]  # as in the experiment, with defaults
    throughput: dict[str, float]  # `load_s`: seconds until the engine had started
    # of samples, their names; of a score, by name
    checkpoints: list[str] | dict[str, CheckpointScore]


@dataclass(frozen=True)
class Found:
    """A result in the store: today's, else the latest of its name.

    Attributes:
        wall_s: Seconds that making it took; None where its record does not say.
        disk_gb: What its files take.
        inputs: The keys of what it was made from, by name.
        details: What it says of its size, see `DETAILS`; else empty.
    """

    wall_s: float | None
    disk_gb: float
    inputs: dict[str, str]
    details: Details

    @property
    def seconds(self) -> float | None:
        """What making it took without the start of an engine, where that is told apart."""
        load = self.details.get("throughput", {}).get("load_s", 0.0)
        return None if self.wall_s is None else self.wall_s - load


@dataclass(frozen=True)
class Measured:
    """A finished result: its name, its time in seconds and its work."""

    name: str
    seconds: float
    work: float


class Estimator:
    """Estimates the jobs of one experiment.

    Attributes:
        graph: The experiment.
        hardware: What is assumed of the hardware.
        found: What is in the store, by the result's name.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph, self.experiment = graph, graph.experiment
        self.hardware = hardware_of(graph.experiment)
        self._texts, self._asked = list_texts(graph.experiment), list_asked(graph.experiment)
        self._counted: dict[Path, int] = {}
        self._items: dict[str, int] = {}
        self._record_tokens: dict[str, float] = {}
        self._steps: list[float] = []
        self._by: dict[tuple[str, ...], list[Measured]] = defaultdict(list)
        found = {name: self._find(name) for name in graph.results}
        self.found = {name: one for name, one in found.items() if one}
        for name, one in self.found.items():
            self._learn(graph.results[name], one)
        for name, one in self.found.items():
            if (seconds := one.seconds) is not None:
                result = graph.results[name]
                measured = Measured(name, seconds, self._work_done(result, one.details))
                for group in _groups(result):
                    self._by[group].append(measured)

    def cost(self, job: Job, made: Sequence[Result] | None = None) -> Cost:
        """Return what a job takes.

        Args:
            job: The job.
            made: Those of its results that it has to make; default: all.
        """
        results = made or job.results
        asked = [self._ask(result) for result in results]
        gpu = max(self._gpus(result, one) for result, one in zip(results, asked, strict=True))
        sources: Counter[str] = Counter()
        parts = []
        for result in results:
            own = self._parts(result, gpu)
            sources["measured" if "measured" in own else "model"] += 1
            parts.append(own)
        return Cost(
            combine_parts(parts),
            gpu,
            max(one["nodes"] for one in asked),
            sum(self._disk(result) for result in results),
            self._usd(results),
            sources,
        )

    def spent(self, result: Result) -> Cost:
        """Return what a finished result has taken."""
        # one whose record cannot be read has taken nothing that is known
        asked, found = self._ask(result), self.found.get(result.name, Found(None, 0.0, {}, {}))
        usd = self._usd([result])
        parts = {"measured": found.wall_s or 0.0}
        gpu = self._gpus(result, asked)
        return Cost(parts, gpu, asked["nodes"], found.disk_gb, usd, Counter(measured=1))

    def items(self, benchmark: str) -> int:
        """Return how many items a benchmark has, or is taken to have."""
        section = self._asked[benchmark]
        rows = self._rows("benchmark", benchmark) - section.skip
        known = self._items.get(benchmark) or max(1, rows)
        return min(known, section.n or known)

    def samples(self, result: Result) -> int:
        """Return how many samples a result holds or scores; 0 for another kind of result."""
        run, benchmark = result.run, result.benchmark
        if not (run and benchmark):
            return 0
        repeats = self._asked[benchmark].repeats
        return self.items(benchmark) * repeats * max(1, len(run.checkpoints))

    def is_bound(self, benchmark: str) -> bool:
        """Say whether a benchmark may turn out to have fewer items: repeated ones are dropped."""
        prepare = self.experiment.benchmarks[benchmark].prepare
        known = benchmark in self._items or self._text_file(f"benchmark {benchmark}")
        return prepare is not None and prepare.deduplicate != "none" and not known

    # What is known of the finished results.

    def _find(self, name: str) -> Found | None:
        graph = self.graph
        key, record = graph.keys[name], None
        if name in graph.complete:
            record = read_result(graph.root / graph.folder(name))
        elif earlier := earlier_results(name, graph.root):
            key, record = earlier[0]
        if record is None:
            return None
        details = DETAILS.get(graph.results[name].stage)
        folder = graph.root / folder_of(name, key)
        return Found(
            float(record["seconds"]) if "seconds" in record else None,
            sum(record.get("files", {}).values()) / 1e9,
            record.get("inputs", {}),
            _read(folder / details) if details else {},
        )

    def _learn(self, result: Result, found: Found) -> None:
        """Take note of the sizes that a finished result tells: items, steps, tokens per record."""
        details, keys = found.details, self.graph.keys
        same = all(
            found.inputs.get(name) == keys[name] for name in result.inputs.get("prompts", ())
        )
        if "n_items" in details and same:  # else of a benchmark that has changed
            self._items.setdefault(details["benchmark"], details["n_items"])
        train, lineage = details.get("train"), details.get("lineage")
        data = lineage.get("data") if lineage else None
        if result.rule == "pretrain_base" and train:
            self._steps.append(train["steps"])
        elif train and data and "method" not in (asked := details["recipe"] or {}):
            recipe = Recipe.model_construct(**asked)
            times = passes(recipe, max(1, data["n"])) * train.get("rounds", 1)
            self._record_tokens[data["name"]] = train["tokens"] / max(1, data["n"] * times)

    def _work_done(self, result: Result, details: Details) -> float:
        """Return the work of a finished result, from its own figures where they tell."""
        train, checkpoints = details.get("train"), details.get("checkpoints")
        sft = "method" not in (details.get("recipe") or {})  # else tokens are of another work
        if result.stage == "models" and train and result.run and sft:
            return train["tokens"] * self._per_gpu(result, self._gpus(result))
        if result.stage == "generate" and "n_items" in details:
            samples = details["n_items"] * details["repeats"] * len(details["checkpoints"])
            budget = budget_of(Decoding.model_construct(**details["decoding"]))
            return samples * budget * self._per_gpu(result, self._gpus(result))
        if result.scorer and isinstance(checkpoints, dict):
            return max(1, sum(one["n"] for one in checkpoints.values()))
        return self._work(result, self._gpus(result))

    # What is expected of a result.

    def _ask(self, result: Result) -> dict[str, int]:
        return list_resources(
            result.rule, self.experiment, result.run, result.benchmark, result.scorer
        )

    def _gpus(self, result: Result, asked: dict[str, int] | None = None) -> int:
        """Return the GPUs that a job computes on for a result."""
        small = result.run and parameters(self.experiment, result.run) < SMALL
        if small and not result.scorer:
            return 0
        return (asked or self._ask(result))["gpu"]

    def _work(self, result: Result, gpu: int) -> float:
        if result.rule in TRAINING and result.run:
            return self._training_tokens(result.run) * self._per_gpu(result, gpu)
        if result.scorer:
            return self.samples(result)
        if result.benchmark and result.run:
            decoding = self._asked[result.benchmark].decoding
            return self.samples(result) * budget_of(decoding) * self._per_gpu(result, gpu)
        return 1

    def _per_gpu(self, result: Result, gpu: int) -> float:
        assert result.run is not None
        return parameters(self.experiment, result.run) / max(1, gpu)

    def _training_tokens(self, run: Run) -> float:
        if shape := run.pretrain:
            longest = shape.gate.max_steps + shape.decay_steps
            steps = median(self._steps) if self._steps else longest
            return steps * shape.global_batch * 40
        return self._tokens(run) * method_registry.count_passes(run, self._passes(run))

    def _tokens(self, run: Run) -> float:
        """Return the tokens of a run's training sets."""
        return sum(
            self._set_rows(run, name)
            * (self._tokens_per_record(run, name) if target is None else PROMPT_TOKENS + target)
            for name, target in method_registry.sets_of(run)
        )

    def _passes(self, run: Run) -> float:
        """Return how often a training goes through its records."""
        rounds = most_rounds(run)
        found = self.found.get(f"models/{run.name}")
        if measured := found and found.details.get("train"):
            rounds = measured.get("rounds", rounds)
        elif self._record_tokens:
            rounds = 1
        return training_epochs(run, self._records(run)) * rounds

    def _rows(self, kind: str, name: str) -> int:
        """Return how many rows a training set or benchmark has: of its file, else as is known."""
        if file := self._text_file(f"{kind} {name}"):
            return self._count_lines(file)
        if kind == "data":
            entry = self.experiment.data[name]
            if entry.mix or entry.sampled:
                return training_size(self.experiment, name, lambda one: self._rows("data", one))[0]
            known = generated_rows(self.experiment, entry) or source_rows(entry, self.graph.rows)
            return known or UNKNOWN_ROWS
        asked = self._asked[name]
        if rows := generated_rows(self.experiment, asked):
            return rows
        counts = (source_rows(asked, self.graph.rows), asked.n and asked.n + asked.skip)
        return min(filter(None, counts), default=UNKNOWN_ROWS)

    def _records(self, run: Run) -> int:
        """Return how many records a run is trained on; of those that an LRM writes, at most."""
        return sum(self._set_rows(run, name) for name, _ in method_registry.sets_of(run))

    def _set_rows(self, run: Run, name: str) -> int:
        """Return the rows of one of a run's training sets."""
        file = self._set_file(run, name)
        return self._count_lines(file) if file else self._rows("data", name)

    def _count_lines(self, file: Path) -> int:
        if file not in self._counted:
            with open(file, "rb") as lines:
                self._counted[file] = sum(1 for _ in lines)
        return self._counted[file]

    def _set_file(self, run: Run, name: str) -> Path | None:
        """Return the file of one of a run's training sets, if it is there."""
        own = self._texts.get(f"data {name}") or own_set(self.experiment, name, run.lrm)
        return self._file(own)

    def _text_file(self, text: str) -> Path | None:
        """Return the file of a training set (`data NAME`) or `benchmark NAME`, if it is there."""
        return self._file(self._texts.get(text, ""))  # what LRMs write is many

    def _file(self, name: str) -> Path | None:
        """Return a result's main file, if it is there."""
        if name not in self.graph.results:  # not of what is planned
            return None
        file = self.graph.root / self.graph.path(name)
        return file if file.is_file() else None

    def _tokens_per_record(self, run: Run, name: str) -> float:
        if name in self._record_tokens:
            return self._record_tokens[name]
        if file := self._set_file(run, name):
            found = file.stat().st_size / 4 / max(1, self._set_rows(run, name))
        else:
            found = training_size(self.experiment, name, lambda one: self._rows("data", one))[1]
        return min(found, run.training.max_length)

    # The two ways to a time.

    def _parts(self, result: Result, gpu: int) -> Parts:
        """Return the seconds of a result by part, as if its job made it alone."""
        measured = self._scaled(result, gpu)
        if measured is None:
            return self._modelled(result, gpu)
        if not (result.run and result.benchmark):
            return {"measured": measured}
        once = {part: s for part, s in self._modelled(result, gpu).items() if part in ONCE}
        return {**once, "measured": measured}

    def _scaled(self, result: Result, gpu: int) -> float | None:
        for group in _groups(result):
            like = self._by.get(group, [])
            own = [one for one in like if one.name == result.name]
            if found := own or like:
                return median(one.seconds / one.work for one in found) * self._work(result, gpu)
        return None

    def _modelled(self, result: Result, gpu: int) -> Parts:
        h, run = self.hardware, result.run
        if result.rule in TRAINING and run:
            return self._training(run, gpu)
        if result.rule == "generate_samples":
            return self._generating(result, gpu)
        if result.scorer:
            return scoring_times(self.experiment, result.scorer, self.samples(result))
        if result.rule in ("fetch_model", "derive_model") and run:
            size = 2 * parameters(self.experiment, run)
            return {"start": h["start_s"], "download": size / (h["network_gb_s"] * 1e9)}
        return {"start": 2 * h["start_s"]}

    def _training(self, run: Run, gpu: int) -> Parts:
        if not gpu:
            flop = 8 * parameters(self.experiment, run) * self._training_tokens(run)
            seconds = flop / (self.hardware["cpu_gflops"] * 1e9)
            return {"start": self.hardware["start_s"], "train": seconds}
        records = self._records(run)
        return training_times(
            self.experiment,
            run,
            gpu,
            records=records,
            tokens=self._tokens(run) / max(1, records),
            epochs=self._passes(run),
        )

    def _generating(self, result: Result, gpu: int) -> Parts:
        h, run = self.hardware, result.run
        assert run is not None
        section = self._asked[str(result.benchmark)]
        samples, tokens = self.samples(result), answer_tokens(section, h["budget_share"])
        if not gpu:
            flop = 2 * parameters(self.experiment, run)
            seconds = samples * tokens * (flop / (h["cpu_gflops"] * 1e9) + 1 / 2000)
            return {"start": h["start_s"], "generate": seconds}
        each = samples / max(1, len(run.checkpoints))
        return generation_times(self.experiment, run, section, gpu, samples=each, tokens=tokens)

    # What else a result takes.

    def _disk(self, result: Result) -> float:
        if found := self.found.get(result.name):
            return found.disk_gb
        run = result.run
        if result.stage == "models" and run:
            each = 4 if run.recipe and run.recipe.precision == "fp32" else 2
            kept = kept_checkpoints(run.recipe)
            if run.keeps_adapters:
                return 4 * kept * self._adapter_parameters(run) / 1e9
            return each * kept * parameters(self.experiment, run) / 1e9
        if result.stage == "generate" and result.benchmark:
            section = self._asked[str(result.benchmark)]
            tokens = answer_tokens(section, self.hardware["budget_share"])
            return self.samples(result) * tokens * BYTES_PER_SAMPLE_TOKEN / 1e9
        return 0.0

    def _adapter_parameters(self, run: Run) -> int:
        assert run.training.lora is not None
        return count_adapters(guess_shape(parameters(self.experiment, run)), run.training.lora)

    def _usd(self, results: Sequence[Result]) -> float:
        """Return what a job pays for its results; a scorer's cap is for all of them."""
        usd: dict[str, float] = {}
        for result in results:
            scorer = result.scorer or ""
            for llm in self._endpoints(scorer):
                usd[scorer] = usd.get(scorer, 0.0) + self._price(result, llm)
        return sum(
            min(paid, llm.max_usd or paid)
            for name, paid in usd.items()
            for llm in self._endpoints(name)
        )

    def _endpoints(self, scorer: str) -> Iterable[Llm]:
        return self.experiment.scorers[scorer].endpoints().values() if scorer else ()

    def _price(self, result: Result, llm: Llm) -> float:
        decoding = self._asked[str(result.benchmark)].decoding
        read = JUDGED_TOKENS + decoding.max_answer_tokens * self.hardware["budget_share"]
        written = llm.max_reply_tokens * self.hardware["budget_share"]
        each = read * llm.usd_per_million_input / 1e6 + written * llm.usd_per_million_output / 1e6
        return self.samples(result) * each


def _groups(result: Result) -> list[tuple[str, ...]]:
    """Return the groups of like results that a result belongs to, the likest first."""
    run, benchmark = result.run, result.benchmark or ""
    about = result.scorer or benchmark or (run.data if run and run.data else "")
    checkpoints = str(len(run.checkpoints)) if run else ""
    return [
        (result.rule, benchmark, about, checkpoints),
        (result.rule, benchmark, about),
        (result.rule, about),
        (result.rule,),
    ]


def _read(path: Path) -> Details:
    try:
        found: Details = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
