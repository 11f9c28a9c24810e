"""The fine-tuning recipe and the runtime knobs, checked, and what they mean to the trainer.

A recipe can change the weights and so belongs to a run's identity. Runtime knobs cannot (beyond
round-off): the same recipe runs on a laptop's core or on eight GPUs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from workflow.scripts.common.errors import InputError

SCHEDULES = ("cosine", "linear", "constant")
# Weights, gradients and optimizer state / compute: "bf16_pure" keeps all of them in bf16, as the
# published code does; "bf16_mixed" computes in bf16 over fp32 master weights.
PRECISIONS = ("fp32", "bf16_mixed", "bf16_pure")


@dataclass(frozen=True)
class Gate:
    """After training, `n` probe problems; below `threshold` train again, up to `max_rounds`.

    Attributes:
        probe: Name of the problems in the experiment; the file is the script's `--probe`.
    """

    threshold: float
    max_rounds: int
    n: int
    probe: str | None = None
    max_thinking_tokens: int = 128
    max_answer_tokens: int = 48


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters, merged into the weights whenever these are saved."""

    r: int
    alpha: int
    dropout: float
    target_modules: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """Everything of a fine-tuning run that can change its weights, except data, parent and seed.

    Attributes:
        learning_rate: Peak, in the unit of AdamW.
        schedule: Decay after the warm-up: to `min_lr_ratio` × peak (cosine), to 0 (linear) or none.
        warmup_ratio: Share of all steps, rounded up.
        global_batch: Examples per optimizer step, whatever the number of devices.
        max_length: Block size in tokens; longer examples lose their end.
        checkpoints: `each_epoch` keeps the weights after each epoch, `last` the final ones.
        padding_free: Flatten a micro-batch into one sequence instead of padding it. Pays with flash
            attention alone: torch's own computes such a sequence with a mask, and without a flash
            kernel. With one example per forward pass there is no padding in the first place.
    """

    learning_rate: float
    epochs: int
    global_batch: int
    schedule: str = "cosine"
    min_lr_ratio: float = 0.0
    warmup_ratio: float = 0.0
    weight_decay: float = 0.0
    adam_betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = 1.0
    max_length: int = 32768
    precision: str = "bf16_mixed"
    checkpoints: str = "each_epoch"
    packing: bool = False
    padding_free: bool = False
    optimizer: str = "adamw_torch"
    lora: Lora | None = None
    gate: Gate | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the complete recipe, defaults written out, as plain JSON values."""
        return json.loads(json.dumps(asdict(self)))


@dataclass(frozen=True)
class Runtime:
    """Knobs that cannot change a result.

    Attributes:
        gpus: GPUs of this node to use; 0 trains on the CPU.
        per_device_batch: Examples per forward pass; None for the largest that the batch allows.
        gradient_checkpointing: Recompute activations in the backward pass.
        attention: Attention implementation of transformers (`sdpa`, `flash_attention_2`, …); None
            for the fastest one that is installed.
        gpu_memory_gb: Refuse to start when the estimate exceeds it; None skips the estimate.
        cpu_threads: Threads of a CPU run.
        save_state: Keep trainer state, so that a preempted run goes on from there (see `state.py`).
    """

    gpus: int = 0
    per_device_batch: int | None = None
    gradient_checkpointing: bool = False
    attention: str | None = None
    gpu_memory_gb: float | None = None
    cpu_threads: int = 1
    save_state: bool = True


def parse_recipe(text: str) -> Recipe:
    """Return the recipe of a JSON object.

    Raises:
        InputError: Naming the key that is unknown, missing, of another type or out of range.
    """
    values = _object(text, "recipe")
    for key, kind in (("lora", Lora), ("gate", Gate)):
        if values.get(key) is not None:
            values[key] = _build(kind, values[key], f"recipe.{key}")
    recipe = _build(Recipe, values, "recipe")
    _check(recipe.learning_rate > 0, "learning_rate", recipe.learning_rate, "above 0")
    _check(recipe.schedule in SCHEDULES, "schedule", recipe.schedule, f"one of {SCHEDULES}")
    _check(0 <= recipe.min_lr_ratio <= 1, "min_lr_ratio", recipe.min_lr_ratio, "0 to 1")
    if recipe.min_lr_ratio and recipe.schedule != "cosine":
        raise InputError(
            f"recipe.min_lr_ratio is {recipe.min_lr_ratio} with schedule {recipe.schedule!r}, "
            "expected 0: only cosine decays to a minimum"
        )
    _check(0 <= recipe.warmup_ratio < 1, "warmup_ratio", recipe.warmup_ratio, "0 to below 1")
    for key in ("epochs", "global_batch", "max_length"):
        _check(getattr(recipe, key) >= 1, key, getattr(recipe, key), "at least 1")
    for key in ("weight_decay", "max_grad_norm"):
        _check(getattr(recipe, key) >= 0, key, getattr(recipe, key), "0 or more")
    betas = recipe.adam_betas
    _check(len(betas) == 2 and all(0 <= b < 1 for b in betas), "adam_betas", betas, "two in [0, 1)")
    _check(recipe.precision in PRECISIONS, "precision", recipe.precision, f"one of {PRECISIONS}")
    _check(
        recipe.checkpoints in ("each_epoch", "last"),
        "checkpoints",
        recipe.checkpoints,
        "each_epoch or last",
    )
    _check(not recipe.packing, "packing", True, "false: packing changes what a batch is")
    _check(recipe.optimizer == "adamw_torch", "optimizer", recipe.optimizer, "adamw_torch")
    if recipe.gate:
        _check(0 <= recipe.gate.threshold <= 1, "gate.threshold", recipe.gate.threshold, "0 to 1")
        for key in ("max_rounds", "n", "max_thinking_tokens", "max_answer_tokens"):
            _check(getattr(recipe.gate, key) >= 1, f"gate.{key}", getattr(recipe.gate, key), "≥ 1")
    if recipe.lora:
        _check(recipe.lora.r >= 1, "lora.r", recipe.lora.r, "at least 1")
        _check(0 <= recipe.lora.dropout < 1, "lora.dropout", recipe.lora.dropout, "in [0, 1)")
        _check(bool(recipe.lora.target_modules), "lora.target_modules", [], "at least one")
    return recipe


def parse_runtime(text: str) -> Runtime:
    """Return the runtime knobs of a JSON object; `InputError` names a wrong one."""
    runtime = _build(Runtime, _object(text, "runtime"), "runtime")
    if runtime.gpus < 0 or runtime.cpu_threads < 1:
        raise InputError(
            "runtime.gpus or cpu_threads is negative, expected 0 or more GPUs, 1 thread"
        )
    return runtime


def batch_plan(global_batch: int, world: int, per_device: int | None = None) -> tuple[int, int]:
    """Return (examples per device and forward pass, accumulation steps).

    Their product with `world` is `global_batch`, so that the recipe holds on any device count.

    Raises:
        InputError: The batch does not divide that way.
    """
    if global_batch % world:
        raise InputError(
            f"recipe.global_batch is {global_batch} on {world} devices, expected a multiple of it"
        )
    share = global_batch // world
    per_device = per_device or share
    if per_device < 0 or share % per_device:
        raise InputError(
            f"runtime.per_device_batch is {per_device} with recipe.global_batch {global_batch} "
            f"on {world} devices, expected a divisor of {share}"
        )
    return per_device, share // per_device


def check_recomputation(recipe: Recipe, runtime: Runtime, world: int) -> None:
    """Raise `InputError` when recomputed activations would differ from the first ones.

    Accelerate's wrapper for several processes does not restore the random state (`fsdp2_apply_ac`,
    `preserve_rng_state=False`), so dropout would draw another mask and the gradients be wrong.
    """
    if world > 1 and runtime.gradient_checkpointing and recipe.lora and recipe.lora.dropout:
        raise InputError(
            f"recipe.lora.dropout is {recipe.lora.dropout} with runtime.gradient_checkpointing on "
            f"{world} devices, where recomputation draws another mask: expected dropout 0, no "
            "gradient_checkpointing, or one device"
        )


def steps_per_epoch(n_records: int, global_batch: int) -> int:
    """Return the optimizer steps of one epoch; the last one may hold fewer examples."""
    return math.ceil(n_records / global_batch)


def sft_arguments(
    recipe: Recipe, runtime: Runtime, world: int, seed: int, output_dir: str
) -> dict[str, Any]:
    """Return the keyword arguments of TRL's `SFTConfig`."""
    check_recomputation(recipe, runtime, world)
    per_device, accumulation = batch_plan(recipe.global_batch, world, runtime.per_device_batch)
    on_cpu = runtime.gpus == 0
    schedule, schedule_arguments = recipe.schedule, None
    if recipe.schedule == "constant" and recipe.warmup_ratio:
        schedule = "constant_with_warmup"
    if recipe.min_lr_ratio:
        schedule, schedule_arguments = "cosine_with_min_lr", {"min_lr_rate": recipe.min_lr_ratio}
    return {
        "output_dir": output_dir,
        "num_train_epochs": recipe.epochs,
        "per_device_train_batch_size": per_device,
        "gradient_accumulation_steps": accumulation,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": schedule,
        "lr_scheduler_kwargs": schedule_arguments,
        "warmup_steps": recipe.warmup_ratio,  # below 1, transformers reads it as a share
        # The same algorithm in one kernel: without it, an update's temporaries take 15 GiB of each
        # of eight GPUs for 32B parameters. On the CPU it rounds otherwise.
        "optim": recipe.optimizer if on_cpu else f"{recipe.optimizer}_fused",
        "weight_decay": recipe.weight_decay,
        "adam_beta1": recipe.adam_betas[0],
        "adam_beta2": recipe.adam_betas[1],
        "adam_epsilon": 1e-8,
        "max_grad_norm": recipe.max_grad_norm,
        "bf16": recipe.precision == "bf16_mixed",
        "fp16": False,
        # Examples arrive tokenised, labelled and cut, which TRL wants to hear as "no length".
        "max_length": None if recipe.padding_free else recipe.max_length,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "packing": recipe.packing,
        "padding_free": recipe.padding_free,
        # TRL's own loss: token-weighted, and in chunks that never hold all logits at once.
        "loss_type": "nll",
        "average_tokens_across_devices": True,
        # Or FSDP2 would keep whole gradients on each device until the last forward pass of a step.
        "accelerator_config": {"gradient_accumulation_kwargs": {"sync_each_batch": True}},
        # Seconds that a process may wait for another: the first one reads and writes weights.
        "ddp_timeout": 7200,
        "seed": seed,
        "data_seed": seed,
        # On GPUs some kernels have no deterministic form: there a seed fixes data and start only.
        "full_determinism": on_cpu,
        "use_cpu": on_cpu,
        # With several processes FSDP recomputes, told by the launcher. TRL's default is set under
        # the older of the two names.
        "activation_checkpointing": runtime.gradient_checkpointing and world == 1,
        "gradient_checkpointing": None,
        "dataloader_pin_memory": not on_cpu,
        "save_strategy": "no",  # by time: see `state.py`
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "log_level": "error",
        "disable_tqdm": True,
        "report_to": [],
    }


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise InputError(f"--{what} is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"--{what} is {values!r}, expected a JSON object")
    return values


def _build(kind: type, values: Any, where: str) -> Any:
    """Build a dataclass from JSON values whose types are those of its annotations."""
    known = {field.name: field for field in fields(kind)}
    if not isinstance(values, Mapping):
        raise InputError(f"{where} is {values!r}, expected an object with {', '.join(known)}")
    if unknown := sorted(set(values) - set(known)):
        raise InputError(f"{where}.{unknown[0]} is unknown, expected some of {', '.join(known)}")
    required = [name for name in known if not hasattr(kind, name)]
    if missing := [name for name in required if name not in values]:
        raise InputError(f"{where}.{missing[0]} is missing, expected {', '.join(required)}")
    return kind(
        **{
            key: _typed(value, str(known[key].type), f"{where}.{key}")
            for key, value in values.items()
        }
    )


def _typed(value: Any, annotation: str, where: str) -> Any:
    if value is None and annotation.endswith("| None"):
        return None
    name = annotation.removesuffix(" | None")
    if name in ("Lora", "Gate"):
        return value
    if name.startswith("tuple"):
        inner: type | tuple[type, ...] = str if "str" in name else (int, float)
        if isinstance(value, list) and all(_is(item, inner) for item in value):
            return tuple(value)
    elif name == "float" and _is(value, (int, float)) and math.isfinite(value):
        return float(value)
    elif name in ("int", "str", "bool") and _is(
        value, {"int": int, "str": str, "bool": bool}[name]
    ):
        return value
    raise InputError(f"{where} is {value!r}, expected {annotation}")


def _is(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and (isinstance(value, bool) == (kind is bool))


def _check(holds: bool, key: str, value: Any, expected: str) -> None:
    if not holds:
        raise InputError(f"recipe.{key} is {value!r}, expected {expected}")
