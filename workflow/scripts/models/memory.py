"""How much GPU memory a fine-tuning run needs, estimated before it starts.

The model: bytes per GPU =
  state       P · (weights + gradients + two Adam moments) / world; 16 bytes per parameter with
              fp32 weights (fp32, bf16_mixed), 8 with bf16_pure (after Rajbhandari et al. 2020,
              arXiv 1910.02054). With LoRA the frozen weights alone, and all four of the adapters
+ gathered    what FSDP unshards at a time: embedding and head, and two decoder layers (the next one
              is prefetched), as weights and gradients in the compute type; nothing with one GPU
+ activations with checkpointing the input of each layer and all of one layer, else all of each;
              a decoder layer with a gated MLP and fused attention keeps 6·h + 2·kv + 4·ffn
              values per token (counted after Korthikanti et al. 2022, arXiv 2205.05198)
+ loss        trl's, in tiles that never hold all logits: one tile of 4,096 tokens × 32,768 words
              and the target tokens' hidden states with their gradients in the compute type, and in
              fp32 the gradients of these and of the head while they are summed up
and 10 % plus 2 GiB on top for the CUDA context, NCCL buffers and fragmentation.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json
from workflow.scripts.models.recipe import Lora, Recipe, Runtime, batch_plan

GB = 2**30
# trl.kernels.chunked_logprob.TOKEN_CHUNK_SIZE, trl.trainer.utils._CHUNKED_LOGPROB_CHUNK_SIZE
LOSS_TILE_TOKENS, LOSS_TILE_WORDS = 4096, 32_768


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder-only model: `kv` is the width of keys (or values) of all heads."""

    parameters: int
    layers: int
    hidden: int
    kv: int
    ffn: int
    vocab: int
    tied: bool


def read_shape(checkpoint: str | Path) -> Shape:
    """Read the sizes from `config.json` and the headers of the safetensors files."""
    checkpoint = Path(checkpoint)
    config: dict[str, Any] = read_json(checkpoint / "config.json")
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    head = config.get("head_dim") or hidden // heads
    return Shape(
        parameters=sum(map(_count_parameters, checkpoint.glob("*.safetensors"))),
        layers=config["num_hidden_layers"],
        hidden=hidden,
        kv=head * config.get("num_key_value_heads", heads),
        ffn=config["intermediate_size"],
        vocab=config["vocab_size"],
        tied=config.get("tie_word_embeddings", False),
    )


QWEN_32B = Shape(32_763_876_352, 64, 5120, 1024, 27648, 152064, tied=False)  # Qwen2.5-32B


def guess_shape(parameters: float) -> Shape:
    """Return the sizes of a model that is not here yet: Qwen2.5-32B's, scaled to its parameters."""
    scale = (parameters / QWEN_32B.parameters) ** (1 / 3)
    return Shape(
        parameters=round(parameters),
        layers=max(1, round(QWEN_32B.layers * scale)),
        hidden=round(QWEN_32B.hidden * scale),
        kv=round(QWEN_32B.kv * scale),
        ffn=round(QWEN_32B.ffn * scale),
        vocab=round(QWEN_32B.vocab * scale),
        tied=False,
    )


def estimate_memory(
    shape: Shape,
    precision: str,
    world: int,
    sequence: int,
    micro_batch: int,
    checkpointing: bool,
    lora: Lora | None = None,
) -> dict[str, float]:
    """Return the estimate in GiB per GPU, by part and as `total`."""
    weight = 2 if precision == "bf16_pure" else 4
    compute = 4 if precision == "fp32" else 2
    tokens = sequence * micro_batch
    head = shape.vocab * shape.hidden
    layer = (shape.parameters - head * (1 if shape.tied else 2)) / shape.layers
    root = head * (1 if shape.tied else 2)
    one_layer = tokens * (6 * shape.hidden + 2 * shape.kv + 4 * shape.ffn) * compute
    inputs = tokens * shape.hidden * shape.layers * compute
    states = 4 * weight * shape.parameters
    if lora:
        states = weight * (shape.parameters + 4 * count_adapters(shape, lora))
    parts = {
        "state": states / world,
        "gathered": 0 if world == 1 else (1 if lora else 2) * compute * (root + 2 * layer),
        "activations": inputs + one_layer if checkpointing else shape.layers * one_layer,
        "loss": min(tokens, LOSS_TILE_TOKENS) * LOSS_TILE_WORDS * compute
        + tokens * shape.hidden * (2 * compute + 4)
        + 4 * head,
    }
    total = sum(parts.values()) * 1.1 + 2 * GB
    return {name: round(size / GB, 2) for name, size in {**parts, "total": total}.items()}


def count_adapters(shape: Shape, lora: Lora) -> int:
    """Return the parameters of the adapters: r · (inputs + outputs) of each adapted module."""
    kv, ffn = shape.hidden + shape.kv, shape.hidden + shape.ffn
    widths = {"k_proj": kv, "v_proj": kv, "gate_proj": ffn, "up_proj": ffn, "down_proj": ffn}
    per_layer = sum(widths.get(name, 2 * shape.hidden) for name in lora.target_modules)
    return shape.layers * lora.r * per_layer


def check_memory(
    estimate: dict[str, float], gpu_memory_gb: float, basis: str = "", margin: float = 1.0
) -> None:
    """Raise `InputError` when the estimate does not fit.

    Args:
        estimate: See `estimate_memory`.
        gpu_memory_gb: Of one GPU, in GiB.
        basis: What the estimate is made from, for the message.
        margin: How many times the GPU's memory is let pass.
    """
    if estimate["total"] > margin * gpu_memory_gb:
        parts = ", ".join(f"{name} {size}" for name, size in estimate.items() if name != "total")
        raise InputError(
            f"training needs about {estimate['total']} GiB per GPU ({parts}{basis}), "
            f"runtime.gpu_memory_gb is {gpu_memory_gb}: expected more GPUs, "
            "gradient_checkpointing, or a smaller per_device_batch or recipe.max_length"
        )


def check_training(
    shape: Shape,
    recipe: Recipe,
    runtime: Runtime,
    world: int,
    basis: str = "",
    margin: float = 1.0,
) -> None:
    """Raise `InputError` when fine-tuning a model needs more than `gpu_memory_gb`."""
    if runtime.gpu_memory_gb is None or not runtime.gpus:
        return
    per_device, _ = batch_plan(recipe.global_batch, world, runtime.per_device_batch)
    estimate = estimate_memory(
        shape,
        recipe.precision,
        world,
        recipe.max_length,
        per_device,
        runtime.gradient_checkpointing,
        recipe.lora,
    )
    check_memory(estimate, runtime.gpu_memory_gb, basis, margin)


def _count_parameters(path: Path) -> int:
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
