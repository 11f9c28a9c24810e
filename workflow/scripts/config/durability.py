"""How long safety lasts: fine-tuning of aligned models, and what is measured after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from workflow.scripts.config.section import Section, expect_entry
from workflow.scripts.models.alignment import expect_model

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Benchmark, Experiment

MEASURED = ("reasoning", "harmful")  # kinds of benchmarks, unless benchmarks are named


class Attack(Section):
    """A fine-tuning of every aligned model that may undo its safety."""

    data: str
    """An entry of data: rows that are harmless, or not"""
    recipe: str
    """An entry of recipes that has `steps`: the weights after each are measured"""
    alignments: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Entries of alignments; default, all that are measured and have whole weights"""
    benchmarks: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """What is measured; default, the benchmarks of kinds reasoning and harmful"""

    def measured(self, benchmarks: Mapping[str, Benchmark]) -> list[str]:
        """Return the benchmarks that it is measured on, of all by name."""
        return [
            name
            for name, one in benchmarks.items()
            if (name in self.benchmarks if self.benchmarks else one.kind in MEASURED)
        ]

    def check(self, key: str, experiment: Experiment) -> None:
        """Check what other sections have to say; `key` is the place of the entry.

        Raises:
            ValueError: In one line.
        """
        expect_entry(f"{key}.data", self.data, "data", experiment.data)
        expect_entry(f"{key}.recipe", self.recipe, "recipes", experiment.recipes)
        if not experiment.recipes[self.recipe].steps:
            raise ValueError(f"{key}.recipe: {self.recipe!r} has no steps, expected some")
        for name in self.alignments or ():
            expect_model(f"{key}.alignments", name, experiment)
        for name in self.benchmarks or ():
            expect_entry(f"{key}.benchmarks", name, "benchmarks", experiment.benchmarks)
