"""What the methods share in which the model answers while it is trained: grpo, distill, opsa."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import canonical_json
from workflow.scripts.config.on_policy import SETTINGS
from workflow.scripts.models.alignment import TrainedAlignment

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment
    from workflow.scripts.config.planning import Runtime
    from workflow.scripts.config.recipe import Recipe
    from workflow.scripts.graph.runs import Run
    from workflow.scripts.models.memory import Shape

SCRIPT = "models.train_on_policy"
MOST_GPUS = 1
# Passes of supervised fine-tuning that writing a turn takes, token by token; an assumption.
GENERATION = 10.0


class OnPolicyAlignment(TrainedAlignment):
    """Training of every LRM on its own turns; of `data` the prompts count alone."""

    def check(self, key: str, experiment: Experiment) -> None:
        super().check(key, experiment)
        self.check_recipe_of_trl(key, experiment)
        if self.chat_format is not None:
            raise ValueError(
                f"{key}.chat_format is {self.chat_format!r}, expected none: the model answers in "
                "its own"
            )


def settings_of(run: Run, method: str) -> dict[str, Any]:
    """Return what a run's entry says of its method, as JSON values."""
    return run.section.without_defaults(SETTINGS[method].model_fields)


def inputs(run: Run, experiment: Experiment) -> dict[str, tuple[str, str]]:
    return {"parent": ("run", str(run.parent)), "data": ("data", str(run.data))}


def sections(run: Run, experiment: Experiment, method: str) -> dict[str, Any]:
    """Return what can change a run but its inputs."""
    return {
        "settings": settings_of(run, method),
        "recipe": run.training.without_defaults(),
        "data": run.data,
        "chat_format": run.chat_format,
        "seed": run.seed,
    }


def arguments(run: Run, experiment: Experiment, method: str) -> list[str]:
    """Return the script's arguments that are particular to the method."""
    return [
        *("--method", method, "--settings", canonical_json(settings_of(run, method))),
        *("--recipe", canonical_json(run.training.without_defaults())),
        *("--data-name", str(run.data)),
    ]


def estimate_memory(
    shape: Shape, recipe: Recipe, runtime: Runtime, world: int, teacher: bool
) -> dict[str, float]:
    """Return the GiB that training takes, with those of a second model's weights.

    Raises:
        InputError: Several GPUs were asked for.
    """
    from workflow.scripts.models import memory

    if world > 1:
        raise InputError(
            f"the model answers while it is trained, on one GPU; found {world}, expected "
            "resources.safety_sft.gpu to be 1"
        )
    estimate = memory.estimate_memory(shape, recipe, runtime, world)
    stored = 2 if recipe.precision == "bf16_pure" else 4
    second = round(teacher * stored * shape.parameters / memory.GB, 2)
    sums = {name: round(estimate[name] + second, 2) for name in memory.SUMS}
    return {**estimate, **({"teacher": second} if teacher else {}), **sums}
