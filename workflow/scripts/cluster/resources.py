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
from typing import Any

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
from workflow.scripts.config.planning import TRAINING
from workflow.scripts.config.section import read_section
from workflow.scripts.config.source import Part, Source
from workflow.scripts.data.mixing import count_part
from workflow.scripts.data.sources import read_rows
from workflow.scripts.graph.runs import Run
from workflow.scripts.graph.sampling import list_asked, most_records
from workflow.scripts.models import method_registry
from workflow.scripts.score.registry import section_class

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
    experiment: dict[str, Any],
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
    sections = experiment.get("resources", {})
    given = {**sections.get(rule, {}), **sections.get(f"{rule}/{benchmark}", {})}
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
    if "runtime" in sections.get(rule, {}):  # a job's, however many results it makes
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


def computing_gpus(experiment: dict[str, Any], run: Run, gpu: int, nodes: int = 1) -> int:
    """Return how many of a node's GPUs a job computes on: none for a model that needs none."""
    return 0 if parameters(experiment, run) < SMALL else gpu // nodes


def parameters(experiment: dict[str, Any], run: Run) -> float:
    """Return a run's parameters: `parameters_b`, else from its architecture or its hub name.

    Raises:
        InputError: None of them tells.
    """
    section = _source(experiment, run)
    if "parameters_b" in section:
        return section["parameters_b"] * 1e9
    if "pretrain" in section:
        shape = section["pretrain"]
        hidden = shape["hidden_size"]
        per_layer = 4 * hidden**2 + 3 * hidden * shape["intermediate_size"]
        return float(shape["num_hidden_layers"] * per_layer)
    names = [text for text in _texts(section) if "/" in text or "-" in text]
    for size, unit in re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)([BbMm])(?![a-zA-Z])", " ".join(names)):
        return float(size) * (1e9 if unit in "Bb" else 1e6)
    raise InputError(
        f"model {run.name}: its size in {section} is unknown, expected parameters_b (billions)"
    )


def hardware_of(experiment: dict[str, Any]) -> dict[str, float]:
    """Return what an experiment assumes of its hardware."""
    return {**HARDWARE, **experiment.get("hardware", {})}


def count_rows(section: dict[str, Any], pinned: PinnedRows | None = None) -> int:
    """Return how many rows of a training set or a benchmark are used, at most.

    Args:
        section: The experiment's entry.
        pinned: The row counts of the experiment's lock.
    """
    return most_rows(section, pinned) or UNKNOWN_ROWS


def most_rows(section: dict[str, Any], pinned: PinnedRows | None = None) -> int | None:
    """Return the same as `count_rows`, and None where nothing tells."""
    prepare = section.get("prepare", section)  # a task's rows are all asked
    source = prepare.get("source", {})
    known = known_rows(prepare, pinned) if "hub" in source else _local_rows(prepare)
    drawn = section.get("reasoning_gym", {}).get("n")
    counts = [prepare.get("limit"), prepare.get("first"), known, drawn]
    rows = [max(1, count - section.get("skip", 0)) for count in counts if count]
    return min([*rows, *([section["n"]] if "n" in section else [])], default=None)


def generated_rows(experiment: dict[str, Any], section: dict[str, Any]) -> int | None:
    """Return the rows of a set or benchmark of micro_data or reasoning-gym; None for another."""
    if drawn := section.get("reasoning_gym"):
        return int(drawn["n"])
    micro, file = experiment.get("micro_data", {}), section.get("generated", "")
    sizes = {"directrefusal": "safety_records", "safechain": "safety_records"}
    return micro.get(sizes.get(file, file)) or micro.get(f"{file}_records")


def training_size(
    experiment: dict[str, Any], name: str, rows_of: Callable[[str], int]
) -> tuple[int, float]:
    """Return the rows of a training set, and the tokens of a row on average.

    Args:
        experiment: The experiment.
        name: An entry of data, mixtures among them.
        rows_of: Gives the rows of an entry that is no mixture and that no LRM writes.
    """
    entry = experiment["data"][name]
    if sampled := entry.get("sampled"):
        asked = list_asked(experiment)[name]
        tokens = answer_tokens(asked, hardware_of(experiment)["budget_share"])
        return most_records(sampled, rows_of(sampled["prompts"])), tokens
    if "mix" not in entry:
        return rows_of(name), record_tokens(entry)
    parts = [read_section(Part, part, name) for part in entry["mix"]]
    found = [training_size(experiment, part.set, rows_of) for part in parts]
    sizes, each = [rows for rows, _ in found], [tokens for _, tokens in found]
    first = count_part(parts[0], sizes[0], 0)
    counts = [
        min(size, count_part(part, size, first)) for part, size in zip(parts, sizes, strict=True)
    ]
    total = sum(n * tokens for n, tokens in zip(counts, each, strict=True))
    return sum(counts), total / max(1, sum(counts))


def _local_rows(prepare: dict[str, Any]) -> int | None:
    """Count the rows of a local file or a package's; None for one that is not there."""
    file = Path(prepare.get("source", {}).get("path", ""))
    changed = file.stat().st_mtime_ns if file.is_file() else 0
    chosen = {key: prepare[key] for key in ("source", "where") if key in prepare}
    return _count_local(canonical_json(chosen), changed) if chosen else None


@cache
def _count_local(prepare: str, changed: int) -> int | None:
    section = json.loads(prepare)
    try:
        rows = read_rows(read_section(Source, section["source"], "source"))
    except InputError:
        return None
    for field, wanted in section.get("where", {}).items():
        values = wanted if isinstance(wanted, list) else [wanted]
        rows = [row for row in rows if row.get(field) in values]
    return len(rows)


def training_times(
    experiment: dict[str, Any], run: Run, gpus: int, *, records: int, tokens: float, epochs: float
) -> Parts:
    """Return the seconds of a training by part, see `training_parts`."""
    recipe = run.recipe
    saves = experiment.get("runtime", {}).get(rule_of(run), {}).get("save_state", True)
    return training_parts(
        hardware_of(experiment),
        size=parameters(experiment, run),
        records=records,
        tokens=tokens,
        epochs=method_registry.count_passes(run, epochs),
        batch=recipe.get("global_batch", gpus),
        gpus=gpus,
        kept=kept_checkpoints(recipe),
        state_bytes=saves * (6 if recipe.get("precision") == "bf16_pure" else 12),
    )


def kept_checkpoints(recipe: Mapping[str, Any]) -> int:
    """Return how many checkpoints a training keeps, a round of it."""
    if "steps" in recipe:
        return len(recipe["steps"])
    return recipe.get("epochs", 1) if recipe.get("checkpoints") != "last" else 1


def training_epochs(recipe: Mapping[str, Any], records: int) -> float:
    """Return how often a round of training goes through its records."""
    if "steps" in recipe:
        return recipe["steps"][-1] / math.ceil(max(1, records) / recipe["global_batch"])
    return recipe.get("epochs", 1)


def generation_times(
    experiment: dict[str, Any],
    run: Run,
    benchmark: dict[str, Any],
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
    knobs = experiment.get("runtime", {}).get("generate_samples", {})
    hardware = hardware_of(experiment)
    vllm = benchmark.get("engine", "hf") == "vllm"
    each = min(gpus, knobs.get("tensor_parallel") or fewest_gpus(size))
    parts = generation_parts(
        hardware,
        size=size,
        samples=max(1, samples / max(1, gpus // each)),
        tokens=tokens,
        budget=budget_of(benchmark["decoding"]),
        gpus=each,
        concurrent=int(
            knobs.get("max_num_seqs") or hardware["concurrent_sequences"]
            if vllm
            else knobs.get("batch_size", 64)
        ),
        slowness=1 if vllm else HF_SLOWNESS,
    )
    checkpoints = max(1, len(run.checkpoints))  # one after the other in the same engine
    return {
        part: seconds * (1 if part == "start" else checkpoints) for part, seconds in parts.items()
    }


def scoring_times(experiment: dict[str, Any], scorer: str, samples: float) -> Parts:
    """Return the seconds of a scoring by part, see `scoring_parts`."""
    return scoring_parts(hardware_of(experiment), experiment["scorers"][scorer], samples)


def count_samples(
    experiment: dict[str, Any], run: Run, benchmark: str, pinned: PinnedRows | None = None
) -> int:
    """Return how many samples a run has on a benchmark, at most."""
    section = list_asked(experiment)[benchmark]
    return count_rows(section, pinned) * section.get("repeats", 1) * max(1, len(run.checkpoints))


def budget_of(decoding: dict[str, Any]) -> int:
    """Return the tokens that a sample may have."""
    return decoding["max_thinking_tokens"] + decoding["max_answer_tokens"]


def rule_of(run: Run) -> str:
    """Return the rule that trains a run."""
    return {
        "base": "pretrain_base",
        "lrm": "reasoning_sft",
        "aligned": "safety_sft",
        "attacked": "attack_sft",
    }[run.role]


def _source(experiment: dict[str, Any], run: Run) -> dict[str, Any]:
    """Return the section of the model that a run's weights come from in the end."""
    if run.role == "base":
        return experiment["bases"][run.id.model]
    lrm = experiment["lrms"][run.id.model]
    return lrm if "base" not in lrm or "parameters_b" in lrm else experiment["bases"][lrm["base"]]


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _training(
    experiment: dict[str, Any], run: Run, nodes: int, gpu: int, pinned: PinnedRows | None
) -> dict[str, int]:
    size = parameters(experiment, run)
    pretrain = "pretrain" in run.section
    if pretrain:
        gpu = 0
    if size < SMALL:
        return {"gpu": gpu, "nodes": nodes, "mem_mb": 2_000, "runtime": 30, "threads": 1}
    records, tokens = _count_training(experiment, run, pinned)
    rounds = (run.recipe.get("gate") or {}).get("max_rounds", 1)
    parts = training_times(
        experiment,
        run,
        max(gpu, 1),
        records=records,
        tokens=tokens / max(1, records),
        epochs=training_epochs(run.recipe, records) * rounds,
    )
    trained = 2 if run.recipe.get("precision") == "bf16_pure" else 4
    return {
        "gpu": gpu,
        "nodes": nodes,
        "mem_mb": _megabytes((trained + 2) * size + 5e9 * max(gpu // nodes, 1)),
        **_minutes(parts),
        "threads": CPUS_PER_GPU * max(gpu // nodes, 1),
    }


def _count_training(
    experiment: dict[str, Any], run: Run, pinned: PinnedRows | None
) -> tuple[int, float]:
    """Return the rows of a run's training sets, and their tokens."""
    if not run.data:
        return UNKNOWN_ROWS, float(UNKNOWN_ROWS * UNKNOWN_TOKENS)
    data, rows, tokens = experiment["data"], 0, 0.0
    for name, target in method_registry.sets_of(run):
        n, each = training_size(experiment, name, lambda one: count_rows(data[one], pinned))
        if target is not None:
            each = PROMPT_TOKENS + target
        rows, tokens = rows + n, tokens + n * min(run.recipe.get("max_length", each), each)
    return rows, tokens


def _generation(
    experiment: dict[str, Any],
    run: Run,
    benchmark: dict[str, Any],
    gpu: int | None,
    pinned: PinnedRows | None,
) -> dict[str, int]:
    size = parameters(experiment, run)
    gpu = fewest_gpus(size) if gpu is None else gpu
    if size < SMALL:
        return {"gpu": gpu, "mem_mb": 2_000, "runtime": 30, "threads": 1}
    samples = count_rows(benchmark, pinned) * benchmark.get("repeats", 1)
    budget = budget_of(benchmark["decoding"])
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
    experiment: dict[str, Any],
    run: Run,
    benchmark: str,
    scorer: str,
    pinned: PinnedRows | None,
) -> dict[str, int]:
    samples = count_samples(experiment, run, benchmark, pinned)
    gpu = section_class(experiment["scorers"][scorer]["type"]).gpus
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
