"""What trainings and generations take, part by part, from arithmetic on the hardware.

Nothing here was measured on a GPU: each figure is a data sheet's, another measurement's or an
assumption, and says which. A plan uses these times as they are, a job's time limit a multiple of
them at the full token budgets (`resources.py`). Once like jobs have finished, their own times take
the model's place (`graph/estimate.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workflow.scripts.score.scorer import ScorerSection

Parts = dict[str, float]  # seconds by part of a job

# The experiment's section `hardware` takes the place of these.
HARDWARE: dict[str, float] = {
    "nodes": 1,
    "gpus_per_node": 8,
    "gpu_tflops": 989,  # data sheet: H100 and H200 SXM, bf16 without sparsity
    "gpu_bandwidth_tb_s": 3.35,  # data sheet: H100 SXM; an H200 has 4.8
    # Of the peak, counting 8 FLOP per parameter and token: a roofline of the 32B step on 8 GPUs
    # (600 TFLOP/s in matrix products, attention and elementwise kernels on top, each step as long
    # as its longest rank) gave 0.25 for documents of 10,000 tokens sorted within the global batch.
    "training_utilisation": 0.25,
    "decoding_utilisation": 0.6,  # assumption: of the memory bandwidth, while weights are read
    "concurrent_sequences": 256,  # vLLM's default max_num_seqs; the experiment's comes first
    "budget_share": 0.5,  # of the token budget, for benchmarks of unknown lengths
    "cpu_gflops": 10,  # of one core, fp32, tiny matrices
    "network_gb_s": 0.1,
    "start_s": 15,  # to start Python and load its libraries, on a CPU
}
LINK_BYTES_S = 340e9  # NCCL's bus bandwidth over NVLink 4, messages of 1 GB; assumed between nodes
DISK_BYTES_S = 1.5e9  # one process and a shared file system; an assumption
NODE_DISK_BYTES_S = 6e9  # all processes of a node together; an assumption
HASH_BYTES_S = 8e9  # sha256 in 8 threads; one core of this project's machine did 1.2 to 1.4e9
# Weights, gradients and moments of AdamW, read and written by kernels that are not fused.
UPDATE_BYTES = 100  # per parameter; a roofline put the update of 32B on 8 GPUs at 0.12 s
KV_BYTES = 8e-6  # of a token, per parameter: Qwen2.5-7B has 7.5e-6, Qwen2.5-32B 8.0e-6
STEP_S = 0.003  # launches, all-reduces and vLLM's scheduler per decoding step; an assumption
PROMPT_TOKENS = 200  # of a benchmark's question on average; an assumption
HF_SLOWNESS = 10  # transformers against vLLM; an assumption
# Starts on GPUs. vLLM's are those of a 32B model on two GPUs, +- 40 %, from its logs elsewhere.
TRAINING_START_S = 60  # Python, TRL, tokenising, NCCL; an assumption
VLLM_IMPORTS_S = 20
VLLM_COMPILE_S = 45  # torch.compile from nothing
VLLM_CACHED_COMPILE_S = 10  # found in the cache of an earlier start; an assumption
VLLM_WARM_UP_S = 25  # memory profile and CUDA graphs
# Training between two saves of the trainer's state, and how many times longer than a save that is
# at least; those of `models/state.py`.
STATE_EVERY_S = 600
STATE_PAYS = 10
# Scoring.
JUDGE_START_S = 30  # Python, torch and CUDA; an assumption
JUDGED_TOKENS = 1000  # prompt, rubric and answer; an assumption
API_LATENCY_S = 3  # of a reply of a few hundred tokens; an assumption
SECONDS_PER_GRADED = 0.02  # a LaTeX answer takes math-verify 2 to 3 ms (measured), long ones more
# Parts that a job goes through once, however many results it makes.
ONCE = ("start", "load weights", "hash")


def training_parts(
    hardware: Mapping[str, float],
    *,
    size: float,
    records: int,
    tokens: float,
    epochs: float,
    batch: int,
    gpus: int,
    kept: int = 1,
    state_bytes: float = 12,
    careful: bool = True,
) -> Parts:
    """Return the seconds of a training on GPUs.

    A step takes as long as computing or communicating, whichever is longer, and the update.

    Args:
        hardware: `HARDWARE` and what the experiment says.
        size: Parameters.
        records: Rows of the training set.
        tokens: Of a record on average.
        epochs: Passes over the records.
        batch: Records a step, over all GPUs.
        gpus: GPUs that share the model (FSDP).
        kept: Checkpoints that are written.
        state_bytes: Trainer state per parameter: 12 in mixed precision (fp32 weights and two
            moments), 6 in pure bf16; 0 saves none.
        careful: Files are hashed.
    """
    peak = gpus * hardware["gpu_tflops"] * 1e12 * hardware["training_utilisation"]
    steps = math.ceil(epochs * math.ceil(records / batch) - 1e-9)  # some steps may be asked for
    compute = 8 * size * batch * tokens / peak
    # per pass: weights gathered forward and backward, gradients scattered, in bf16
    passes = math.ceil(batch / gpus)
    communicate = passes * 3 * 2 * size * (gpus - 1) / gpus / LINK_BYTES_S
    update = UPDATE_BYTES * size / gpus / (hardware["gpu_bandwidth_tb_s"] * 1e12)
    train = steps * (max(compute, communicate) + update)
    weights = 2 * size
    save = state_bytes * size / NODE_DISK_BYTES_S
    states = math.floor(train / max(STATE_EVERY_S, STATE_PAYS * save))
    return {
        "start": TRAINING_START_S,
        "load weights": weights / DISK_BYTES_S,
        "train": train,
        "save state": states * save,
        "save weights": kept * weights / DISK_BYTES_S,
        "hash": careful * (1 + kept) * weights / HASH_BYTES_S,
    }


def step_seconds(
    hardware: Mapping[str, float], size: float, gpus: int, sequences: float, tokens: float
) -> float:
    """Return the seconds of a decoding step: all weights and the sequences' KV cache are read."""
    read = 2 * size + sequences * (PROMPT_TOKENS + tokens) * KV_BYTES * size
    bandwidth = gpus * hardware["gpu_bandwidth_tb_s"] * 1e12 * hardware["decoding_utilisation"]
    return read / bandwidth + STEP_S


def generation_parts(
    hardware: Mapping[str, float],
    *,
    size: float,
    samples: float,
    tokens: float,
    budget: int,
    gpus: int,
    concurrent: int,
    slowness: float = 1,
    compile_s: float = VLLM_CACHED_COMPILE_S,
    careful: bool = True,
) -> Parts:
    """Return the seconds that one start of vLLM takes for its samples.

    Args:
        hardware: `HARDWARE` and what the experiment says.
        size: Parameters.
        samples: Answers to write.
        tokens: Of an answer on average, thinking included.
        budget: Of the longest answer: one at least is taken to reach it, and is alone at the end.
        gpus: GPUs that share the model (tensor parallel).
        concurrent: Sequences that are decoded together.
        slowness: How much longer a step of another engine takes.
        compile_s: Seconds for torch.compile.
        careful: Files are hashed.
    """
    together = min(samples, concurrent)
    full = step_seconds(hardware, size, gpus, together, tokens / 2)
    alone = step_seconds(hardware, size, gpus, 1, budget)
    weights = 2 * size
    return {
        "start": VLLM_IMPORTS_S + VLLM_WARM_UP_S + compile_s,
        "load weights": weights / DISK_BYTES_S,
        "generate": slowness * full * samples * tokens / together,
        "last answers": slowness * alone * max(0, budget - tokens),
        "hash": careful * weights / HASH_BYTES_S,
    }


def scoring_parts(hardware: Mapping[str, float], scorer: ScorerSection, samples: float) -> Parts:
    """Return the seconds that a scorer takes for its samples.

    Args:
        hardware: `HARDWARE` and what the experiment says.
        scorer: Its section.
        samples: Samples to score.
    """
    if size := scorer.parameters:
        flop = 2 * size * JUDGED_TOKENS * samples
        return {
            "start": JUDGE_START_S,
            "load weights": 2 * size / DISK_BYTES_S,
            "judge": flop / (hardware["gpu_tflops"] * 1e12 * hardware["training_utilisation"]),
        }
    for llm in scorer.endpoints().values():
        asked = samples * API_LATENCY_S / llm.parallel
        return {"start": hardware["start_s"], "ask": asked}
    return {"start": hardware["start_s"], "grade": samples * SECONDS_PER_GRADED}


def combine_parts(results: Iterable[Parts]) -> Parts:
    """Return the seconds of a job that makes several results: it starts and loads weights once."""
    found: Parts = {}
    for parts in results:
        for part, seconds in parts.items():
            before = found.get(part, 0.0)
            found[part] = max(before, seconds) if part in ONCE else before + seconds
    return found
