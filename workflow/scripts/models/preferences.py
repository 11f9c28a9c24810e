"""Preferences as token ids: pairs of a chosen and a rejected answer, or each with its label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.records import Record
from workflow.scripts.models.encode import IGNORED, Encoded

Pair = tuple[Record, Record]


@dataclass(frozen=True)
class Preferences:
    """A tokenised set of preferences.

    Attributes:
        columns: As TRL's collators read them, and `index`, the example's place.
        lengths: Of the examples, in tokens: of their longest sequence.
        tokens: Of all sequences.
        target_tokens: Of the answers.
        n_truncated: Sequences that were longer than the block size.
    """

    columns: dict[str, list[Any]]
    lengths: list[int]
    tokens: int
    target_tokens: int
    n_truncated: int

    @property
    def n(self) -> int:
        return len(self.lengths)


def pair_records(chosen: Sequence[Record], rejected: Sequence[Record]) -> list[Pair]:
    """Pair records with the same prompt: the first with the first, the second with the second, ….

    What has no partner is left out.

    Raises:
        InputError: There is no pair.
    """
    waiting: dict[str, list[Record]] = defaultdict(list)
    for record in rejected:
        waiting[record.prompt].append(record)
    pairs = [(one, waiting[one.prompt].pop(0)) for one in chosen if waiting[one.prompt]]
    if not pairs:
        raise InputError(
            f"none of the {len(chosen)} chosen records has the prompt of one of the "
            f"{len(rejected)} rejected ones, expected two sets with prompts in common"
        )
    return pairs


def pair_columns(chosen: Encoded, rejected: Encoded) -> Preferences:
    """Return pairs for DPO.

    Args:
        chosen: The better answers.
        rejected: The worse ones to the same prompts, in the same order.
    """
    prompts, better = _split(chosen)
    _, worse = _split(rejected)
    return Preferences(
        {
            "index": list(range(len(prompts))),
            "prompt_ids": prompts,
            "chosen_ids": better,
            "rejected_ids": worse,
        },
        [max(map(len, ids)) for ids in zip(chosen.input_ids, rejected.input_ids, strict=True)],
        chosen.tokens + rejected.tokens,
        chosen.target_tokens + rejected.target_tokens,
        chosen.n_truncated + rejected.n_truncated,
    )


def label_columns(chosen: Encoded, rejected: Encoded) -> Preferences:
    """Return single answers with their labels for KTO.

    Each example also has an answer to another prompt, for the estimate of how far the model has
    left its reference (section 4.2 of arXiv 2402.01306): that of the next example whose prompt is
    another one. So every answer is used about once.

    Raises:
        InputError: All prompts are the same.
    """
    prompts, answers, lengths = [], [], []
    for encoded in (chosen, rejected):
        own, said = _split(encoded)
        prompts += own
        answers += said
        lengths += list(map(len, encoded.input_ids))
    return Preferences(
        {
            "index": list(range(len(prompts))),
            "prompt_ids": prompts,
            "completion_ids": answers,
            "KL_completion_ids": [answers[place] for place in list_mismatches(prompts)],
            "label": [True] * len(chosen.input_ids) + [False] * len(rejected.input_ids),
        },
        lengths,
        chosen.tokens + rejected.tokens,
        chosen.target_tokens + rejected.target_tokens,
        chosen.n_truncated + rejected.n_truncated,
    )


def list_mismatches(prompts: Sequence[Sequence[int]]) -> list[int]:
    """Return for each prompt the place of the next one, around the end, that is another one."""
    n = len(prompts)
    found = []
    for place, prompt in enumerate(prompts):
        others = (at % n for at in range(place + 1, place + n) if prompts[at % n] != prompt)
        other = next(others, None)
        if other is None:
            raise InputError("all prompts are the same, expected different ones")
        found.append(other)
    return found


def _split(encoded: Encoded) -> tuple[list[list[int]], list[list[int]]]:
    """Return the ids of contexts and of answers."""
    sizes = [labels.count(IGNORED) for labels in encoded.labels]
    pairs = list(zip(encoded.input_ids, sizes, strict=True))
    return [ids[:size] for ids, size in pairs], [ids[size:] for ids, size in pairs]
