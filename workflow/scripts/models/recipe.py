"""What a fine-tuning recipe and the runtime knobs mean to the trainer.

A recipe can change the weights and so belongs to a run's identity. Runtime knobs cannot (beyond
round-off): the same recipe runs on a laptop's core or on eight GPUs.
"""

from __future__ import annotations

import math
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.planning import Runtime
from workflow.scripts.config.recipe import Recipe


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


def optimizer_steps(recipe: Recipe, n_records: int) -> int:
    """Return the optimizer steps of a round of training."""
    if recipe.steps:
        return recipe.steps[-1]
    return steps_per_epoch(n_records, recipe.global_batch) * recipe.epochs


def passes(recipe: Recipe, n_records: int) -> float:
    """Return how often a round of training goes through its records."""
    return optimizer_steps(recipe, n_records) / steps_per_epoch(n_records, recipe.global_batch)


def sft_arguments(
    recipe: Recipe, runtime: Runtime, world: int, seed: int, output_dir: str
) -> dict[str, Any]:
    """Return the keyword arguments of TRL's `SFTConfig`."""
    check_recomputation(recipe, runtime, world)
    per_device, accumulation = batch_plan(recipe.global_batch, world, runtime.per_device_batch)
    on_cpu = runtime.gpus == 0
    schedule: str = recipe.schedule
    schedule_arguments = None
    if recipe.schedule == "constant" and recipe.warmup_ratio:
        schedule = "constant_with_warmup"
    if recipe.min_lr_ratio:
        schedule, schedule_arguments = "cosine_with_min_lr", {"min_lr_rate": recipe.min_lr_ratio}
    return {
        "output_dir": output_dir,
        "num_train_epochs": recipe.epochs,
        **({"max_steps": recipe.steps[-1]} if recipe.steps else {}),  # goes before epochs
        "per_device_train_batch_size": per_device,
        "gradient_accumulation_steps": accumulation,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": schedule,
        "lr_scheduler_kwargs": schedule_arguments,
        "warmup_steps": recipe.warmup_ratio,  # below 1, transformers reads it as a share
        # In one kernel: else an update's temporaries take 15 GiB of each of eight GPUs for 32B
        # parameters, and on the CPU it takes MKL's square root, which processors round each in
        # their own way.
        "optim": f"{recipe.optimizer}_fused",
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
