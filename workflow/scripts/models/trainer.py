"""SFTTrainer with a fixed sampling order, epoch callbacks and a finite-loss check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.recipe import Lora, Recipe
from workflow.scripts.models.encode import IGNORED, Encoded
from workflow.scripts.models.lora import adapter_config
from workflow.scripts.models.order import EpochOrder
from workflow.scripts.models.sharding import configure_sharding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Task:
    """What a kind of training has of its own.

    Attributes:
        trainer: TRL's class.
        columns: The training set, by column.
        lengths: Of its examples, in tokens.
        repeat: See `EpochOrder`; else the last row has no targets.
        own_order: The order is the trainer's own.
        arguments: Further ones of the trainer.
        attach: Called with the trainer when it is there.
    """

    trainer: type
    columns: Mapping[str, list[Any]]
    lengths: Sequence[int]
    repeat: bool = False
    own_order: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    attach: Callable[[Any], None] = lambda trainer: None


def sft_task(encoded: Encoded, tokenizer: PreTrainedTokenizerBase) -> Task:
    """Return the task of supervised fine-tuning on tokenised examples."""
    from trl import SFTTrainer

    filler = tokenizer.pad_token_id
    columns = {
        "input_ids": [*encoded.input_ids, [filler, filler]],
        "labels": [*encoded.labels, [IGNORED, IGNORED]],
    }
    return Task(SFTTrainer, columns, list(map(len, encoded.input_ids)))


def build_trainer(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    recipe: Recipe,
    config: Any,
    after_epoch: Callable[[Any, int], None],
    keep_state: Any,
    before_state: Callable[[], None],
) -> Any:
    """Return a trainer over tokenised examples.

    Args:
        model: To train.
        tokenizer: Its own.
        task: What it is trained to do, on what.
        recipe: How to train.
        config: The same, as the trainer wants it.
        after_epoch: Called as `after_epoch(trainer, epoch)`, from epoch 1.
        keep_state: The callback that decides when trainer state is saved (`state.SaveByTime`).
        before_state: Called before trainer state is saved.
    """
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback

    from workflow.scripts.models.say import Say

    class AtEpoch(TrainerCallback):
        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            order.start_epoch(state.global_step // (len(order) // recipe.global_batch))

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            for epoch in list_epochs(state, control, recipe.epochs):
                after_epoch(trainer, epoch)

    order = EpochOrder(
        task.lengths,
        recipe.global_batch,
        config.seed,
        config.world_size,
        config.per_device_train_batch_size,
        recipe.padding_free,
        task.repeat,
    )
    data = Dataset.from_dict(dict(task.columns))
    if recipe.lora:
        model = add_adapters(model, recipe.lora, config.seed)
    trainer = trainer_class(task, order, before_state)(
        model=model,
        args=config,
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[Say(), AtEpoch(), keep_state],
        **task.arguments,
    )
    trainer.remove_callback(PrinterCallback)
    task.attach(trainer)
    if trainer.is_fsdp_enabled:
        configure_sharding(trainer.accelerator.state.fsdp_plugin, recipe.precision == "bf16_mixed")
    return trainer


def trainer_class(task: Task, order: EpochOrder, before_state: Callable[[], None]) -> type:
    """Return TRL's class with what this project wants otherwise; arguments of `build_trainer`."""

    class Trainer(task.trainer):  # type: ignore[name-defined]
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return super()._get_train_sampler(train_dataset) if task.own_order else order

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """Trainer state is no model: it needs no card."""

        def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
            """Sharded trainer state has the weights in files of its own: not twice."""
            if _internal_call:
                before_state()
            if not (self.is_fsdp_enabled and _internal_call):
                super().save_model(output_dir, _internal_call)

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            if "loss" in logs and not logs["loss"] < float("inf"):
                raise InputError(
                    f"loss is {logs['loss']} at step {self.state.global_step}, learning rate "
                    f"{logs.get('learning_rate')}: expected a recipe that stays finite"
                )
            super().log(logs, start_time)

    return Trainer


def list_epochs(state: Any, control: Any, epochs: int) -> list[int]:
    """Return the epochs that end now: all that are left where a callback has ended the training."""
    last = round(state.epoch)
    if control.should_training_stop and state.global_step < state.max_steps:
        return list(range(min(last + 1, epochs), epochs + 1))
    return [last]


def add_adapters(model: Any, lora: Lora, seed: int) -> Any:
    """Return the model with low-rank adapters, which alone are trained."""
    from peft import get_peft_model
    from transformers import set_seed

    adapters = adapter_config(lora)
    # Adapters start from random values: seed them here, since how a model is loaded differs
    # between one process and several.
    set_seed(seed)
    # One type for all parameters, which FSDP2 wants.
    return get_peft_model(model, adapters, autocast_adapter_dtype=False)
