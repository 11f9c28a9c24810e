"""Training examples as token ids and labels: the loss falls on the assistant's turn alone, of a
primer on what follows the thinking opener.

The thinking opener is tokenised apart from what follows it. So the ids that open a training target
are the ids that generation is asked with, even where a tokenizer would merge the line break with
the thought's first character.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from workflow.scripts.common.chat import ChatFormat
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.records import Record
from workflow.scripts.models.primers import Primer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label that the loss skips
SPECIAL = re.compile(r"<[|｜][^|｜]+[|｜]>")
MAX_DELIMITER_TOKENS = 8


class Counted(Protocol):
    """What every tokenised training set tells: examples, tokens, those of targets, examples cut."""

    @property
    def n(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    @property
    def target_tokens(self) -> int: ...
    @property
    def n_truncated(self) -> int: ...


@dataclass(frozen=True)
class Encoded:
    """A tokenised training set.

    Attributes:
        input_ids: One list per record.
        labels: The same shapes; `IGNORED` on the context.
        n_truncated: Records that were longer than the block size.
    """

    input_ids: list[list[int]]
    labels: list[list[int]]
    n_truncated: int

    @property
    def n(self) -> int:
        return len(self.input_ids)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.input_ids))

    @property
    def target_tokens(self) -> int:
        return sum(label != IGNORED for labels in self.labels for label in labels)


def encode_records(
    records: Sequence[Record],
    tokenizer: PreTrainedTokenizerBase,
    chat: ChatFormat,
    max_length: int,
    newline_before_answer: bool = True,
    foreign: bool = False,
) -> Encoded:
    """Tokenise records for training.

    Args:
        records: The training set.
        tokenizer: The model's.
        chat: How the records are written.
        max_length: Block size in tokens.
        newline_before_answer: See `ChatFormat.example`.
        foreign: The chat format is another model family's (the publication trains DeepSeek on
            ChatML): its delimiters may be plain text to the tokenizer.

    Raises:
        InputError: The tokenizer lacks the chat format's delimiters, the training prefix differs
            from the generation prefix, or a context alone fills the block.
    """
    if not foreign:
        check_delimiters(tokenizer, chat)

    def ids_of(texts: list[str]) -> list[list[int]]:
        return tokenizer(texts, add_special_tokens=False)["input_ids"]

    pairs = [_example(record, chat, newline_before_answer) for record in records]
    openers = ["" if record.thinking is None else chat.think_start for record in records]
    contexts = ids_of([context for context, _ in pairs])
    openings = ids_of(openers)
    targets = ids_of(
        [target[len(opener) :] for (_, target), opener in zip(pairs, openers, strict=True)]
    )
    prefixes = ids_of(
        [chat.prompt(record.prompt, thinking=record.thinking is not None) for record in records]
    )
    all_ids, all_labels, n_truncated = [], [], 0
    for record, context, opening, rest, prefix in zip(
        records, contexts, openings, targets, prefixes, strict=True
    ):
        if context + opening != prefix and not foreign:
            raise InputError(
                f"record {record.id!r}: its training ids differ from those that generation starts "
                "from, expected a tokenizer that splits in front of the assistant's delimiters"
            )
        if len(context) >= max_length:
            raise InputError(
                f"record {record.id!r}: its question has {len(context)} tokens, expected fewer "
                f"than recipe.max_length {max_length}"
            )
        ids = [*context, *opening, *rest]
        given = len(context) + (len(opening) if isinstance(record, Primer) else 0)
        labels = [IGNORED] * given + ids[given:]
        n_truncated += len(ids) > max_length
        all_ids.append(ids[:max_length])
        all_labels.append(labels[:max_length])
    return Encoded(all_ids, all_labels, n_truncated)


def _example(record: Record, chat: ChatFormat, newline_before_answer: bool) -> tuple[str, str]:
    """Return (context, target) of a training example; a primer's target does not end."""
    if isinstance(record, Primer):
        context = chat.prompt(record.prompt, thinking=False)
        return context, f"{chat.think_start}{record.thinking}"
    return chat.example(record, newline_before_answer)


def check_delimiters(tokenizer: PreTrainedTokenizerBase, chat: ChatFormat) -> None:
    """Raise `InputError` unless the tokenizer knows the delimiters of the chat format.

    Control tokens such as `<|im_start|>` must be one token each; tags such as `</think>` may take a
    few, none of them unknown.
    """
    texts = (chat.opening, chat.assistant, chat.think_start, chat.think_end, chat.end_of_turn)
    controls = {found for text in texts for found in SPECIAL.findall(text)}
    for delimiter in sorted((controls | {chat.think_stop, chat.stop}) - {""}):
        ids = tokenizer(delimiter, add_special_tokens=False)["input_ids"]
        limit = 1 if delimiter in controls else MAX_DELIMITER_TOKENS
        if not 1 <= len(ids) <= limit or tokenizer.unk_token_id in ids:
            raise InputError(
                f"the model's tokenizer splits the chat format's delimiter {delimiter!r} into "
                f"{len(ids)} tokens, expected at most {limit} and none unknown"
            )
