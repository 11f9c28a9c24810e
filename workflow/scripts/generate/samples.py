"""One benchmark's samples of a model run: questions, what is finished, and the result."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast

from workflow.scripts.common.codehash import code_version
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.hardware import Hardware, describe_hardware
from workflow.scripts.common.io import (
    canonical_json,
    read_json,
    sha256_file,
    sha256_text,
    write_json,
    write_jsonl,
    write_text,
)
from workflow.scripts.common.manifest import (
    FORMAT,
    Manifest,
    Parent,
    git_commit,
    load_checkpoint,
    read_manifest,
    versions,
)
from workflow.scripts.common.result import STATE, MadeFrom, making
from workflow.scripts.config.planning import GenerationRuntime
from workflow.scripts.config.prompting import Prompting
from workflow.scripts.generate.benchmarks import (
    Benchmark,
    Item,
    ModelRun,
    Request,
    load_benchmark,
)
from workflow.scripts.generate.engine import BaseEngine, engine_module, load_form
from workflow.scripts.generate.partials import Partials
from workflow.scripts.generate.turns import Completion, Turn

if TYPE_CHECKING:
    from workflow.scripts.score.scorer import SampleRow

MODULE = "generate.generate_samples"
# What samples call the final checkpoint, whose epoch depends on the recipe's gate.
FINAL = "final"
ADAPTERS = "adapter_config.json"  # a checkpoint with such a file is adapters, in PEFT's format


class SampledModel(TypedDict):
    """What the manifest of samples says of the model; null where the run's own does not say it."""

    role: str | None  # `base`, `lrm`, `aligned` or `attacked`
    chat_format: str | None
    status: str | None  # `ok` or `failed`
    status_reason: NotRequired[str]  # why it failed
    manifest_sha256: str


class DataFile(TypedDict):
    """The benchmark's file of items."""

    sha256: str


class Throughput(TypedDict):
    """What a process generated, and how fast."""

    tokens: int
    tokens_per_s: float
    wall_s: float  # seconds, loads included
    load_s: float  # of these, starting the engine and loading weights


class SamplesManifest(TypedDict):
    """The manifest.json of a generate folder: what its samples.jsonl was made from."""

    format: int
    run: str
    benchmark: str
    kind: str
    engine: str
    decoding: dict[str, Any]  # with defaults, see `Decoding`
    prompting: NotRequired[dict[str, Any]]  # without defaults, see `Prompting`
    seed: int
    n_items: int
    repeats: int
    checkpoints: list[str]
    model: SampledModel
    template: str
    task: NotRequired[str]  # of lm-eval
    data: DataFile
    versions: dict[str, str]
    git_commit: str | None
    hardware: Hardware  # see `describe_hardware`
    throughput: Throughput


class _Meta(TypedDict, total=False):
    meta: dict[str, Any]


@dataclass(frozen=True)
class Question:
    """An item that is asked once.

    Attributes:
        item: What is asked.
        repeat: Counts the samples of the item.
        seed: Of the sample's random numbers.
    """

    item: Item
    repeat: int
    seed: int

    def sample(self, checkpoint: str, said: Completion) -> SampleRow:
        """Return the sample that a checkpoint's completion makes of it."""
        item = self.item
        meta: _Meta = {"meta": item.meta} if item.meta else {}
        return {
            "checkpoint": checkpoint,
            "item_id": item.item_id,
            "repeat": self.repeat,
            "seed": self.seed,
            "prompt": item.prompt,
            "target": item.target,
            "category": item.category,
            **meta,
            "prompt_ids": said.prompt_ids,
            "thinking": said.thinking,
            "answer": said.answer,
            "thinking_finish": said.thinking_finish,
            "answer_finish": said.answer_finish,
            "thinking_tokens": said.thinking_tokens,
            "answer_tokens": said.answer_tokens,
            "state": said.state,
        }


def list_questions(benchmark: Benchmark) -> list[Question]:
    """Return every sample's question, in the order of the file."""
    seed = benchmark.section.decoding.seed
    return [
        Question(item, repeat, int(sha256_text(f"{seed}/{item.item_id}/{repeat}")[:7], 16))
        for item in benchmark.items
        for repeat in range(benchmark.section.repeats)
    ]


@dataclass
class Work:
    """What a process has to do, and its clock.

    Attributes:
        engine: The engine's name.
        runtime: How to run.
        shard: Which of the processes that share the samples this is.
        shards: How many share them.
    """

    engine: str
    runtime: GenerationRuntime
    shard: int
    shards: int

    def __post_init__(self) -> None:
        self._lap = time.monotonic()

    def lap(self) -> float:
        """Return the seconds since the last call, or since the start."""
        before, self._lap = self._lap, time.monotonic()
        return self._lap - before


class Job:
    """The same weights on an engine, for all their benchmarks of this process.

    Attributes:
        run: Where they are.
        work: That of the process.
        manifest: The run's.
        checkpoints: The checkpoint folder's name by the name that samples give it.
        rank: The largest one of its adapters; 0 where it has none.

    Raises:
        InputError: A checkpoint is absent or incomplete, or adapters without their model.
    """

    def __init__(self, run: ModelRun, work: Work) -> None:
        self.run, self.work = run, work
        self.manifest = read_manifest(run.model)
        self.checkpoints = {
            name: self.manifest["final"] if name == FINAL else name
            for name in run.checkpoints or [FINAL]
        }
        # all are there; each is hashed when it is loaded
        found = [self.weights(name, checked=True)[1] for name in self.checkpoints]
        self.rank = max((read_json(one / ADAPTERS)["r"] if one else 0 for one in found), default=0)

    def weights(self, checkpoint: str, checked: bool = False) -> tuple[Path, Path | None]:
        """Return the folder of a checkpoint's weights, and of adapters for them where it is such.

        Args:
            checkpoint: As samples call it.
            checked: Do not hash the files.

        Raises:
            InputError: A file is missing or differs from the manifest, or the adapters were
                trained on other weights.
        """
        name = self.checkpoints[checkpoint]
        folder = load_checkpoint(self.run.model, name, checked)
        if ADAPTERS not in self.manifest["checkpoints"][name]:
            return folder, None
        if self.run.base is None:
            raise InputError(f"{folder}: has adapters alone, expected --base, their model")
        base, trained = read_manifest(self.run.base), _trained_on(self.manifest)
        files = base["checkpoints"].get(trained["checkpoint"])
        if files is None or sha256_text(canonical_json(files)) != trained["sha256"]:
            raise InputError(
                f"{self.run.base}: has other weights than {folder} was trained on, expected those "
                f"of {trained['run']} {trained['checkpoint']}"
            )
        return load_checkpoint(self.run.base, trained["checkpoint"], checked), folder


class Samples:
    """One benchmark's samples at all checkpoints.

    Attributes:
        benchmark: With its items.
        indices: Places of the samples that are this shard's.
        seconds: What they have taken, the loads that were for them included.
        load_seconds: Of these, starting the engine and loading weights.

    Args:
        job: The weights.
        run_name: The model run that they answer for.
        request: What is asked of it.
    """

    def __init__(self, job: Job, run_name: str, request: Request) -> None:
        self.job, self.run_name, self.request = job, run_name, request
        self.benchmark = load_benchmark(request.section)
        self.questions = list_questions(self.benchmark)
        self.indices = range(job.work.shard, len(self.questions), job.work.shards)
        self.seconds = self.load_seconds = 0.0
        self._partials = {name: self.partials(name) for name in job.checkpoints}
        self._before = {name: set(one.done) for name, one in self._partials.items()}

    @property
    def dtype(self) -> str:
        return self.benchmark.section.decoding.dtype

    @property
    def folder(self) -> Path:
        return self.request.out / STATE

    def partials(self, checkpoint: str) -> Partials:
        """Return what is finished of a checkpoint's samples, as it is on the disk."""
        digest = _digest(self.job, checkpoint, self.benchmark, self.request.prompting)
        return Partials(self.folder, digest, self.job.work.shard)

    @property
    def unfinished(self) -> bool:
        return any(self.missing(name) for name in self.job.checkpoints)

    def missing(self, checkpoint: str) -> bool:
        done = self._partials[checkpoint].done
        return any(index not in done for index in self.indices)

    def turns(self, folder: Path, tokenizer: Any) -> list[Turn]:
        """Return this shard's turns at their start."""
        manifest, decoding = self.job.manifest, self.benchmark.section.decoding
        chat, thinks = manifest["chat_format"], manifest["thinking"]
        form = load_form(folder, tokenizer, chat, decoding, thinks, self.request.prompting)
        questions = [self.questions[index] for index in self.indices]
        return [
            Turn(form, one.item.asked or one.item.prompt, f"item {one.item.item_id}")
            for one in questions
        ]

    def complete(self, engine: BaseEngine, checkpoint: str, turns: list[Turn]) -> None:
        """Have the engine complete the turns of its checkpoint, and keep what it says."""
        partials, indices = self._partials[checkpoint], self.indices
        done = {place for place, index in enumerate(indices) if index in partials.done}
        seeds = [self.questions[index].seed for index in indices]

        def keep(new: dict[int, Completion]) -> None:
            partials.add({indices[place]: one for place, one in new.items()})

        engine.complete(turns, seeds, done, keep)

    def write(self) -> None:
        """Write the result."""
        request = self.request
        started = time.monotonic() - self.seconds
        with making(request.out, cast(MadeFrom | None, request.result), started):
            write_jsonl(request.out / "samples.jsonl", self._rows())
            write_json(request.out / "manifest.json", self._manifest())

    def add_load(self, seconds: float) -> None:
        """Take note of a load that was for these samples, though others use it, too."""
        self.seconds += seconds
        self.load_seconds += seconds

    def mark(self) -> None:
        """Tell the process that gathers the shards that this one's samples are there."""
        write_text(self._mark(self.job.work.shard, self.job.work.shards), "")

    def is_finished(self, shards: int) -> bool:
        """Tell whether all shards' samples are there; they are read then."""
        if not all(self._mark(shard, shards).exists() for shard in range(shards)):
            return False
        self._partials = {name: self.partials(name) for name in self.job.checkpoints}
        return not self.unfinished

    def _mark(self, shard: int, shards: int) -> Path:
        return self.folder / f"{shard}-of-{shards}.finished"

    def _rows(self) -> list[SampleRow]:
        return [
            question.sample(checkpoint, partials.done[index])
            for checkpoint, partials in self._partials.items()
            for index, question in enumerate(self.questions)
        ]

    def _manifest(self) -> SamplesManifest:
        benchmark, section, job = self.benchmark, self.benchmark.section, self.job
        tokens = sum(
            completion.thinking_tokens + completion.answer_tokens
            for name, partials in self._partials.items()
            for index, completion in partials.done.items()
            if index not in self._before[name]
        )
        devices = job.work.runtime.tensor_parallel * job.work.runtime.data_parallel
        model: SampledModel = {
            "role": job.manifest.get("role"),
            "chat_format": job.manifest.get("chat_format"),
            "status": job.manifest.get("status"),
            "manifest_sha256": sha256_file(job.run.model),
        }
        if reason := job.manifest.get("status_reason"):
            model["status_reason"] = reason
        manifest: SamplesManifest = {
            "format": FORMAT,
            "run": self.run_name,
            "benchmark": self.request.name,
            "kind": section.kind,
            "engine": job.work.engine,
            "decoding": section.decoding.with_defaults(),
            "seed": section.decoding.seed,
            "n_items": len(benchmark.items),
            "repeats": section.repeats,
            "checkpoints": list(job.checkpoints),
            "model": model,
            "template": section.template,
            "data": {"sha256": benchmark.data_sha256},
            "versions": versions(),
            "git_commit": git_commit(),
            "hardware": describe_hardware(devices),
            "throughput": {
                "tokens": tokens,
                "tokens_per_s": round(tokens / self.seconds, 1),
                "wall_s": round(self.seconds, 3),
                "load_s": round(self.load_seconds, 3),
            },
        }
        if told := self.request.prompting.without_defaults():
            manifest["prompting"] = told
        if section.task:
            manifest["task"] = section.task
        return manifest


def _trained_on(adapters: Manifest) -> Parent:
    """Return the weights that adapters are for."""
    parent = adapters["lineage"]["base"]
    assert parent is not None
    return parent


def _digest(job: Job, checkpoint: str, benchmark: Benchmark, prompting: Prompting) -> str:
    """Digest all that decides a checkpoint's completions."""
    manifest, engine = job.manifest, job.work.engine
    files = manifest["checkpoints"][job.checkpoints[checkpoint]]
    base = {"base": _trained_on(manifest)["sha256"]} if ADAPTERS in files else {}
    told = prompting.without_defaults()
    decides = {
        "weights": files,
        **base,
        "chat_format": manifest["chat_format"],
        "thinking": manifest["thinking"],
        "benchmark": benchmark.section.model_dump(mode="json", exclude={"data"}),
        **({"prompting": told} if told else {}),
        "data": benchmark.data_sha256,
        "engine": engine,
        "code": [code_version(name) for name in (MODULE, engine_module(engine))],
        "versions": versions(),
    }
    return sha256_text(canonical_json(decides))[:32]
