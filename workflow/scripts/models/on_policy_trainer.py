"""TRL's trainers that let the model answer while it is trained, on one device.

Prompts arrive as the texts that generation starts from; they are tokenised as such, without what a
tokenizer adds of its own.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, TrainerCallback
from trl import DistillationConfig, DistillationTrainer, GRPOConfig, GRPOTrainer
from trl.experimental.sdft import SDFTConfig, SDFTTrainer

from workflow.scripts.common.io import read_json, write_json
from workflow.scripts.config.on_policy import (
    DistillSettings,
    GrpoSettings,
    OpsaSettings,
    Rollouts,
)
from workflow.scripts.models.prompts import Prompts
from workflow.scripts.models.trainer import Task

# Arguments of SFT's configuration that the others do not have.
SFT_ONLY = ("max_length", "dataset_kwargs", "packing", "padding_free", "loss_type")


class Grpo(GRPOTrainer):
    """GRPO over texts."""

    def _tokenize_prompts(self, prompts: list[str]) -> Any:
        return encode(self.processing_class, prompts), None, {}


class Distill(DistillationTrainer):
    """On-policy distillation over texts."""

    def _tokenize_prompts(self, prompts: list[str]) -> Any:
        return encode(self.processing_class, prompts), None, {}


class Opsa(SDFTTrainer):
    """On-policy self-distillation over texts."""

    def _tokenize_prompts(self, prompts: list[str]) -> list[list[int]]:
        return encode(self.processing_class, prompts)


def encode(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Return the ids of texts."""
    return list(tokenizer(texts, add_special_tokens=False)["input_ids"])


class Spread(TrainerCallback):
    """Ends a training whose rewards have no spread in its first steps: it cannot learn.

    Args of `__init__`:
        patience: Steps.
        file: Keeps what was found, also for a preempted run.
    """

    def __init__(self, patience: int, file: Path) -> None:
        self.patience, self.file = patience, file

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        steps = [entry for entry in state.log_history if "frac_reward_zero_std" in entry]
        if len(steps) != self.patience or self.file.exists():
            return
        spread = any(entry["frac_reward_zero_std"] < 1 for entry in steps)
        mean = sum(entry["reward"] for entry in steps) / len(steps)
        write_json(self.file, {"spread": spread, "steps": len(steps), "mean": mean})
        if not spread:
            control.should_training_stop = True


def read_failure(file: Path) -> str | None:
    """Return why a training could not learn, as `Spread` found it; None where it could."""
    found = read_json(file) if file.exists() else {"spread": True}
    if found["spread"]:
        return None
    return (
        f"reward without spread: in the first {found['steps']} steps all samples of each prompt "
        f"had the same reward ({found['mean']:.2f} on average), so there was nothing to learn; "
        "expected a model that does both: one that sometimes refuses, or more samples"
    )


def configure(arguments: dict[str, Any], settings: Rollouts) -> Any:
    """Return TRL's configuration.

    Args:
        arguments: Those of `SFTConfig`.
        settings: The method's section.
    """
    shared = {name: value for name, value in arguments.items() if name not in SFT_ONLY}
    shared |= {
        "max_completion_length": settings.max_new_tokens,
        "temperature": settings.temperature,
        "remove_unused_columns": False,
        "disable_dropout": False,
    }
    if isinstance(settings, GrpoSettings):
        return GRPOConfig(**shared, num_generations=settings.samples, beta=settings.beta)
    if isinstance(settings, DistillSettings):
        return DistillationConfig(**shared, beta=settings.beta)
    assert isinstance(settings, OpsaSettings)
    return SDFTConfig(
        **shared,
        num_generations=1,
        max_prompt_length=None,
        teacher_model_kind="base",
        distillation_mode="full_logits",
        distillation_alpha=settings.alpha,
    )


def on_policy_task(
    method: str,
    prompts: Prompts,
    stop_ids: list[int],
    examples: int,
    *,
    reward: Any = None,
    teacher: tuple[Path, Any, str] | None = None,
    patience: int = 0,
    file: Path = Path(),
) -> Task:
    """Return the task of a training in which the model answers.

    Args:
        method: `grpo`, `distill` or `opsa`.
        prompts: What is asked.
        stop_ids: Tokens that end a turn.
        examples: Turns of an epoch.
        reward: Of GRPO, see `rewards.reward_function`.
        teacher: Of distillation: a checkpoint, the type of its weights and its attention.
        patience: See `Spread`.
        file: See `Spread`.
    """
    arguments: dict[str, Any] = {}
    if method == "grpo":
        arguments["reward_funcs"] = [reward]
    elif method == "distill" and teacher:
        folder, dtype, attention = teacher
        arguments["teacher_model"] = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation=attention, use_safetensors=True
        )
    trainer = {"grpo": Grpo, "distill": Distill, "opsa": Opsa}[method]
    return Task(
        trainer,
        prompts.columns,
        [0] * examples,
        own_order=True,
        arguments=arguments,
        attach=partial(attach, stop_ids=stop_ids, patience=patience, file=file),
    )


def attach(trainer: Any, stop_ids: list[int], patience: int, file: Path) -> None:
    """Have a trainer end turns at these tokens, and look for spread."""
    trainer.eos_token_ids = sorted({*trainer.eos_token_ids, *stop_ids})
    trainer.generation_config.eos_token_id = trainer.eos_token_ids
    trainer.generation_kwargs["eos_token_id"] = trainer.eos_token_ids
    if isinstance(trainer, Opsa):  # whose configuration wants the prompt in the template, too
        trainer.args.teacher_prompt_template = "{privileged_context}"
    if patience:
        trainer.add_callback(Spread(patience, file))
