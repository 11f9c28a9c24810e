"""Let one model run think and answer on benchmarks, at every evaluated checkpoint.

Reads the run's manifest and checkpoints and a list of benchmarks: `[{"name", "section", "out",
"result"}, …]`, JSON from a file or from standard input. Each benchmark's samples are a result of
their own in its `out`: `samples.jsonl` and `manifest.json`. An engine is started once for all of
them; what is complete is not generated again, and where nothing is left no engine starts. Finished
samples of a killed job are in `<out>/state`, where its next start finds them. Runs with the same
weights come together, with adapters or prompts (`prompting`) of their own: their benchmarks have a
field `run` (see `ModelRun`), and the weights are loaded once. By hand:

    python -m workflow.scripts.generate.generate_samples \
        --model results/micro/models/lrm/tiny/seed1/manifest.json --run lrm/tiny/seed1 <<END
    [{"name": "clock_sums", "out": "samples/clock_sums",
      "section": {"kind": "reasoning", "data": "results/micro/data/micro/clock_sums.jsonl",
                  "decoding": {"max_thinking_tokens": 80, "max_answer_tokens": 48}}}]
    END
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from workflow.scripts.common.codehash import PACKAGE
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import canonical_json, write_text
from workflow.scripts.common.result import MadeFrom, check_code, is_complete
from workflow.scripts.common.tokenizer import load_tokenizer
from workflow.scripts.config.planning import GenerationRuntime
from workflow.scripts.config.section import parse_section
from workflow.scripts.generate.benchmarks import ModelRun, Request, read_requests
from workflow.scripts.generate.engine import Adapters, BaseEngine, engine_module
from workflow.scripts.generate.samples import MODULE, Job, Samples, Work
from workflow.scripts.generate.shards import run_shards
from workflow.scripts.generate.turns import Turn


def main(argv: list[str] | None = None) -> None:
    arguments = _parser().parse_args(argv)
    runtime = parse_section(GenerationRuntime, arguments.runtime, "--runtime")
    requests = read_requests(arguments.benchmarks.read_text())
    requests = [request for request in requests if not is_complete(request.out)]
    if not requests:
        print("all samples are there, no engine starts", file=sys.stderr)
        return
    for request in requests:
        if request.result is not None:
            check_code(cast(MadeFrom, request.result))
    check_devices(runtime)
    engine = make_engine(arguments.engine, runtime)
    shard, shards = (int(part) for part in arguments.shard.split("/"))
    work = Work(arguments.engine, runtime, shard, shards)
    asked = list_samples(work, run_of(arguments), requests)
    if runtime.data_parallel > 1:
        generate_in_shards(work, run_of(arguments), asked)
        return
    try:
        for samples in generate(engine, asked):
            samples.write() if shards == 1 else samples.mark()
    finally:
        engine.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="the run's manifest.json")
    parser.add_argument("--checkpoints", nargs="*", default=[], help="default: the final one")
    parser.add_argument("--run", required=True, help="name of the run, for the manifest")
    parser.add_argument("--base", type=Path, help="of adapters: their model's manifest.json")
    parser.add_argument("--engine", default="hf", help="an engine of config/engines.py")
    parser.add_argument("--runtime", default="{}", help="JSON, see GenerationRuntime")
    parser.add_argument(
        "--benchmarks", type=Path, default=Path("/dev/stdin"), help="JSON list, see above"
    )
    parser.add_argument("--shard", default="0/1", help=argparse.SUPPRESS)
    return parser


def run_of(arguments: argparse.Namespace) -> ModelRun:
    """Return the model run that the command names."""
    asked = [name for text in arguments.checkpoints for name in text.split(",") if name]
    return ModelRun(
        name=arguments.run,
        model=arguments.model,
        checkpoints=tuple(asked),
        base=arguments.base,
    )


def list_samples(work: Work, run: ModelRun, requests: list[Request]) -> list[Samples]:
    """Return the samples that are asked for, of a run or of those that the requests name.

    Runs of the same weights, which differ in their prompts, share one job.
    """
    runs = [request.run or run for request in requests]
    weights = [one.model_copy(update={"name": ""}) for one in runs]
    jobs = {one: Job(one, work) for one in dict.fromkeys(weights)}
    return [
        Samples(jobs[weight], one.name, request)
        for weight, one, request in zip(weights, runs, requests, strict=True)
    ]


def check_devices(runtime: GenerationRuntime) -> None:
    """Make sure that this machine has the GPUs, and hide those that are not to be used."""
    if runtime.gpus == 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    wanted = runtime.tensor_parallel * runtime.data_parallel
    if wanted == 1:
        return
    import torch

    found = torch.cuda.device_count()
    # Without any GPU, data parallelism splits the CPU's work.
    if found < wanted and not (found == 0 and runtime.tensor_parallel == 1):
        raise InputError(
            f"--runtime: tensor_parallel {runtime.tensor_parallel} x data_parallel "
            f"{runtime.data_parallel} needs {wanted} GPUs, found {found}"
        )


def make_engine(name: str, runtime: GenerationRuntime) -> BaseEngine:
    """Return an engine without a model.

    It is loaded by name, so that it alone is the job's code.

    Raises:
        InputError: There is no such engine, or it cannot run here.
    """
    module = PACKAGE + engine_module(name)
    if find_spec(module) is None:
        raise InputError(f"--engine is {name!r}, expected one of config/engines.py")
    return import_module(module).Engine(runtime)


def generate(engine: BaseEngine, asked: list[Samples]) -> Iterator[Samples]:
    """Generate what is missing, and yield each benchmark's samples when they are all there.

    Benchmarks with weights of the same type share the loads: for each type the checkpoints of each
    run are loaded once, one after the other.
    """
    dtypes = list(dict.fromkeys(samples.dtype for samples in asked))
    groups = dict.fromkeys((samples.dtype, samples.job) for samples in asked)
    for dtype, job in sorted(groups, key=lambda one: dtypes.index(one[0])):
        group = [one for one in asked if one.dtype == dtype and one.job is job]
        last, rank = list(job.checkpoints)[-1], max(one.job.rank for one in asked)
        for checkpoint in job.checkpoints:
            turns = _open_turns(job, engine, group, checkpoint)
            loaded = False
            for samples in group:
                if samples.missing(checkpoint):
                    if not loaded:
                        _load(job, engine, checkpoint, dtype, turns.values(), rank)
                        loaded = True
                        samples.add_load(job.work.lap())
                    samples.complete(engine, checkpoint, turns[samples])
                samples.seconds += job.work.lap()
                if checkpoint == last:
                    yield samples


def _load(
    job: Job,
    engine: BaseEngine,
    checkpoint: str,
    dtype: str,
    turns: Iterable[list[Turn]],
    rank: int,
) -> None:
    folder, added = job.weights(checkpoint)
    longest = max(turn.longest for one in turns for turn in one)
    engine.load(folder, dtype, longest, None if added is None else Adapters(added, rank))


def _open_turns(
    job: Job, engine: BaseEngine, group: list[Samples], checkpoint: str
) -> dict[Samples, list[Turn]]:
    """Return the turns at their start of each benchmark that is not finished.

    Those whose samples are missing at a later checkpoint alone count for the length, too.

    Raises:
        InputError: A prompt with its budgets is longer than the model's context.
    """
    if not any(samples.missing(checkpoint) for samples in group):
        return {}
    folder, _ = job.weights(checkpoint, checked=True)
    tokenizer, context = load_tokenizer(folder), engine.context(folder)
    turns = {samples: samples.turns(folder, tokenizer) for samples in group if samples.unfinished}
    for turn in (turn for one in turns.values() for turn in one):
        if turn.longest > context:
            raise InputError(
                f"{turn.name}: its prompt of {len(turn.prompt_ids)} tokens and the budgets make "
                f"{turn.longest}, expected at most the model's context of {context}"
            )
    return turns


def generate_in_shards(work: Work, run: ModelRun, asked: list[Samples]) -> None:
    """Have several processes generate, each with a part of all samples; write what they finish."""
    waiting, runtime = list(asked), work.runtime

    def look() -> None:
        for samples in [one for one in waiting if one.is_finished(runtime.data_parallel)]:
            samples.seconds = work.lap()
            samples.write()
            waiting.remove(samples)

    own = runtime.model_copy(update={"data_parallel": 1})
    requests = [samples.request.model_dump(mode="json") for samples in asked]
    with tempfile.TemporaryDirectory(prefix="shards-") as folder:
        file = Path(folder) / "benchmarks.json"
        write_text(file, canonical_json(requests))
        command = [
            *(sys.executable, "-m", f"{PACKAGE}{MODULE}", "--model", str(run.model)),
            *("--checkpoints", *run.checkpoints, "--run", run.name),
            *(("--base", str(run.base)) if run.base else ()),
            *("--engine", work.engine, "--runtime", canonical_json(own.with_defaults())),
            *("--benchmarks", str(file)),
        ]
        run_shards(command, runtime.data_parallel, runtime.tensor_parallel, look)


if __name__ == "__main__":
    run(main)
