"""What `make gate` asks of aligned models: margins that they may not be worse by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from workflow.scripts.config.section import Section, expect_entry
from workflow.scripts.report.metrics import METRICS

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment


class Margin(Section):
    """By how much a candidate may be worse than its reference."""

    points: Annotated[float, Field(gt=0, le=100)]
    """Non-inferiority margin: worse by this or more is too much"""
    reference: str | None = None
    """An entry of alignments; default, the LRM as it is"""


class Acceptance(Section):
    """Release gate of aligned models, see `make gate`. Changing it re-runs nothing."""

    candidates: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Entries of alignments; default, all that are no reference"""
    reasoning_accuracy: Margin | None = None
    """Points of accuracy that may be lost"""
    harmful_score: Margin | None = None
    """Points that the harmful score may be higher"""
    harmful_strict: Margin | None = None
    """Points that the strict harmful score may be higher"""
    over_refusal: Margin | None = None
    """Points that over-refusal may be higher"""

    @property
    def margins(self) -> dict[str, Margin]:
        """The margins by metric."""
        names = [name for name in type(self).model_fields if name != "candidates"]
        return {name: one for name in names if (one := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _check(self) -> Acceptance:
        if not self.margins:
            names = [name for name in type(self).model_fields if name != "candidates"]
            raise ValueError(f"has no margin, expected some of {', '.join(names)}")
        return self

    def check(self, experiment: Experiment) -> None:
        """Check what other sections have to say.

        Raises:
            ValueError: In one line.
        """
        kinds = {benchmark.kind for benchmark in experiment.benchmarks.values()}
        for name in self.candidates or ():
            expect_entry("gate.candidates", name, "alignments", experiment.alignments)
        for name, margin in self.margins.items():
            if margin.reference is not None:
                key = f"gate.{name}.reference"
                expect_entry(key, margin.reference, "alignments", experiment.alignments)
            if margin.reference in (self.candidates or ()):
                raise ValueError(
                    f"gate.candidates: {margin.reference!r} is the reference of gate.{name}, "
                    "expected others"
                )
            if METRICS[name].kind not in kinds:
                raise ValueError(f"gate.{name} needs a benchmark of kind {METRICS[name].kind}")
