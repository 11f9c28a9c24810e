"""Task arithmetic: an LRM plus scaled differences between aligned models and that LRM.

A difference of weights is a task vector (Ilharco et al. 2023, arXiv 2212.04089). One vector with a
scale between 0 and 1 is the interpolation of `merge`; scales may also be above 1 or below 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from workflow.scripts.config.section import Name, Positive, Section
from workflow.scripts.models.aligned import checkpoint_of, expect_training, find_run
from workflow.scripts.models.alignment import Alignment, Variant

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment
    from workflow.scripts.config.planning import Runtime
    from workflow.scripts.config.recipe import Recipe
    from workflow.scripts.graph.runs import Run
    from workflow.scripts.models.memory import Shape

SCRIPT = "models.merge_models"
TRAINS = False


class TaskVector(Section):
    """An aligned model's difference from its LRM."""

    scale: float
    """What it is multiplied with; below 0: away from the aligned model"""
    epoch: Positive | None = None
    """The aligned model's weights after this epoch; default, the last"""


class TaskArithmetic(Alignment):
    """An LRM plus scaled differences between aligned models and that LRM."""

    method: Literal["task_arithmetic"]
    """Task arithmetic"""
    vectors: Annotated[dict[Name, TaskVector], Field(min_length=1)]
    """Entries of alignments: whose models' differences are added"""

    def check(self, key: str, experiment: Experiment) -> None:
        super().check(key, experiment)
        for name, vector in self.vectors.items():
            place = f"{key}.vectors.{name}"
            other = expect_training(place, name, key, self.lrms, experiment)
            if vector.epoch is not None:
                other.check_epoch(f"{place}.epoch", vector.epoch, experiment)

    def made_from(self) -> tuple[str, ...]:
        return tuple(self.vectors)


ALIGNMENT = TaskArithmetic


def _vectors(alignment: TaskArithmetic) -> list[tuple[str, TaskVector]]:
    return sorted(alignment.vectors.items())  # the order in the file counts nothing


def list_variants(alignment: TaskArithmetic, experiment: Experiment) -> list[Variant]:
    return [
        Variant(
            others={
                name: find_run(name, vector.epoch, experiment)
                for name, vector in _vectors(alignment)
            }
        )
    ]


def inputs(run: Run, experiment: Experiment) -> dict[str, tuple[str, ...]]:
    others = [run.others[name] for name, _ in _vectors(run.entry(TaskArithmetic))]
    return {"parent": ("run", str(run.parent)), "other": ("run", *others)}


def sections(run: Run, experiment: Experiment) -> dict[str, Any]:
    vectors = [vector.without_defaults() for _, vector in _vectors(run.entry(TaskArithmetic))]
    return {"vectors": vectors, "chat_format": run.chat_format, "seed": run.seed}


def arguments(run: Run, experiment: Experiment) -> list[str]:
    return [
        text
        for _, vector in _vectors(run.entry(TaskArithmetic))
        for text in (
            f"--scale={vector.scale}",
            f"--other-checkpoint={checkpoint_of(vector.epoch)}",
        )
    ]


def estimate_memory(shape: Shape, recipe: Recipe, runtime: Runtime, world: int) -> dict[str, float]:
    return {"total": 0.0}  # it takes no GPU
