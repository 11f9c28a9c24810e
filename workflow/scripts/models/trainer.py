"""TRL's trainer with the few things that this project wants otherwise."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.models.encode import IGNORED, Encoded
from workflow.scripts.models.lora import merge_lora
from workflow.scripts.models.recipe import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from trl import SFTConfig, SFTTrainer

TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template*",
)


class EpochOrder:
    """Sampler: each epoch is a permutation drawn from (seed, epoch), the same on any device count.

    The last batch of an epoch is filled up with the index `n`, where a row without targets stands:
    several processes need equal shares, and repeating examples would change the loss.
    """

    def __init__(self, n: int, global_batch: int, seed: int) -> None:
        self.n, self.seed, self.epoch = n, seed, 0
        self.size = -(-n // global_batch) * global_batch

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        import torch

        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        yield from torch.randperm(self.n, generator=generator).tolist()
        yield from [self.n] * (self.size - self.n)


def build_trainer(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    encoded: Encoded,
    recipe: Recipe,
    config: SFTConfig,
    after_epoch: Callable[[SFTTrainer, int], None],
) -> SFTTrainer:
    """Return a trainer over tokenised examples; `after_epoch(trainer, epoch)` runs from epoch 1."""
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback, set_seed
    from trl import SFTTrainer

    class Trainer(SFTTrainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return EpochOrder(len(encoded.input_ids), recipe.global_batch, config.seed)

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """Trainer state is no model: it needs no card."""

        def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
            """Sharded trainer state has the weights in a file of its own: not twice."""
            if not (self.is_fsdp_enabled and _internal_call):
                super().save_model(output_dir, _internal_call)

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            if "loss" in logs and not logs["loss"] < float("inf"):
                raise InputError(
                    f"loss is {logs['loss']} at step {self.state.global_step}, learning rate "
                    f"{logs.get('learning_rate')}: expected a recipe that stays finite"
                )
            super().log(logs, start_time)

    class AfterEpoch(TrainerCallback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            after_epoch(trainer, round(state.epoch))
            if state.global_step >= state.max_steps:
                control.should_save = False  # nothing is left to go on with

    filler = tokenizer.pad_token_id
    data = Dataset.from_dict(
        {
            "input_ids": [*encoded.input_ids, [filler, filler]],
            "labels": [*encoded.labels, [IGNORED, IGNORED]],
        }
    )
    if recipe.lora:
        from peft import LoraConfig, get_peft_model

        adapters = LoraConfig(
            r=recipe.lora.r,
            lora_alpha=recipe.lora.alpha,
            lora_dropout=recipe.lora.dropout,
            target_modules=list(recipe.lora.target_modules),
            task_type="CAUSAL_LM",
        )
        # Adapters start from random values: seed them here, since how a model is loaded differs
        # between one process and several.
        set_seed(config.seed)
        # One type for all parameters, which FSDP2 wants.
        model = get_peft_model(model, adapters, autocast_adapter_dtype=False)
    trainer = Trainer(
        model=model,
        args=config,
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[AfterEpoch()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def save_weights(trainer: SFTTrainer, parent: Path, folder: Path, recipe: Recipe) -> None:
    """Write the model of a trainer as a plain Hugging Face folder, from the first process.

    Adapters are merged, and weights trained under bf16 compute are stored in bf16. Every process
    must call this: sharded weights are gathered.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    state = trainer.accelerator.get_state_dict(trainer.model)
    if not trainer.is_world_process_zero():
        return
    if recipe.lora:
        state = merge_lora(state, recipe.lora.alpha / recipe.lora.r)
    dtype = torch.float32 if recipe.precision == "fp32" else torch.bfloat16
    with torch.device("meta"):
        shell = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(parent), dtype=dtype)
    # Gathered shards no longer show which weights are tied.
    tied = set(shell.all_tied_weights_keys)
    state = {name: weight.to(dtype) for name, weight in state.items() if name not in tied}
    if (parent / "generation_config.json").exists():
        shell.generation_config = GenerationConfig.from_pretrained(parent)
    temporary = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    shell.save_pretrained(temporary, state_dict=state)
    for pattern in TOKENIZER_FILES:
        for file in parent.glob(pattern):
            shutil.copyfile(file, temporary / file.name)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def say(trainer: SFTTrainer, epoch: int) -> None:
    """Report one finished epoch on stderr."""
    if trainer.is_world_process_zero() and trainer.state.log_history:
        last = [entry for entry in trainer.state.log_history if "loss" in entry][-1]
        print(
            f"epoch {epoch}: step {trainer.state.global_step} of {trainer.state.max_steps}, "
            f"loss {last['loss']:.4f}",
            file=sys.stderr,
            flush=True,
        )
