"""Kahneman-Tversky optimization: answers that are labelled as good or bad, in no pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from workflow.scripts.config.preferences import KtoLoss
from workflow.scripts.models import preference_method
from workflow.scripts.models.alignment import list_trainings
from workflow.scripts.models.preference_method import PreferenceAlignment

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment
    from workflow.scripts.config.planning import Runtime
    from workflow.scripts.config.recipe import Recipe
    from workflow.scripts.graph.runs import Run
    from workflow.scripts.models.memory import Shape

SCRIPT = preference_method.SCRIPT
TRAINS = True
list_variants = list_trainings
inputs = preference_method.inputs


class Kto(PreferenceAlignment, KtoLoss):
    """Kahneman-Tversky optimization of every LRM on labelled answers."""

    method: Literal["kto"]
    """Kahneman-Tversky optimization"""

    def check(self, key: str, experiment: Experiment) -> None:
        super().check(key, experiment)
        if experiment.runtime.safety_sft.per_device_batch == 1:
            raise ValueError(
                f"{key}: runtime.safety_sft.per_device_batch is 1, expected at least 2 for kto"
            )
        if experiment.recipes[self.recipe].global_batch < 2:
            raise ValueError(f"{key}.recipe: global_batch is 1, expected at least 2 for kto")


ALIGNMENT = Kto


def sections(run: Run, experiment: Experiment) -> dict[str, Any]:
    return preference_method.sections(run, experiment, KtoLoss)


def arguments(run: Run, experiment: Experiment) -> list[str]:
    return preference_method.arguments(run, experiment, "kto", KtoLoss)


def count_passes(run: Run, epochs: float) -> float:
    # Two answers for each record, each also read once without gradients (forward: a quarter); the
    # reference reads as much before.
    return 2.5 * epochs + 1


def estimate_memory(shape: Shape, recipe: Recipe, runtime: Runtime, world: int) -> dict[str, float]:
    from workflow.scripts.models import memory

    return memory.estimate_memory(shape, recipe, runtime, world)
