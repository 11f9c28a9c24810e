"""Supervised fine-tuning, of all weights or of adapters (recipe.lora): how LRMs are made, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from workflow.scripts.common.io import canonical_json
from workflow.scripts.models.alignment import TrainedAlignment, list_trainings

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment
    from workflow.scripts.config.planning import Runtime
    from workflow.scripts.config.recipe import Recipe
    from workflow.scripts.graph.runs import Run
    from workflow.scripts.models.memory import Shape

SCRIPT = "models.train_sft"
TRAINS = True
list_variants = list_trainings


class Sft(TrainedAlignment):
    """Supervised fine-tuning of every LRM on one data set."""

    method: Literal["sft"] = "sft"
    """Supervised fine-tuning"""


ALIGNMENT = Sft


def inputs(run: Run, experiment: Experiment) -> dict[str, tuple[str, str]]:
    return {
        "parent": ("run", str(run.parent)),
        "data": ("data", str(run.data)),
        **probe_of(run),
    }


def probe_of(run: Run) -> dict[str, tuple[str, str]]:
    """Return the probe problems as an input, where a skill gate asks them."""
    gate = run.training.gate
    return {"probe": ("generated", str(gate.probe))} if gate else {}


def sections(run: Run, experiment: Experiment) -> dict[str, Any]:
    return {
        "recipe": run.training.without_defaults(),
        "render": _render(run, experiment),
        "data": run.data,
        "chat_format": run.chat_format,
        "seed": run.seed,
        **({"write_as": run.write_as} if run.write_as else {}),
        **({"start": run.start} if run.start else {}),
    }


def arguments(run: Run, experiment: Experiment) -> list[str]:
    return [
        *("--recipe", canonical_json(run.training.without_defaults())),
        *("--render", canonical_json(_render(run, experiment))),
        *("--data-name", str(run.data)),
        *(("--write-as", run.write_as) if run.write_as else ()),
        *(("--checkpoint", run.start) if run.start else ()),
    ]


def estimate_memory(shape: Shape, recipe: Recipe, runtime: Runtime, world: int) -> dict[str, float]:
    from workflow.scripts.models import memory

    return memory.estimate_memory(shape, recipe, runtime, world)


def _render(run: Run, experiment: Experiment) -> dict[str, Any]:
    return experiment.data[str(run.data)].render.without_defaults()
