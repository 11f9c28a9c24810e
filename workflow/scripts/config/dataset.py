"""A training set, from one of its sources."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from workflow.scripts.config.gym_task import GymTask
from workflow.scripts.config.sampling import Sampled
from workflow.scripts.config.section import Count, Section, expect_one_source
from workflow.scripts.config.source import Mix, RecordSelection, Render, Source


class Dataset(Section):
    """A training set: generated, rows of a source, a task of reasoning-gym, written by each LRM, or
    a mixture of others."""

    generated: Literal["reasoning", "directrefusal", "safechain", "complied"] | None = None
    """A set of micro_data"""
    prepare: RecordSelection | None = None
    """Rows to records, see workflow/scripts/data/prepare_records.py"""
    reasoning_gym: GymTask | None = None
    """A task of reasoning-gym that has worked solutions, see docs/benchmarks.md"""
    sampled: Sampled | None = None
    """Each LRM's own samples that a judge passes, see workflow/scripts/data/filter_samples.py"""
    mix: Mix | None = None
    """Names of sets, each alone for all of its rows or with n or ratio"""
    seed: Count = 0
    """Of a mixture: draws which rows of a set, and the order of the sets"""
    render: Render = Render()
    """How a chat format writes the records; a mixture is written as its sets are"""

    @property
    def source(self) -> Source | None:
        """Where its rows come from, where that is one data set or file."""
        return self.prepare.source if self.prepare else None

    @model_validator(mode="after")
    def _check(self) -> Dataset:
        expect_one_source(self, ("generated", "prepare", "reasoning_gym", "sampled", "mix"))
        if self.seed and self.mix is None:
            raise ValueError(f"seed is {self.seed}, which only a mixture (mix) has")
        if self.mix is not None and self.render != Render():
            raise ValueError("has mix and render, expected render at its sets")
        return self
