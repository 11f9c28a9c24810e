"""One benchmark's samples of a model run: questions, what is finished, and the result."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workflow.scripts.common.codehash import code_version
from workflow.scripts.common.hardware import describe_hardware
from workflow.scripts.common.io import (
    canonical_json,
    sha256_file,
    sha256_text,
    write_json,
    write_jsonl,
    write_text,
)
from workflow.scripts.common.manifest import (
    FORMAT,
    git_commit,
    load_checkpoint,
    read_manifest,
    versions,
)
from workflow.scripts.common.result import STATE, making
from workflow.scripts.config.planning import GenerationRuntime
from workflow.scripts.generate.benchmarks import Benchmark, Item, Request, load_benchmark
from workflow.scripts.generate.engine import BaseEngine, engine_module, load_form
from workflow.scripts.generate.partials import Partials
from workflow.scripts.generate.turns import Completion, Turn

MODULE = "generate.generate_samples"
# What samples call the final checkpoint, whose epoch depends on the recipe's gate.
FINAL = "final"


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

    def fields(self, checkpoint: str) -> dict[str, Any]:
        """Return the fields of a sample that are known before it is generated."""
        item = self.item
        return {
            "checkpoint": checkpoint,
            "item_id": item.item_id,
            "repeat": self.repeat,
            "seed": self.seed,
            "prompt": item.prompt,
            "target": item.target,
            "category": item.category,
            **({"meta": item.meta} if item.meta else {}),
        }


def list_questions(benchmark: Benchmark) -> list[Question]:
    """Return every sample's question, in the order of the file."""
    seed = benchmark.section.decoding.seed
    return [
        Question(item, repeat, int(sha256_text(f"{seed}/{item.item_id}/{repeat}")[:7], 16))
        for item in benchmark.items
        for repeat in range(benchmark.section.repeats)
    ]


class Job:
    """A model run on an engine, for all benchmarks of this process.

    Attributes:
        arguments: As they were given.
        runtime: How to run.
        manifest: The run's.
        checkpoints: The checkpoint folder's name by the name that samples give it.
        shard: Which of the processes that share the samples this is.
        shards: How many share them.

    Raises:
        InputError: A checkpoint is absent or incomplete.
    """

    def __init__(
        self, arguments: argparse.Namespace, runtime: GenerationRuntime, shard: int, shards: int
    ) -> None:
        self.arguments, self.runtime, self.shard, self.shards = arguments, runtime, shard, shards
        self.manifest = read_manifest(arguments.model)
        asked = [name for text in arguments.checkpoints for name in text.split(",") if name]
        self.checkpoints = {
            name: self.manifest["final"] if name == FINAL else name for name in asked or [FINAL]
        }
        for found in self.checkpoints.values():  # all are there; each is hashed when it is loaded
            load_checkpoint(arguments.model, found, checked=True)
        self._lap = time.monotonic()

    def lap(self) -> float:
        """Return the seconds since the last call, or since the start."""
        before, self._lap = self._lap, time.monotonic()
        return self._lap - before


class Samples:
    """One benchmark's samples at all checkpoints.

    Attributes:
        benchmark: With its items.
        indices: Places of the samples that are this shard's.
        seconds: What they have taken, the loads that were for them included.
        load_seconds: Of these, starting the engine and loading weights.

    Args:
        job: The model run.
        request: What is asked of it.
    """

    def __init__(self, job: Job, request: Request) -> None:
        self.job, self.request = job, request
        self.benchmark = load_benchmark(request.section, request.name)
        self.questions = list_questions(self.benchmark)
        self.indices = range(job.shard, len(self.questions), job.shards)
        self.seconds = self.load_seconds = 0.0
        self._partials = {name: self.partials(name) for name in job.checkpoints}
        self._before = {name: set(one.done) for name, one in self._partials.items()}

    @property
    def name(self) -> str:
        return self.request.name

    @property
    def dtype(self) -> str:
        return self.benchmark.section.decoding.dtype

    @property
    def folder(self) -> Path:
        return self.request.out / STATE

    def partials(self, checkpoint: str) -> Partials:
        """Return what is finished of a checkpoint's samples, as it is on the disk."""
        digest = _digest(self.job, checkpoint, self.benchmark)
        return Partials(self.folder, digest, self.job.shard)

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
        form = load_form(folder, tokenizer, chat, decoding, thinks)
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
        with making(request.out, request.result, started):
            write_jsonl(request.out / "samples.jsonl", self._rows())
            write_json(request.out / "manifest.json", self._manifest())

    def add_load(self, seconds: float) -> None:
        """Take note of a load that was for these samples, though others use it, too."""
        self.seconds += seconds
        self.load_seconds += seconds

    def mark(self) -> None:
        """Tell the process that gathers the shards that this one's samples are there."""
        write_text(self._mark(self.job.shard, self.job.shards), "")

    def is_finished(self, shards: int) -> bool:
        """Tell whether all shards' samples are there; they are read then."""
        if not all(self._mark(shard, shards).exists() for shard in range(shards)):
            return False
        self._partials = {name: self.partials(name) for name in self.job.checkpoints}
        return not self.unfinished

    def _mark(self, shard: int, shards: int) -> Path:
        return self.folder / f"{shard}-of-{shards}.finished"

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {**question.fields(checkpoint), **asdict(partials.done[index])}
            for checkpoint, partials in self._partials.items()
            for index, question in enumerate(self.questions)
        ]

    def _manifest(self) -> dict[str, Any]:
        benchmark, section, job = self.benchmark, self.benchmark.section, self.job
        tokens = sum(
            completion.thinking_tokens + completion.answer_tokens
            for name, partials in self._partials.items()
            for index, completion in partials.done.items()
            if index not in self._before[name]
        )
        model = {key: job.manifest.get(key) for key in ("role", "chat_format", "status")}
        devices = job.runtime.tensor_parallel * job.runtime.data_parallel
        return {
            "format": FORMAT,
            "run": job.arguments.run,
            "benchmark": self.request.name,
            "kind": section.kind,
            "engine": job.arguments.engine,
            "decoding": section.decoding.with_defaults(),
            "seed": section.decoding.seed,
            "n_items": len(benchmark.items),
            "repeats": section.repeats,
            "checkpoints": list(job.checkpoints),
            "model": {**model, "manifest_sha256": sha256_file(job.arguments.model)},
            "task": benchmark.task,
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


def _digest(job: Job, checkpoint: str, benchmark: Benchmark) -> str:
    """Digest all that decides a checkpoint's completions."""
    manifest, engine = job.manifest, job.arguments.engine
    decides = {
        "weights": manifest["checkpoints"][job.checkpoints[checkpoint]],
        "chat_format": manifest["chat_format"],
        "thinking": manifest["thinking"],
        "benchmark": benchmark.section.model_dump(mode="json", exclude={"data"}),
        "data": benchmark.data_sha256,
        "task": benchmark.task,
        "engine": engine,
        "code": [code_version(name) for name in (MODULE, engine_module(engine))],
        "versions": versions(),
    }
    return sha256_text(canonical_json(decides))[:32]
