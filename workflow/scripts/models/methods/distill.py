"""On-policy distillation: the model's own turns, graded token by token by another model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from workflow.scripts.config.on_policy import DistillSettings
from workflow.scripts.config.section import expect_entry
from workflow.scripts.models import on_policy_method
from workflow.scripts.models.aligned import find_run
from workflow.scripts.models.alignment import TrainedAlignment, Variant, list_trainings
from workflow.scripts.models.on_policy_method import OnPolicyAlignment

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment
    from workflow.scripts.config.planning import Runtime
    from workflow.scripts.config.recipe import Recipe
    from workflow.scripts.graph.runs import Run
    from workflow.scripts.models.memory import Shape

SCRIPT = on_policy_method.SCRIPT
TRAINS = True
MOST_GPUS = on_policy_method.MOST_GPUS


class Distill(OnPolicyAlignment, DistillSettings):
    """Distillation of every LRM from an alignment's model of the same LRM and seed."""

    method: Literal["distill"]
    """On-policy distillation"""
    teacher: str
    """An entry of alignments that is trained and no distillation; its last weights"""

    def check(self, key: str, experiment: Experiment) -> None:
        super().check(key, experiment)
        expect_entry(f"{key}.teacher", self.teacher, "alignments", experiment.alignments)
        other = experiment.alignments[self.teacher]
        if not isinstance(other, TrainedAlignment) or isinstance(other, Distill):
            raise ValueError(
                f"{key}.teacher: {self.teacher!r} is of method {other.method}, expected a training"
            )
        aligned = other.lrms or tuple(experiment.lrms)
        for lrm in self.lrms or experiment.lrms:
            if lrm not in aligned:
                raise ValueError(
                    f"{key}.lrms: {self.teacher} does not align {lrm!r}, expected some of "
                    f"{', '.join(aligned)}"
                )


ALIGNMENT = Distill


def list_variants(alignment: Distill, experiment: Experiment) -> list[Variant]:
    others = {"teacher": find_run(alignment.teacher, None, experiment)}
    return [replace(one, others=others) for one in list_trainings(alignment, experiment)]


def inputs(run: Run, experiment: Experiment) -> dict[str, tuple[str, str]]:
    teacher = {"teacher": ("run", run.others["teacher"])}
    return on_policy_method.inputs(run, experiment) | teacher


def sections(run: Run, experiment: Experiment) -> dict[str, Any]:
    return on_policy_method.sections(run, experiment, "distill")


def arguments(run: Run, experiment: Experiment) -> list[str]:
    return on_policy_method.arguments(run, experiment, "distill")


def count_passes(run: Run, epochs: float) -> float:
    # the teacher reads each turn, too: a quarter of a pass
    return epochs * (on_policy_method.GENERATION + 1.25)


def estimate_memory(shape: Shape, recipe: Recipe, runtime: Runtime, world: int) -> dict[str, float]:
    return on_policy_method.estimate_memory(shape, recipe, runtime, world, teacher=True)
