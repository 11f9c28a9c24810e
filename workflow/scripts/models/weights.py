"""Writing a trained model as a plain Hugging Face folder, while training goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow.scripts.common.manifest import describe_files, hash_record
from workflow.scripts.config.recipe import Recipe
from workflow.scripts.models.lora import merge_lora, update_scale, write_adapters
from workflow.scripts.models.sharding import gather_weights

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Trainer

TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template*",
)
SHARD_SIZE = "5GB"  # several files are hashed and read at once


class Writer:
    """Runs one function at a time in a thread of its own; an error is raised at the next `wait`."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None

    def start(self, write: Callable[[], None]) -> None:
        self.wait()
        self._pending = self._pool.submit(write)

    def wait(self) -> None:
        """Return when the function has ended."""
        pending, self._pending = self._pending, None
        if pending:
            pending.result()


def save_weights(
    trainer: Trainer, parent: Path, folder: Path, recipe: Recipe, writer: Writer
) -> None:
    """Write the model of a trainer as a plain Hugging Face folder, from the first process.

    Adapters are merged or, where the recipe keeps them, are all that is written; weights trained
    under bf16 compute are stored in bf16. Every process must call this: sharded weights are
    gathered. They are copied, and `writer` writes and hashes the copies.
    """
    if recipe.keeps_adapters:
        _save_adapters(trainer, folder, recipe, writer)
        return
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    dtype = torch.float32 if recipe.precision == "fp32" else torch.bfloat16
    with torch.device("meta"):
        shell = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(parent), dtype=dtype)
    # Gathered shards no longer show which weights are tied.
    tied = set(shell.all_tied_weights_keys)
    writer.wait()  # the host holds one copy of the weights, not two
    state = gather_weights(trainer.model, tied, None if recipe.lora else dtype)
    if state is None:
        return
    if recipe.lora:
        merged = merge_lora(state, update_scale(recipe.lora), dtype)
        state = {name: weight for name, weight in merged.items() if name not in tied}
    if (parent / "generation_config.json").exists():
        shell.generation_config = GenerationConfig.from_pretrained(parent)
    writer.start(lambda: _write(shell, state, parent, folder))


def _save_adapters(trainer: Trainer, folder: Path, recipe: Recipe, writer: Writer) -> None:
    """Write the adapters of a trainer's model alone; they stay in the type of their training."""
    assert recipe.lora is not None
    lora, model = recipe.lora, trainer.model
    writer.wait()
    state = gather_weights(model, {name for name in model.state_dict() if ".lora_" not in name})
    if state is not None:
        writer.start(lambda: _put(folder, lambda place: write_adapters(state, lora, place)))


def _write(shell: Any, state: dict[str, Tensor], parent: Path, folder: Path) -> None:
    def write(place: Path) -> None:
        shell.save_pretrained(place, state_dict=state, max_shard_size=SHARD_SIZE)
        for pattern in TOKENIZER_FILES:
            for file in parent.glob(pattern):
                shutil.copyfile(file, place / file.name)

    _put(folder, write)


def _put(folder: Path, write: Callable[[Path], None]) -> None:
    """Have a folder written in another place, take it over and hash it."""
    temporary = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    write(temporary)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    describe_files(folder, hash_record(folder.parent, folder.name))
