"""What a job asks a cluster for: GPUs, nodes, memory, run time, CPUs, from the experiment's size.

- A training job owns whole nodes, all GPUs of each. Host memory: the weights once as they are
  trained (4 bytes per parameter, 2 in pure bf16), for one process of all reads them; 2 bytes per
  parameter for the file's pages, or for the copy that is gathered to be saved; 5 GB per process.
- Generation takes the smallest power of two of GPUs that holds the bf16 weights plus 30 % for the
  KV cache.
- A classifier that judges takes one GPU. Everything else takes none, above all what waits for a
  network: downloads and judges behind an API.
- Times are limits: `LIMIT_FACTOR` times what `cost_model.py` says of a job whose every answer uses
  its full token budget, and 30 minutes. A job that makes several results starts once.

Whoever knows better says so in the experiment (`resources: {generate_samples: {gpu: 4}}`; for one
benchmark alone `generate_samples/gpqa_diamond: {gpu: 8}`). Nothing here can change a result, so
nothing here makes one stale.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow.scripts.common.cost_model import (
    HARDWARE,
    HF_SLOWNESS,
    ONCE,
    PROMPT_TOKENS,
    Parts,
    generation_parts,
    scoring_parts,
    training_parts,
)
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import canonical_json
from workflow.scripts.common.known_sizes import (
    UNKNOWN_ROWS,
    UNKNOWN_TOKENS,
    answer_tokens,
    known_rows,
    record_tokens,
)
from workflow.scripts.config.experiment import Benchmark
from workflow.scripts.config.mixtures import parts_of
from workflow.scripts.config.planning import TRAINING, Resources, TrainingKnobs
from workflow.scripts.config.source import Source
from workflow.scripts.data.mixing import count_part
from workflow.scripts.data.sources import read_rows
from workflow.scripts.graph.runs import Run
from workflow.scripts.graph.sampling import list_asked, most_records
from workflow.scripts.models import method_registry
from workflow.scripts.models.recipe import passes

if TYPE_CHECKING:
    from workflow.scripts.config.dataset import Dataset
    from workflow.scripts.config.decoding import Decoding
    from workflow.scripts.config.experiment import Experiment, ReadyMade
    from workflow.scripts.config.recipe import Recipe

PinnedRows = Mapping[str, Mapping[str, int]]  # hub name -> "CONFIG/SPLIT" -> rows

KEYS = ("gpu", "nodes", "mem_mb", "runtime", "threads")
GPUS_PER_NODE = 8
GPU_MEMORY = 80e9  # bytes; an H100 or A100
CPUS_PER_GPU = 8
SMALL = 50e6  # parameters; below it a model is computed by one CPU thread
# An A100 has a third of an H100's bf16 speed, and the model is no measurement.
LIMIT_FACTOR = 3
START_MINUTES = 30  # of a limit, for starts and slow disks


def list_resources(
    rule: str,
    experiment: Experiment,
    run: Run | None = None,
    benchmark: str | None = None,
    scorer: str | None = None,
    pinned: PinnedRows | None = None,
) -> dict[str, int]:
    """Return what one result asks of the job that makes it, at its first attempt.

    Args:
        rule: The job's rule.
        experiment: The experiment; its `resources.<rule>` take the place of the computed figures,
            and before them those of `resources.<rule>/<benchmark>`.
        run: The model run that the job makes or uses.
        benchmark: The benchmark's name, where the job has one.
        scorer: The scorer's name, where the job has one.
        pinned: Rows of hub data sets, from the experiment's lock.

    Returns:
        `gpu` (on all nodes together), `nodes`, `mem_mb` (per node), `runtime` (minutes), `threads`;
        and `once`: those of the minutes that a job of several results needs once.
    """
    rule = rule.removesuffix("_api")  # the same job, on another machine
    own = experiment.resources.get(rule, Resources())
    of_benchmark = experiment.resources.get(f"{rule}/{benchmark}", Resources())
    given = own.without_defaults() | of_benchmark.without_defaults()
    if rule in TRAINING and run:
        nodes = given.get("nodes", 1)
        most = method_registry.most_gpus(run)
        gpu = given.get("gpu", most or nodes * GPUS_PER_NODE)
        found = _training(experiment, run, nodes, gpu, pinned)
    elif rule == "generate_samples" and run and benchmark:
        section = list_asked(experiment)[benchmark]
        found = _generation(experiment, run, section, given.get("gpu"), pinned)
    elif rule == "score_samples" and run and benchmark and scorer:
        found = _scoring(experiment, run, benchmark, scorer, pinned)
    elif rule == "derive_model" and run:
        minutes = START_MINUTES + math.ceil(parameters(experiment, run) / 1e9 * 2)
        found = {"mem_mb": 8_000, "runtime": minutes}
    elif rule == "fetch_model" and run:
        found = {"runtime": 30 + math.ceil(parameters(experiment, run) / 1e9 * 6)}
    else:
        found = {}
    found = {"gpu": 0, "nodes": 1, "mem_mb": 4_000, "runtime": 60, "threads": 1, **found, **given}
    once = min(found.get("once", START_MINUTES), found["runtime"])
    if own.runtime:  # a job's, however many results it makes
        once = found["runtime"]
    return {**{key: found[key] for key in KEYS}, "once": once}


def combine_resources(
    asked: Sequence[Mapping[str, int]], attempt: int = 1, most: Mapping[str, float] | None = None
) -> dict[str, int]:
    """Return what a job asks for that makes several results, one after the other.

    Args:
        asked: What each of them asks for, see `list_resources`.
        attempt: 1, 2, …; memory and time grow by half of the first figure with each, for a job
            that ran out of either.
        most: The largest `mem_mb` and `runtime` that the job may ask for.
    """
    found = {key: max(one[key] for one in asked) for key in KEYS}
    once = max(one["once"] for one in asked)
    found["runtime"] = once + sum(one["runtime"] - one["once"] for one in asked)
    for key in ("mem_mb", "runtime"):
        grown = math.ceil(found[key] * (1 + (attempt - 1) / 2))
        found[key] = int(min(grown, (most or {}).get(key, grown)))
    return found


def owns_nodes(rule: str, gpu: int) -> bool:
    """Say whether a job shares its nodes with no other job: training on GPUs."""
    return rule in TRAINING and gpu > 0


def computing_gpus(experiment: Experiment, run: Run, gpu: int, nodes: int = 1) -> int:
    """Return how many of a node's GPUs a job computes on: none for a model that needs none."""
    return 0 if parameters(experiment, run) < SMALL else gpu // nodes


def parameters(experiment: Experiment, run: Run) -> float:
    """Return a run's parameters: `parameters_b`, else from its architecture or its hub name.

    Raises:
        InputError: None of them tells.
    """
    section = _source(experiment, run)
    if section.parameters_b:
        return section.parameters_b * 1e9
    if shape := getattr(section, "pretrain", None):
        hidden = shape.hidden_size
        per_layer = 4 * hidden**2 + 3 * hidden * shape.intermediate_size
        return float(shape.num_hidden_layers * per_layer)
    package = section.package and (section.package.name, section.package.file)
    given = (section.hub, section.path, *(package or ()))
    names = [text for text in given if text and ("/" in text or "-" in text)]
    for size, unit in re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)([BbMm])(?![a-zA-Z])", " ".join(names)):
        return float(size) * (1e9 if unit in "Bb" else 1e6)
    raise InputError(
        f"model {run.name}: its size in {section.without_defaults()} is unknown, expected "
        "parameters_b (billions)"
    )


def hardware_of(experiment: Experiment) -> dict[str, float]:
    """Return what an experiment assumes of its hardware."""
    return HARDWARE | experiment.hardware.without_defaults()


def count_rows(section: Dataset | Benchmark, pinned: PinnedRows | None = None) -> int:
    """Return how many rows of a training set or a benchmark are used, at most.

    Args:
        section: The experiment's entry.
        pinned: The row counts of the experiment's lock.
    """
    return most_rows(section, pinned) or UNKNOWN_ROWS


def most_rows(section: Dataset | Benchmark, pinned: PinnedRows | None = None) -> int | None:
    """Return the same as `count_rows`, and None where nothing tells."""
    skip, n = (section.skip, section.n) if isinstance(section, Benchmark) else (0, None)
    rows = source_rows(section, pinned)
    return min(filter(None, (rows and max(1, rows - skip), n)), default=None)


def source_rows(section: Dataset | Benchmark, pinned: PinnedRows | None = None) -> int | None:
    """Return how many rows a set or a benchmark has at most, before any are skipped."""
    prepare, source = section.prepare, section.source
    where = prepare.where if prepare else {}  # a task's rows are all asked
    known = None
    if source:
        known = known_rows(source, where, pinned) if source.hub else _local_rows(source, where)
    counts = [prepare.limit, prepare.first] if prepare else []
    drawn = section.reasoning_gym.n if section.reasoning_gym else None
    return min(filter(None, (*counts, known, drawn)), default=None)


def generated_rows(experiment: Experiment, section: Dataset | Benchmark) -> int | None:
    """Return the rows of a set or benchmark of micro_data or reasoning-gym; None for another."""
    if section.reasoning_gym:
        return section.reasoning_gym.n
    if section.generated is None or experiment.micro_data is None:
        return None
    sizes, file = experiment.micro_data.with_defaults(), section.generated
    safety = {"directrefusal": "safety_records", "safechain": "safety_records"}
    return sizes.get(safety.get(file, file)) or sizes.get(f"{file}_records")


def training_size(
    experiment: Experiment, name: str, rows_of: Callable[[str], int]
) -> tuple[int, float]:
    """Return the rows of a training set, and the tokens of a row on average.

    Args:
        experiment: The experiment.
        name: An entry of data, mixtures among them.
        rows_of: Gives the rows of an entry that is no mixture and that no LRM writes.
    """
    entry = experiment.data[name]
    if sampled := entry.sampled:
        asked = list_asked(experiment)[name]
        tokens = answer_tokens(asked, hardware_of(experiment)["budget_share"])
        return most_records(sampled, rows_of(sampled.prompts)), tokens
    if entry.mix is None:
        return rows_of(name), record_tokens(entry)
    parts = parts_of(entry)
    found = [training_size(experiment, part.set, rows_of) for part in parts]
    sizes, each = [rows for rows, _ in found], [tokens for _, tokens in found]
    first = count_part(parts[0], sizes[0], 0)
    counts = [
        min(size, count_part(part, size, first)) for part, size in zip(parts, sizes, strict=True)
    ]
    total = sum(n * tokens for n, tokens in zip(counts, each, strict=True))
    return sum(counts), total / max(1, sum(counts))


def _local_rows(source: Source, where: Mapping[str, Any]) -> int | None:
    """Count the rows of a local file or a package's; None for one that is not there."""
    file = Path(source.path or "")
    changed = file.stat().st_mtime_ns if file.is_file() else 0
    return _count_local(source, canonical_json(where), changed)


@cache
def _count_local(source: Source, where: str, changed: int) -> int | None:
    try:
        rows = read_rows(source)
    except InputError:
        return None
    for field, wanted in json.loads(where).items():
        values = wanted if isinstance(wanted, list) else [wanted]
        rows = [row for row in rows if row.get(field) in values]
    return len(rows)


def training_times(
    experiment: Experiment, run: Run, gpus: int, *, records: int, tokens: float, epochs: float
) -> Parts:
    """Return the seconds of a training by part, see `training_parts`."""
    knobs = getattr(experiment.runtime, rule_of(run), TrainingKnobs())
    return training_parts(
        hardware_of(experiment),
        size=parameters(experiment, run),
        records=records,
        tokens=tokens,
        epochs=method_registry.count_passes(run, epochs),
        batch=(run.pretrain or run.training).global_batch,
        gpus=gpus,
        kept=kept_checkpoints(run.recipe),
        state_bytes=knobs.save_state * (6 if trains_in_bf16(run) else 12),
    )


def kept_checkpoints(recipe: Recipe | None) -> int:
    """Return how many checkpoints a training keeps, a round of it; a base's is one."""
    if recipe is None:
        return 1
    return len(recipe.steps or ()) or (1 if recipe.checkpoints == "last" else recipe.epochs)


def trains_in_bf16(run: Run) -> bool:
    """Tell whether weights and optimizer of a training are in bf16."""
    return run.recipe is not None and run.recipe.precision == "bf16_pure"


def training_epochs(run: Run, records: int) -> float:
    """Return how often a round of training goes through its records."""
    return passes(run.recipe, max(1, records)) if run.recipe else 1


def most_rounds(run: Run) -> int:
    """Return the rounds of a training at most; a skill gate may ask for several."""
    gate = run.recipe.gate if run.recipe else None
    return gate.max_rounds if gate else 1


def generation_times(
    experiment: Experiment,
    run: Run,
    benchmark: Benchmark,
    gpus: int,
    *,
    samples: float,
    tokens: float,
) -> Parts:
    """Return the seconds of a generating job by part; its engine starts once.

    Args:
        experiment: The experiment.
        run: The model run.
        benchmark: The benchmark's section.
        gpus: What the job holds; those beyond one copy of the model serve further copies.
        samples: Per checkpoint.
        tokens: Of a sample on average, thinking included.
    """
    size = parameters(experiment, run)
    knobs, hardware = experiment.runtime.generate_samples, hardware_of(experiment)
    vllm = benchmark.engine == "vllm"
    each = min(gpus, knobs.tensor_parallel or fewest_gpus(size))
    parts = generation_parts(
        hardware,
        size=size,
        samples=max(1, samples / max(1, gpus // each)),
        tokens=tokens,
        budget=budget_of(benchmark.decoding),
        gpus=each,
        concurrent=int(
            knobs.max_num_seqs or hardware["concurrent_sequences"] if vllm else knobs.batch_size
        ),
        slowness=1 if vllm else HF_SLOWNESS,
    )
    checkpoints = max(1, len(run.checkpoints))  # one after the other in the same engine
    return {
        part: seconds * (1 if part == "start" else checkpoints) for part, seconds in parts.items()
    }


def scoring_times(experiment: Experiment, scorer: str, samples: float) -> Parts:
    """Return the seconds of a scoring by part, see `scoring_parts`."""
    return scoring_parts(hardware_of(experiment), experiment.scorers[scorer], samples)


def count_samples(
    experiment: Experiment, run: Run, benchmark: str, pinned: PinnedRows | None = None
) -> int:
    """Return how many samples a run has on a benchmark, at most."""
    section = list_asked(experiment)[benchmark]
    return count_rows(section, pinned) * section.repeats * max(1, len(run.checkpoints))


def budget_of(decoding: Decoding) -> int:
    """Return the tokens that a sample may have."""
    return decoding.max_thinking_tokens + decoding.max_answer_tokens


def rule_of(run: Run) -> str:
    """Return the rule that trains a run."""
    return {
        "base": "pretrain_base",
        "lrm": "reasoning_sft",
        "aligned": "safety_sft",
        "attacked": "attack_sft",
    }[run.role]


def _source(experiment: Experiment, run: Run) -> ReadyMade:
    """Return the section of the model that a run's weights come from in the end."""
    if run.role == "base":
        return experiment.bases[run.id.model]
    lrm = experiment.lrms[run.id.model]
    return lrm if lrm.base is None or lrm.parameters_b else experiment.bases[lrm.base]


def _training(
    experiment: Experiment, run: Run, nodes: int, gpu: int, pinned: PinnedRows | None
) -> dict[str, int]:
    size = parameters(experiment, run)
    if run.pretrain:
        gpu = 0
    if size < SMALL:
        return {"gpu": gpu, "nodes": nodes, "mem_mb": 2_000, "runtime": 30, "threads": 1}
    records, tokens = _count_training(experiment, run, pinned)
    parts = training_times(
        experiment,
        run,
        max(gpu, 1),
        records=records,
        tokens=tokens / max(1, records),
        epochs=training_epochs(run, records) * most_rounds(run),
    )
    trained = 2 if trains_in_bf16(run) else 4
    return {
        "gpu": gpu,
        "nodes": nodes,
        "mem_mb": _megabytes((trained + 2) * size + 5e9 * max(gpu // nodes, 1)),
        **_minutes(parts),
        "threads": CPUS_PER_GPU * max(gpu // nodes, 1),
    }


def _count_training(
    experiment: Experiment, run: Run, pinned: PinnedRows | None
) -> tuple[int, float]:
    """Return the rows of a run's training sets, and their tokens."""
    if not run.data:
        return UNKNOWN_ROWS, float(UNKNOWN_ROWS * UNKNOWN_TOKENS)
    data, rows, tokens = experiment.data, 0, 0.0
    for name, target in method_registry.sets_of(run):
        n, each = training_size(experiment, name, lambda one: count_rows(data[one], pinned))
        if target is not None:
            each = PROMPT_TOKENS + target
        rows, tokens = rows + n, tokens + n * min(run.training.max_length, each)
    return rows, tokens


def _generation(
    experiment: Experiment,
    run: Run,
    benchmark: Benchmark,
    gpu: int | None,
    pinned: PinnedRows | None,
) -> dict[str, int]:
    size = parameters(experiment, run)
    gpu = fewest_gpus(size) if gpu is None else gpu
    if size < SMALL:
        return {"gpu": gpu, "mem_mb": 2_000, "runtime": 30, "threads": 1}
    samples = count_rows(benchmark, pinned) * benchmark.repeats
    budget = budget_of(benchmark.decoding)
    parts = generation_times(
        experiment, run, benchmark, max(gpu, 1), samples=samples, tokens=budget
    )
    return {
        "gpu": gpu,
        "mem_mb": _megabytes(2.2 * size + 8e9),
        **_minutes(parts),
        "threads": CPUS_PER_GPU * max(gpu, 1),
    }


def _scoring(
    experiment: Experiment,
    run: Run,
    benchmark: str,
    scorer: str,
    pinned: PinnedRows | None,
) -> dict[str, int]:
    samples = count_samples(experiment, run, benchmark, pinned)
    gpu = experiment.scorers[scorer].gpus
    return {
        "gpu": gpu,
        "mem_mb": 24_000 if gpu else 4_000,
        "threads": CPUS_PER_GPU if gpu else 1,
        **_minutes(scoring_times(experiment, scorer, samples)),
    }


def fewest_gpus(size: float) -> int:
    """Return the smallest power of two of GPUs that holds `size` bf16 parameters and a KV cache."""
    need = 2 * size * 1.3 / (0.9 * GPU_MEMORY)
    return min(GPUS_PER_NODE, 2 ** max(0, math.ceil(math.log2(need))))


def _megabytes(size: float) -> int:
    return math.ceil(size / 1e9) * 1000


def _minutes(parts: Parts) -> dict[str, int]:
    """Return the time limit of a job, and what of it a job of several results needs once."""
    own = sum(seconds for part, seconds in parts.items() if part not in ONCE)
    total = START_MINUTES + math.ceil(LIMIT_FACTOR * sum(parts.values()) / 60)
    return {"runtime": total, "once": total - math.ceil(LIMIT_FACTOR * own / 60)}
