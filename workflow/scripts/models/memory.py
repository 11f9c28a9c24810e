"""How much GPU memory a fine-tuning run needs, estimated before it starts.

The model is torch's FSDP2 as accelerate sets it up: each decoder layer, the embedding, and the
final norm with the head are one unit each, sharded over all GPUs and gathered when used. Symbols:
P parameters, P' trained ones (P, or those of the adapters), N GPUs, L layers, h width, T tokens of
a forward pass; w, c and r bytes of a stored value, of a computed one and of a gradient when it is
summed over the GPUs. The terms without another source were read off the order in which torch's
MemTracker sees tensors come and go (`benchmarks/memory_table.py` compares the two; docs/cost.md
has the table). Bytes per GPU:

weights      w·P / N, moments 2·w·P' / N, gradients w·P' / N: in all 16 bytes a parameter with fp32
             weights (fp32, bf16_mixed), 8 with bf16_pure (Rajbhandari et al. 2020, 1910.02054)
gathered     the unit in use and the next one, which FSDP2 fetches meanwhile, in the compute type
reduction    a unit's gradients before they are summed, r bytes each; freed one unit later
activations  with checkpointing the input of each layer, c·T·h, and all of one layer, else all of
             each; a layer with a gated MLP, RMSNorm in fp32 and fused attention keeps
             c·(3·h + 2·kv + 4·ffn) + 2·h·(2·c + 4) bytes a token (counted after Korthikanti et al.
             2022, arXiv 2205.05198), and its backward pass 2·c·ffn more, with the gradient of one
             matrix of the MLP. 2 KiB a token are for ids, rotary embeddings, row statistics
loss         trl.kernels.chunked_logprob: one tile of 4,096 tokens × 32,768 words; of the hidden
             states their gradient and the last norm; of the head its gradient in fp32 and then once
             more in the compute type (not with adapters)
optimizer    AdamW over lists of tensors (torch's default on GPUs) makes one temporary of w·P' / N;
             the fused kernel none (torch.optim.adam)

They are not all there at once. The estimate is the largest of five moments: the loss, the backward
passes of the last layer (most activations), of the first layer and of the embedding (most
gradients), and the optimizer's step. With gradient accumulation, the sharded gradients are there
from the start.

What no tracker of tensors sees comes on top: the `workspace` of flash attention's backward pass (dQ
in fp32, dK and dV for each query head: mha_bwd in torch's flash_api.cpp), 3 GiB for the CUDA
`context`, NCCL's buffers and cuBLAS' workspaces, and 5 % for `fragmentation`; these two are rules
of thumb and unmeasured.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json
from workflow.scripts.config.planning import Runtime
from workflow.scripts.config.recipe import Lora, Recipe
from workflow.scripts.models.recipe import batch_plan, sft_arguments
from workflow.scripts.models.tensors import list_tensors

GB = 2**30
# trl.kernels.chunked_logprob.TOKEN_CHUNK_SIZE, trl.trainer.utils._CHUNKED_LOGPROB_CHUNK_SIZE
LOSS_TILE_TOKENS, LOSS_TILE_WORDS = 4096, 32_768
CONTEXT_GB = 3.0
FRAGMENTED = 0.05
SUMS = ("tracked", "total")


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
        parameters=sum(tensor.size for tensor in list_tensors(checkpoint).values()),
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
    shape: Shape, recipe: Recipe, runtime: Runtime, world: int, sequences: int = 1
) -> dict[str, float]:
    """Return the estimate in GiB per GPU.

    Args:
        shape: Sizes of the model.
        recipe: Of it count the precision, length, batch and adapters.
        runtime: Of it count the examples per forward pass and gradient checkpointing.
        world: Number of GPUs.
        sequences: That a forward pass computes of each example: two of a pair of answers.

    Returns:
        The parts (module docstring) at the moment of the peak; `tracked`, the sum of those that are
        tensors; and `total`, the sum of all.
    """
    stored = 2 if recipe.precision == "bf16_pure" else 4
    compute = 4 if recipe.precision == "fp32" else 2
    reduced = 2 if recipe.precision == "bf16_pure" else 4
    sharded, trains_all = world > 1, recipe.lora is None
    # One GPU computes under autocast, which leaves embeddings, norms and residuals in fp32.
    stream = compute if sharded else stored
    per_device, accumulation = batch_plan(recipe.global_batch, world, runtime.per_device_batch)
    fused = sft_arguments(recipe, runtime, world, 0, "")["optim"].endswith("fused")

    tokens = recipe.max_length * per_device * sequences
    hidden = tokens * shape.hidden
    head = shape.vocab * shape.hidden
    heads = head if shape.tied else 2 * head
    layer = (shape.parameters - heads) / shape.layers
    trained = count_adapters(shape, recipe.lora) if recipe.lora else shape.parameters
    trained_head = head if trains_all else 0
    trained_layer = layer if trains_all else trained / shape.layers

    small = tokens * 2048 + 2**24
    norm = hidden * (2 * stream + 4)
    kept = 2 * norm + compute * (3 * hidden + tokens * (2 * shape.kv + 4 * shape.ffn))
    backward = compute * (2 * tokens * shape.ffn + (shape.hidden * shape.ffn if trains_all else 0))
    if runtime.gradient_checkpointing:
        all_layers, last, first = shape.layers * stream * hidden, kept + backward, kept + backward
    else:
        all_layers, last, first = shape.layers * kept, backward, kept + backward
    loss = compute * min(tokens, LOSS_TILE_TOKENS) * LOSS_TILE_WORDS
    # Gradients in fp32, and then once more in the type of what they belong to.
    loss += (4 + (stream if stream < 4 else 0)) * (hidden + trained_head)
    head_type = compute
    if sharded and not trains_all:  # peft hides the head: TRL gathers it as it is stored
        head_type = stored
        loss += 2 * compute * LOSS_TILE_WORDS * shape.hidden

    gradients = stored * trained / world
    held = gradients if accumulation > 1 else 0
    # A tied head is one unit with the last norm, used again at the very end: it stays.
    tied = compute * head * (2 if trains_all else 1) if shape.tied else 0
    other = layer if shape.tied else max(head, layer)
    moments = {
        "loss": {
            "gradients": held,
            "gathered": head_type * head + compute * layer,
            "activations": all_layers + norm + small,
            "loss": loss,
        },
        "last layer": {
            "gradients": max(held, stored * trained_head / world),
            "gathered": compute * 2 * layer + tied,
            "reduction": reduced * max(0 if shape.tied else trained_head, trained_layer),
            "activations": all_layers + last + small,
        },
        "first layer": {
            "gradients": gradients,
            "gathered": compute * (layer + other) + tied,
            "reduction": reduced * trained_layer,
            "activations": stream * hidden + first + small,
        },
        "embedding": {
            "gradients": gradients,
            "gathered": tied,
            "reduction": compute * trained_head + reduced * max(trained_head, trained_layer),
            "activations": stream * hidden + small,
        },
        "step": {"gradients": gradients, "optimizer": 0 if fused else gradients},
    }
    if not sharded:
        # Nothing is gathered; autocast keeps copies of all weights until the loss is there.
        copies = compute * shape.parameters if stored > compute else 0
        for name, moment in moments.items():
            moment["gathered"] = copies if name in ("loss", "last layer") else 0
            moment["reduction"] = 0
    peak = max(moments.values(), key=lambda moment: sum(moment.values()))
    parts = {
        "weights": stored * shape.parameters / world,
        "moments": 2 * stored * trained / world,
        **{name: size for name, size in peak.items() if size},
    }
    tracked = sum(parts.values())
    rest = {
        "workspace": hidden * (4 + 2 * compute),
        "context": CONTEXT_GB * GB,
        "fragmentation": FRAGMENTED * tracked,
    }
    total = tracked + sum(rest.values())
    sizes = {**parts, **rest, "tracked": tracked, "total": total}
    return {name: round(size / GB, 2) for name, size in sizes.items()}


def count_adapters(shape: Shape, lora: Lora) -> int:
    """Return the parameters of the adapters: r · (inputs + outputs) of each adapted module."""
    kv, ffn = shape.hidden + shape.kv, shape.hidden + shape.ffn
    widths = {"k_proj": kv, "v_proj": kv, "gate_proj": ffn, "up_proj": ffn, "down_proj": ffn}
    per_layer = sum(widths.get(name, 2 * shape.hidden) for name in lora.target_modules)
    layers = lora.layers[1] - lora.layers[0] + 1 if lora.layers else shape.layers
    return layers * lora.r * per_layer


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
        parts = ", ".join(f"{name} {size}" for name, size in estimate.items() if name not in SUMS)
        raise InputError(
            f"training needs about {estimate['total']} GiB per GPU ({parts}{basis}), "
            f"runtime.gpu_memory_gb is {gpu_memory_gb:g}: expected more GPUs, "
            "gradient_checkpointing, or a smaller per_device_batch or recipe.max_length"
        )


def check_training(
    shape: Shape,
    recipe: Recipe,
    runtime: Runtime,
    world: int,
    basis: str = "",
    margin: float = 1.0,
    sequences: int = 1,
) -> None:
    """Raise `InputError` when fine-tuning a model needs more than `gpu_memory_gb`."""
    if runtime.gpu_memory_gb is None or not runtime.gpus:
        return
    estimate = estimate_memory(shape, recipe, runtime, world, sequences)
    check_memory(estimate, runtime.gpu_memory_gb, basis, margin)
