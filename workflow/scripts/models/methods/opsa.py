"""On-policy self-distillation: the teacher is the model itself, asked with a safety context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from workflow.scripts.config.on_policy import OpsaSettings
from workflow.scripts.models import on_policy_method
from workflow.scripts.models.alignment import list_trainings
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
list_variants = list_trainings
inputs = on_policy_method.inputs


class Opsa(OnPolicyAlignment, OpsaSettings):
    """Self-distillation of every LRM from itself with a privileged safety context."""

    method: Literal["opsa"]
    """On-policy self-distillation"""


ALIGNMENT = Opsa


def sections(run: Run, experiment: Experiment) -> dict[str, Any]:
    return on_policy_method.sections(run, experiment, "opsa")


def arguments(run: Run, experiment: Experiment) -> list[str]:
    return on_policy_method.arguments(run, experiment, "opsa")


def count_passes(run: Run, epochs: float) -> float:
    # the teacher reads each turn, too: a quarter of a pass
    return epochs * (on_policy_method.GENERATION + 1.25)


def estimate_memory(shape: Shape, recipe: Recipe, runtime: Runtime, world: int) -> dict[str, float]:
    teacher = recipe.lora is None  # with adapters, the weights below them
    return on_policy_method.estimate_memory(shape, recipe, runtime, world, teacher)
