"""Direct preference optimization: chosen answers over rejected ones to the same prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from workflow.scripts.config.preferences import DpoLoss
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


class Dpo(PreferenceAlignment, DpoLoss):
    """Direct preference optimization of every LRM on pairs of answers."""

    method: Literal["dpo"]
    """Direct preference optimization"""


ALIGNMENT = Dpo


def sections(run: Run, experiment: Experiment) -> dict[str, Any]:
    return preference_method.sections(run, experiment, DpoLoss)


def arguments(run: Run, experiment: Experiment) -> list[str]:
    return preference_method.arguments(run, experiment, "dpo", DpoLoss)


def count_passes(run: Run, epochs: float) -> float:
    # Two answers of each record are trained on, after the reference has read them: forward is a
    # quarter of a pass.
    return 2 * epochs + 0.5


def estimate_memory(shape: Shape, recipe: Recipe, runtime: Runtime, world: int) -> dict[str, float]:
    from workflow.scripts.models import memory

    return memory.estimate_memory(shape, recipe, runtime, world, sequences=2)
