"""What a job asks a cluster for: GPUs, nodes, memory, run time, CPUs, from the experiment's size.

The model is coarse on purpose: enough for a first run that neither starves nor hoards.

- A training job owns whole nodes, all GPUs of each. Host memory: 10 bytes per parameter (fp32
  weights on load, and again when they are gathered to be saved) and 5 GB per process.
  Time: 8 FLOPs per parameter and token (forward, backward, recomputed activations) at 120 TFLOP/s
  per GPU, with at most `RECORD_TOKENS` tokens a record.
- Generation takes the fewest GPUs that hold the bf16 weights and as much again by 30 % for the
  KV cache. Time: every answer at its full budget, at 30 000 tokens/s per GPU and billion
  parameters with vLLM, a tenth of it with transformers.
- A classifier that judges takes one GPU. Everything else takes none, above all what waits for a
  network: downloads and judges behind an API.

Times are limits, so half is added, and 30 minutes to load and to save. Whoever knows better says so
in the experiment (`resources: {generate_samples: {gpu: 4}}`; for one benchmark alone
`generate_samples/gpqa_diamond: {gpu: 8}`). Nothing here can change a result, so nothing here makes
one stale.
"""

from __future__ import annotations

import math
import re
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.experiment import Run

TRAINING = ("pretrain_base", "reasoning_sft", "safety_sft")
OF_A_BENCHMARK = ("generate_samples", "score_samples")
RULES = (
    *("make_micro_data", "prepare_records", "prepare_benchmark", "measure_overlap", "fetch_model"),
    *(*TRAINING, "publish_model", *OF_A_BENCHMARK, "train_judge", "fetch_judge"),
    *("make_report", "make_suite_report"),
)
KEYS = ("gpu", "nodes", "mem_mb", "runtime", "threads")
GPUS_PER_NODE = 8
GPU_MEMORY = 80e9  # bytes; an H100 or A100
CPUS_PER_GPU = 8
SMALL = 50e6  # parameters; below it a model is computed by one CPU thread
RECORD_TOKENS = 12_000  # s1K-1.1, the longest reasoning data here, has 10 000 on average
RECORDS = ITEMS = 1000  # of a data set whose size neither the experiment nor the next lines tell
KNOWN_ROWS = {
    "simplescaling/aime24_nofigures": 30,
    "HuggingFaceH4/MATH-500": 500,
    "Idavidrein/gpqa": 198,  # its part gpqa_diamond
    "walledai/XSTest": 250,  # its safe half
}
TRAINING_FLOPS = 120e12  # per GPU and second, 12 % of an H100's bf16 peak without sparsity
TOKENS_PER_SECOND = {"vllm": 30_000e9, "hf": 3_000e9}  # per GPU, divided by the parameters
JUDGE_MINUTES = {"hf_classifier": 120, "llm_judge": 24 * 60}


def list_resources(
    rule: str,
    experiment: dict[str, Any],
    run: Run | None = None,
    benchmark: str | None = None,
    scorer: str | None = None,
    attempt: int = 1,
) -> dict[str, int]:
    """Return what a job asks for.

    Args:
        rule: The job's rule.
        experiment: The experiment; its `resources.<rule>` take the place of the computed figures,
            and before them those of `resources.<rule>/<benchmark>`.
        run: The model run that the job makes or uses.
        benchmark: The benchmark's name, where the job has one.
        scorer: The scorer's name, where the job has one.
        attempt: 1, 2, …; memory and time grow by half of the first figure with each, for a job
            that ran out of either.

    Returns:
        `gpu` (on all nodes together), `nodes`, `mem_mb` (per node), `runtime` (minutes), `threads`.
    """
    sections = experiment.get("resources", {})
    given = {**sections.get(rule, {}), **sections.get(f"{rule}/{benchmark}", {})}
    if rule in TRAINING and run:
        nodes = given.get("nodes", 1)
        found = _training(experiment, run, nodes, given.get("gpu", nodes * GPUS_PER_NODE))
    elif rule == "generate_samples" and run and benchmark:
        found = _generation(experiment, run, experiment["benchmarks"][benchmark], given.get("gpu"))
    elif rule == "score_samples" and scorer:
        kind = experiment["scorers"][scorer]["type"]
        gpu = int(kind == "hf_classifier")
        found = {
            "gpu": gpu,
            "mem_mb": 24_000 if gpu else 4_000,
            "runtime": JUDGE_MINUTES.get(kind, 60),
            "threads": CPUS_PER_GPU if gpu else 1,
        }
    elif rule == "fetch_model" and run:
        found = {"runtime": 30 + math.ceil(parameters(experiment, run) / 1e9 * 6)}
    else:
        found = {}
    found = {"gpu": 0, "nodes": 1, "mem_mb": 4_000, "runtime": 60, "threads": 1, **found, **given}
    grown = 1 + (attempt - 1) / 2
    return {
        key: math.ceil(found[key] * (grown if key in ("mem_mb", "runtime") else 1)) for key in KEYS
    }


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


def count_rows(section: dict[str, Any]) -> int:
    """Return how many rows of a training set or a benchmark are used, at most."""
    prepare = section.get("prepare", {})
    given = [section.get("n"), prepare.get("limit"), prepare.get("first")]
    known = KNOWN_ROWS.get(prepare.get("source", {}).get("hub"), ITEMS)
    return min([count for count in given if count] or [known])


def _source(experiment: dict[str, Any], run: Run) -> dict[str, Any]:
    """Return the section of the model that a run's weights come from in the end."""
    kind, name = run.name.split("/")[:2]
    if kind == "base":
        return experiment["bases"][name]
    lrm = experiment["lrms"][name]
    return lrm if "base" not in lrm or "parameters_b" in lrm else experiment["bases"][lrm["base"]]


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _training(experiment: dict[str, Any], run: Run, nodes: int, gpu: int) -> dict[str, int]:
    size = parameters(experiment, run)
    pretrain = "pretrain" in run.section
    if pretrain:
        gpu = 0
    if size < SMALL:
        return {"gpu": gpu, "nodes": nodes, "mem_mb": 2_000, "runtime": 30, "threads": 1}
    records = count_rows(experiment["data"][run.data]) if run.data else 0
    tokens = records * min(run.recipe.get("max_length", RECORD_TOKENS), RECORD_TOKENS)
    rounds = (run.recipe.get("gate") or {}).get("max_rounds", 1)
    flops = 8 * size * tokens * run.recipe.get("epochs", 1) * rounds
    return {
        "gpu": gpu,
        "nodes": nodes,
        "mem_mb": _megabytes(10 * size + 5e9 * max(gpu // nodes, 1)),
        "runtime": _minutes(flops / (max(gpu, 1) * TRAINING_FLOPS)),
        "threads": CPUS_PER_GPU * max(gpu // nodes, 1),
    }


def _generation(
    experiment: dict[str, Any], run: Run, benchmark: dict[str, Any], gpu: int | None
) -> dict[str, int]:
    size = parameters(experiment, run)
    gpu = fewest_gpus(size) if gpu is None else gpu
    if size < SMALL:
        return {"gpu": gpu, "mem_mb": 2_000, "runtime": 30, "threads": 1}
    decoding = benchmark.get("decoding", {})
    budget = sum(v for k, v in decoding.items() if re.fullmatch(r"max_.*tokens", k) and v)
    answers = count_rows(benchmark) * benchmark.get("repeats", 1) * max(len(run.checkpoints), 1)
    rate = TOKENS_PER_SECOND[benchmark.get("engine", "hf")] / size * max(gpu, 1)
    return {
        "gpu": gpu,
        "mem_mb": _megabytes(2.2 * size + 8e9),
        "runtime": _minutes(answers * budget / rate),
        "threads": CPUS_PER_GPU * max(gpu, 1),
    }


def fewest_gpus(size: float) -> int:
    """Return the smallest power of two of GPUs that holds `size` bf16 parameters and a KV cache."""
    need = 2 * size * 1.3 / (0.9 * GPU_MEMORY)
    return min(GPUS_PER_NODE, 2 ** max(0, math.ceil(math.log2(need))))


def _megabytes(size: float) -> int:
    return math.ceil(size / 1e9) * 1000


def _minutes(seconds: float) -> int:
    return 30 + math.ceil(1.5 * seconds / 60)
