"""What both engines share: turns from requests, and completions that are kept as they come."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workflow.scripts.common.chat import chat_format
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json
from workflow.scripts.config.decoding import Decoding
from workflow.scripts.generate.turns import Completion, Turn, TurnFormat


def load_form(
    folder: str, tokenizer: Any, chat: str, decoding: Decoding, thinks: bool
) -> TurnFormat:
    """Return how a checkpoint writes a turn; its own end-of-text tokens end it, too."""
    form = TurnFormat(chat_format(chat), tokenizer, decoding, thinks, folder)
    for name in ("config.json", "generation_config.json"):
        path = Path(folder) / name
        ends = read_json(path).get("eos_token_id") if path.exists() else None
        if ends is not None:
            form.stop_ids |= {ends} if isinstance(ends, int) else set(ends)
    return form


class BudgetForcing:
    """Mixin of the lm-eval models: requests are (question, {"seed": …}), not rendered prompts.

    Attributes:
        form: How a turn is written.
        completions: By index of the request. What stands there beforehand is kept, except where
            an engine has to compute it again with others.
        on_complete: Called with new completions by index.
    """

    form: TurnFormat
    max_length: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.completions: dict[int, Completion] = {}
        self.on_complete: Callable[[dict[int, Completion]], None] = lambda completions: None

    def open_turns(self, requests: list[Any]) -> list[Turn]:
        """Return a turn per lm-eval `Instance`.

        Raises:
            InputError: A prompt with its budgets is longer than the model's context.
        """
        turns = [Turn(self.form, request.args[0]) for request in requests]
        for turn, request in zip(turns, requests, strict=True):
            length = self.form.longest(turn.prompt_ids)
            if length > self.max_length:
                raise InputError(
                    f"item {request.doc['item_id']}: its prompt of {len(turn.prompt_ids)} tokens "
                    f"and the budgets make {length}, expected at most the model's context of "
                    f"{self.max_length}"
                )
        return turns

    def complete(self, completions: dict[int, Completion]) -> None:
        self.completions.update(completions)
        self.on_complete(completions)

    def answers(self, requests: list[Any]) -> list[str]:
        return [self.completions[index].answer for index in range(len(requests))]

    def close(self) -> None:
        """Give back the device's memory."""
        import torch

        self._model = self.model_args = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
