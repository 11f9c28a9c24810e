"""The prompts that a model answers while it is trained, as it is asked them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from workflow.scripts.common.chat import ChatFormat
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.records import Record
from workflow.scripts.config.ask import fill


@dataclass(frozen=True)
class Prompts:
    """Prompts, each with what the trainer or a reward reads beside it.

    Attributes:
        columns: `prompt`, the text that generation starts from, and others of the same length.
        tokens: Of the prompts in all.
        target_tokens: What is trained on is not known before.
        n_truncated: Nothing is cut.
    """

    columns: dict[str, list[Any]] = field(default_factory=dict)
    tokens: int = 0
    target_tokens: int = 0
    n_truncated: int = 0

    def __len__(self) -> int:
        return len(self.columns["prompt"])

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self)


def make_prompts(
    records: Sequence[Record], tokenizer: Any, chat: ChatFormat, context: str | None = None
) -> Prompts:
    """Return the prompts of records.

    Args:
        records: Their answers do not count.
        tokenizer: The model's.
        chat: How the model is asked.
        context: What a teacher is asked in place of the prompt; None without one.
    """
    texts = [chat.prompt(record.prompt) for record in records]
    columns: dict[str, list[Any]] = {"prompt": texts}
    if context is not None:
        asked = [fill(context, vars(record)) for record in records]
        columns["privileged_context"] = [chat.prompt(text) for text in asked]
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return Prompts(columns, sum(map(len, ids)))


def list_targets(records: Sequence[Record], read: Callable[[str, str], str | None]) -> list[str]:
    """Return what each record's answer states; "" where it states nothing that can be read.

    Args:
        records: Problems with their answers.
        read: Reads (answer, prompt).

    Raises:
        InputError: None of the answers can be read.
    """
    targets = [read(record.answer, record.prompt) or "" for record in records]
    if not any(targets):
        raise InputError(
            f"none of the {len(records)} reasoning records states an answer that the scorer can "
            "read, expected problems"
        )
    return targets
