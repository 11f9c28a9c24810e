"""A training set, from one of its sources."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from workflow.scripts.config.sampling import Sampled
from workflow.scripts.config.section import Section, expect_one_source
from workflow.scripts.config.source import RecordSelection, Render


class Dataset(Section):
    """A training set: generated, rows of a source, or written by each LRM itself."""

    generated: Literal["reasoning", "directrefusal", "safechain"] | None = None
    """A set of micro_data"""
    prepare: RecordSelection | None = None
    """Rows to records, see workflow/scripts/data/prepare_records.py"""
    sampled: Sampled | None = None
    """Each LRM's own samples that a judge passes, see workflow/scripts/data/filter_samples.py"""
    render: Render = Render()
    """How a chat format writes the records"""

    @model_validator(mode="after")
    def _check(self) -> Dataset:
        expect_one_source(self, ("generated", "prepare", "sampled"))
        return self
