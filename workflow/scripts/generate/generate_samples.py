"""Let one model run think and answer on one benchmark, at every evaluated checkpoint.

Reads the run's manifest and checkpoints and the benchmark's items (through lm-eval), writes
`samples.jsonl` and `manifest.json`. Finished samples are kept in `--state`, so a run that was
preempted goes on where it was; delete it when the results stand. By hand:

    python -m workflow.scripts.generate.generate_samples \
        --model results/micro/models/lrm/tiny/seed1/manifest.json \
        --benchmark '{"kind": "reasoning", "data": "results/micro/data/micro/clock_sums.jsonl",
            "decoding": {"max_thinking_tokens": 80, "max_answer_tokens": 48}}' \
        --benchmark-name clock_sums --run lrm/tiny/seed1 \
        --state results/micro/state/clock_sums \
        --out results/micro/generate/lrm/tiny/seed1/clock_sums
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workflow.scripts.common.codehash import PACKAGE, code_version
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.hardware import describe_hardware
from workflow.scripts.common.io import (
    canonical_json,
    sha256_file,
    sha256_text,
    write_json,
    write_jsonl,
)
from workflow.scripts.common.manifest import (
    FORMAT,
    git_commit,
    load_checkpoint,
    read_manifest,
    versions,
)
from workflow.scripts.config.generation import PromptFile
from workflow.scripts.config.planning import GenerationRuntime
from workflow.scripts.config.section import parse_section
from workflow.scripts.generate.benchmarks import Benchmark, Item, load_benchmark
from workflow.scripts.generate.partials import Partials
from workflow.scripts.generate.turns import Completion

MODULE = "generate.generate_samples"
ENGINE = "generate.{}_engine"
# What samples call the final checkpoint, whose epoch depends on the recipe's gate.
FINAL = "final"


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(argv)
    started = time.monotonic()
    section = parse_section(PromptFile, arguments.benchmark, "--benchmark")
    runtime = _runtime(arguments)
    manifest = read_manifest(arguments.model)
    checkpoints = [name for text in arguments.checkpoints for name in text.split(",") if name]
    checkpoints = checkpoints or [FINAL]
    benchmark = load_benchmark(section, arguments.benchmark_name)
    shard, shards = (int(part) for part in arguments.shard.split("/"))

    named = {name: manifest["final"] if name == FINAL else name for name in checkpoints}
    for found in named.values():  # all are there; each is hashed when it is loaded
        load_checkpoint(arguments.model, found, checked=True)
    digests = {name: _digest(manifest, name, benchmark, arguments.engine) for name in named}
    before = {name: set(Partials(arguments.state, digests[name], shard).done) for name in named}
    if runtime["data_parallel"] > 1 and shards == 1:
        _run_shards(argv, runtime)
    rows: list[dict[str, Any]] = []
    generated = 0
    questions = _questions(benchmark)
    mine = range(shard, len(questions), shards)
    for name, found in named.items():
        partials = Partials(arguments.state, digests[name], shard)
        if any(index not in partials.done for index in mine):
            folder = load_checkpoint(arguments.model, found)
            engine = _load_engine(arguments.engine, folder, manifest, benchmark, runtime)
            _generate(engine, questions, mine, partials)
            engine.close()
        generated += sum(
            completion.thinking_tokens + completion.answer_tokens
            for index, completion in partials.done.items()
            if index not in before[name]
        )
        rows += [
            _sample(name, *question, partials.done[index])
            for index, question in enumerate(questions)
            if index in mine
        ]
    if shards > 1:
        return

    wall = time.monotonic() - started
    write_jsonl(arguments.out / "samples.jsonl", rows)
    model = {key: manifest.get(key) for key in ("role", "chat_format", "status")}
    write_json(
        arguments.out / "manifest.json",
        {
            "format": FORMAT,
            "run": arguments.run,
            "benchmark": arguments.benchmark_name,
            "kind": section.kind,
            "engine": arguments.engine,
            "decoding": section.decoding.with_defaults(),
            "seed": section.decoding.seed,
            "n_items": len(benchmark.items),
            "repeats": section.repeats,
            "checkpoints": checkpoints,
            "model": {**model, "manifest_sha256": sha256_file(arguments.model)},
            "task": benchmark.task,
            "data": {"sha256": benchmark.data_sha256},
            "versions": versions(),
            "git_commit": git_commit(),
            "hardware": describe_hardware(runtime["tensor_parallel"] * runtime["data_parallel"]),
            "throughput": {
                "tokens": generated,
                "tokens_per_s": round(generated / wall, 1),
                "wall_s": round(wall, 3),
            },
        },
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="the run's manifest.json")
    parser.add_argument("--checkpoints", nargs="*", default=[], help="default: the final one")
    parser.add_argument("--benchmark", required=True, help="the experiment's section, as JSON")
    parser.add_argument("--benchmark-name", required=True)
    parser.add_argument("--run", required=True, help="name of the run, for the manifest")
    parser.add_argument("--engine", choices=("hf", "vllm"), default="hf")
    parser.add_argument("--runtime", default="{}", help="JSON, see GenerationRuntime")
    parser.add_argument("--state", type=Path, required=True, help="keeps what is finished")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shard", default="0/1", help=argparse.SUPPRESS)
    return parser


def _runtime(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the runtime settings after checking them against this machine."""
    runtime = parse_section(GenerationRuntime, arguments.runtime, "--runtime").with_defaults()
    if arguments.engine == "vllm" and find_spec("vllm") is None:
        raise InputError(
            f"engine vllm: not installed for {sys.executable}, "
            "expected the environment of envs/vllm.txt, or engine hf"
        )
    if arguments.engine == "vllm":
        setup = _vllm_setup()
        setup.check_build(setup.is_cpu_build(), runtime["enforce_eager"])
    if runtime["gpus"] == 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    wanted = runtime["tensor_parallel"] * runtime["data_parallel"]
    if wanted > 1:
        import torch

        found = torch.cuda.device_count()
        # Without any GPU, data parallelism splits the CPU's work.
        if found < wanted and not (found == 0 and runtime["tensor_parallel"] == 1):
            raise InputError(
                f"--runtime: tensor_parallel {runtime['tensor_parallel']} x data_parallel "
                f"{runtime['data_parallel']} needs {wanted} GPUs, found {found}"
            )
    return runtime


def _run_shards(argv: list[str], runtime: dict[str, Any]) -> None:
    """Generate in one process per data-parallel rank, each with its own GPUs and partials."""
    import torch

    shards, each = runtime["data_parallel"], runtime["tensor_parallel"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(
        map(str, range(torch.cuda.device_count()))
    )
    devices = visible.split(",")
    processes = []
    for shard in range(shards):
        environment = dict(os.environ)
        if visible:
            mine = devices[shard * each : (shard + 1) * each]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
        own = [
            "--shard",
            f"{shard}/{shards}",
            "--runtime",
            json.dumps({**runtime, "data_parallel": 1}),
        ]
        command = [sys.executable, "-m", f"workflow.scripts.{MODULE}", *argv, *own]
        processes.append(subprocess.Popen(command, env=environment))
    try:
        while True:
            codes = [process.poll() for process in processes]
            failed = [shard for shard, code in enumerate(codes) if code]
            if failed or None not in codes:
                break
            time.sleep(0.2)
    finally:  # the others need not finish what nobody will use
        for process in processes:
            process.terminate()
            process.wait()
    if failed:
        raise InputError(f"shard {failed[0]} of {shards} failed, see its error above")


def _digest(manifest: dict[str, Any], checkpoint: str, benchmark: Benchmark, engine: str) -> str:
    """Digest all that decides a checkpoint's completions."""
    decides = {
        "weights": manifest["checkpoints"][
            manifest["final"] if checkpoint == FINAL else checkpoint
        ],
        "chat_format": manifest["chat_format"],
        "thinking": manifest["thinking"],
        "benchmark": benchmark.section.model_dump(mode="json", exclude={"data"}),
        "data": benchmark.data_sha256,
        "task": benchmark.task,
        "engine": engine,
        "code": [code_version(name) for name in (MODULE, ENGINE.format(engine))],
        "versions": versions(),
    }
    return sha256_text(canonical_json(decides))[:32]


def _questions(benchmark: Benchmark) -> list[tuple[Item, int, int]]:
    """Return (item, repeat, seed) of every sample, in the order of the file."""
    seed = benchmark.section.decoding.seed
    return [
        (item, repeat, int(sha256_text(f"{seed}/{item.item_id}/{repeat}")[:7], 16))
        for item in benchmark.items
        for repeat in range(benchmark.section.repeats)
    ]


def _load_engine(
    name: str,
    folder: Path,
    manifest: dict[str, Any],
    benchmark: Benchmark,
    runtime: dict[str, Any],
) -> Any:
    """Return the lm-eval model `budget_forcing_<name>` of a checkpoint."""
    from lm_eval.api.registry import get_model

    if name == "vllm":
        _vllm_setup().set_variables()
    # Importing an engine registers it. It is loaded by name, so that it alone is the job's code.
    import_module(f"{PACKAGE}{ENGINE.format(name)}")
    return get_model(f"budget_forcing_{name}")(
        pretrained=str(folder),
        chat=manifest["chat_format"],
        decoding=benchmark.section.decoding,
        thinks=manifest["thinking"],
        runtime=runtime,
    )


def _vllm_setup() -> Any:
    return import_module(f"{PACKAGE}generate.vllm_setup")


def _generate(
    engine: Any, questions: list[tuple[Item, int, int]], mine: range, partials: Partials
) -> None:
    from lm_eval.api.instance import Instance

    requests = [
        Instance(
            request_type="generate_until",
            doc={"item_id": item.item_id},
            arguments=(item.prompt, {"seed": seed}),
            idx=repeat,
        )
        for item, repeat, seed in (questions[index] for index in mine)
    ]
    engine.completions = {
        position: partials.done[index]
        for position, index in enumerate(mine)
        if index in partials.done
    }
    engine.on_complete = lambda new: partials.add({mine[place]: one for place, one in new.items()})
    engine.generate_until(requests)


def _sample(
    checkpoint: str, item: Item, repeat: int, seed: int, completion: Completion
) -> dict[str, Any]:
    return {
        "checkpoint": checkpoint,
        "item_id": item.item_id,
        "repeat": repeat,
        "seed": seed,
        "prompt": item.prompt,
        "target": item.target,
        "category": item.category,
        **({"meta": item.meta} if item.meta else {}),
        **asdict(completion),
    }


if __name__ == "__main__":
    run(main)
