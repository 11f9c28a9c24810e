"""Primers: training examples that begin the thinking and leave the rest to the model.

SafePath (Jeung et al. 2025, arXiv 2505.14667) has an LRM begin to think about harmful prompts with
a fixed sentence. The loss is on that sentence alone; it neither ends the thinking nor answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workflow.scripts.common.records import Record


@dataclass(frozen=True)
class Primer(Record):
    """A record whose thinking is a beginning; it has no answer."""


def make_primers(records: Sequence[Record], text: str) -> list[Primer]:
    """Return the prompts of records, each with the same beginning of the thinking."""
    return [Primer(record.id, record.prompt, text, "", record.source) for record in records]
