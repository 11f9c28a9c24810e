"""TRL's trainers of preferences, with the model before its first step as the reference.

TRL would hold a second model, or load one for a moment, and on several GPUs gather it whole: 61 GiB
on each for 32B parameters. Here the model itself computes the reference's log-probabilities when it
is ready to train, sharded as it is. They take 16 bytes an example, and a preempted run reads them
from its state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, TrainerCallback
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

from workflow.scripts.common.io import read_json, write_json
from workflow.scripts.config.preferences import DpoLoss, KtoLoss
from workflow.scripts.models.launch import is_main
from workflow.scripts.models.preferences import Preferences
from workflow.scripts.models.sharding import agree
from workflow.scripts.models.trainer import Task

# Arguments of SFT's configuration that the others do not have.
SFT_ONLY = ("max_length", "dataset_kwargs", "packing", "padding_free", "loss_type")
Table = dict[str, list[float]]


class Dpo(DPOTrainer):
    """DPO over examples that arrive tokenised and cut."""

    reference = ("ref_chosen_logps", "ref_rejected_logps")

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset


class Kto(KTOTrainer):
    """KTO over examples that arrive tokenised and cut.

    TRL estimates how far the model has left its reference on the examples of each forward pass.
    Here all examples of an optimizer step count, however they are split, so that the same recipe
    is the same on any number of GPUs.
    """

    reference = ("ref_logps", "ref_KL_logps")
    left = torch.zeros(())  # mean log-ratio of the step's mismatched answers

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def get_batch_samples(self, *arguments: Any) -> Any:
        samples, items = super().get_batch_samples(*arguments)
        with torch.no_grad(), self.compute_loss_context_manager():
            ratios = [
                super(Kto, self)._compute_kl_logps(self.model_wrapped, batch)
                - batch["ref_KL_logps"]
                for batch in samples
            ]
        if ratios:
            self.left = self.accelerator.gather(torch.cat(ratios)).mean()
        return samples, items

    def _compute_kl_logps(self, model: Any, batch: Any) -> Any:
        return batch["ref_KL_logps"] + self.left


@dataclass
class PairCollator(DataCollatorForPreference):
    """TRL's, which also hands out the reference's log-probabilities."""

    table: Table = field(default_factory=dict)

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        places = [example["index"] for example in examples]
        return super().torch_call(examples) | look_up(self.table, places)


@dataclass
class LabelCollator(DataCollatorForUnpairedPreference):
    """TRL's, which also hands out the reference's log-probabilities."""

    table: Table = field(default_factory=dict)

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        places = [example["index"] for example in examples]
        return super().torch_call(examples) | look_up(self.table, places)


def look_up(table: Table, places: list[int]) -> dict[str, torch.Tensor]:
    """Return the values of each column that examples at these places have."""
    return {
        name: torch.tensor([values[place] for place in places]) for name, values in table.items()
    }


class Reference(TrainerCallback):
    """Fills a table with the reference's log-probabilities before the first step.

    Args of `__init__`:
        trainer: Whose model is the reference.
        table: To fill.
        file: Keeps the table for a preempted run, whose model is the reference no more.
    """

    def __init__(self, trainer: Any, table: Table, file: Path) -> None:
        self.trainer, self.table, self.file = trainer, table, file

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if agree(self.file.exists(), args.device):
            self.table.update(read_json(self.file))
            return
        found = compute_reference(self.trainer)
        if is_main():
            write_json(self.file, found)
        self.table.update(found)


def compute_reference(trainer: Any) -> Table:
    """Return the log-probabilities that a model now gives to every example's answers.

    Every process must call this: each computes a part.
    """
    args, data, model = trainer.args, trainer.train_dataset, trainer.model_wrapped
    n, size, world = len(data), args.per_device_train_batch_size, args.world_size
    found: Table = {name: [] for name in trainer.reference}
    model.eval()
    for start in range(args.process_index * size, n + args.process_index * size, size * world):
        places = [min(place, n - 1) for place in range(start, start + size)]
        batch = trainer.data_collator([data[place] for place in places])
        batch = {name: value.to(args.device) for name, value in batch.items()}
        computed = trainer.compute_ref_log_probs(model, batch)
        for name, values in zip(trainer.reference, computed, strict=True):
            found[name] += trainer.accelerator.gather(values).float().tolist()
    model.train()
    return {name: values[:n] for name, values in found.items()}


def configure(arguments: dict[str, Any], loss: DpoLoss | KtoLoss) -> Any:
    """Return TRL's configuration.

    Args:
        arguments: Those of `SFTConfig`.
        loss: The loss's section.
    """
    shared = {name: value for name, value in arguments.items() if name not in SFT_ONLY}
    shared |= {"max_length": None, "remove_unused_columns": False, "disable_dropout": False}
    if isinstance(loss, DpoLoss):
        return DPOConfig(**shared, beta=loss.beta, loss_type=[loss.loss])
    return KTOConfig(
        **shared,
        beta=loss.beta,
        desirable_weight=loss.desirable_weight,
        undesirable_weight=loss.undesirable_weight,
    )


def preference_task(method: str, examples: Preferences, tokenizer: Any, file: Path) -> Task:
    """Return the task of training on preferences.

    Args:
        method: `dpo` or `kto`.
        examples: The training set, with the columns of the method.
        tokenizer: The model's.
        file: Keeps the reference's log-probabilities for a preempted run.
    """
    table: Table = {}
    trainer, collator = {"dpo": (Dpo, PairCollator), "kto": (Kto, LabelCollator)}[method]
    return Task(
        trainer,
        examples.columns,
        examples.lengths,
        repeat=True,
        arguments={
            "data_collator": collator(pad_token_id=tokenizer.pad_token_id, table=table),
            "ref_model": stand_in(),
        },
        attach=partial(attach_reference, table=table, file=file),
    )


def stand_in() -> Any:
    """Return the smallest model, so that TRL loads none of its own."""
    config = LlamaConfig(
        vocab_size=1,
        hidden_size=2,
        intermediate_size=2,
        num_hidden_layers=1,
        num_attention_heads=1,
        bos_token_id=None,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config)


def attach_reference(trainer: Any, table: Table, file: Path) -> None:
    """Have a trainer take the reference's log-probabilities from a table."""
    trainer.ref_model = None
    trainer.precompute_ref_logps = True
    trainer.add_callback(Reference(trainer, table, file))
