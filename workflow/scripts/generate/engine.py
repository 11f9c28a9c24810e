"""What every engine is: it loads a checkpoint and completes turns, under any decoding.

An engine is a module `generate/<name>_engine.py` with a class `Engine`, and a line in
config/engines.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow.scripts.common.chat import chat_format
from workflow.scripts.common.io import read_json
from workflow.scripts.config.decoding import Decoding
from workflow.scripts.config.planning import GenerationRuntime
from workflow.scripts.config.prompting import NOTHING_TOLD, Prompting
from workflow.scripts.generate.turns import Completion, Turn, TurnFormat

ENGINE = "generate.{}_engine"
DEFAULT_CONTEXT = 2048  # of a model that does not tell its own


@dataclass(frozen=True)
class Adapters:
    """Low-rank adapters that a checkpoint's weights are asked with, in PEFT's format.

    Attributes:
        folder: Their checkpoint.
        largest: The largest rank of all that the same weights will be asked with.
    """

    folder: Path
    largest: int


class BaseEngine(ABC):
    """One model at a time on this machine's devices.

    Making the object is cheap; it checks that the engine can run here.

    Args:
        runtime: How to run.

    Raises:
        InputError: The engine cannot run on this machine.
    """

    def __init__(self, runtime: GenerationRuntime) -> None:
        self.runtime = runtime

    def context(self, folder: Path) -> int:
        """Return the longest turn of a checkpoint, in tokens."""
        return context_length(folder)

    @abstractmethod
    def load(
        self, folder: Path, dtype: str, longest: int, adapters: Adapters | None = None
    ) -> None:
        """Load a checkpoint in place of the one before.

        Args:
            folder: The checkpoint.
            dtype: Of the weights, see `Decoding`.
            longest: Tokens of the longest turn that will be asked.
            adapters: Are added to what each layer computes, in place of those before. The weights
                stay loaded for further ones.
        """

    @abstractmethod
    def complete(
        self,
        turns: list[Turn],
        seeds: list[int],
        done: Container[int],
        keep: Callable[[dict[int, Completion]], None],
    ) -> None:
        """Bring turns to their end.

        Args:
            turns: At their start. All of a benchmark, for what a turn is computed with may count.
            seeds: Of each turn's random numbers.
            done: Places of the turns whose completions are kept already.
            keep: Called with new completions by place, as they come.

        Raises:
            InputError: A turn could not be completed.
        """

    @abstractmethod
    def close(self) -> None:
        """Give the devices' memory back."""


def engine_module(name: str) -> str:
    """Return the module of an engine. The names are not listed here: a new one leaves the code."""
    return ENGINE.format(name)


def load_form(
    folder: Path,
    tokenizer: Any,
    chat: str,
    decoding: Decoding,
    thinks: bool,
    prompting: Prompting = NOTHING_TOLD,
) -> TurnFormat:
    """Return how a checkpoint writes a turn; its own end-of-text tokens end it, too."""
    form = TurnFormat(chat_format(chat), tokenizer, decoding, thinks, str(folder), prompting)
    for name in ("config.json", "generation_config.json"):
        path = folder / name
        ends = read_json(path).get("eos_token_id") if path.exists() else None
        if ends is not None:
            form.stop_ids |= {ends} if isinstance(ends, int) else set(ends)
    return form


def context_length(folder: Path) -> int:
    """Return the number of positions that a checkpoint's configuration tells."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    config = getattr(config, "text_config", None) or config
    for key in ("n_positions", "max_position_embeddings", "n_ctx"):
        if (found := getattr(config, key, None)) is not None:
            return int(found)
    return DEFAULT_CONTEXT
