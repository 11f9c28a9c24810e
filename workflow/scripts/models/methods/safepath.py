"""SafePath: the first tokens of the thinking about harmful prompts (arXiv 2505.14667)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from workflow.scripts.common.io import canonical_json
from workflow.scripts.config.section import expect_entry
from workflow.scripts.models.alignment import TrainedAlignment, list_trainings

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment
    from workflow.scripts.config.planning import Runtime
    from workflow.scripts.config.recipe import Recipe
    from workflow.scripts.graph.runs import Run
    from workflow.scripts.models.memory import Shape

SCRIPT = "models.train_sft"
TRAINS = True
PRIMER = "Let's think about safety first."
list_variants = list_trainings


class SafePath(TrainedAlignment):
    """The LRM learns to begin its thinking about the prompts of `data` with a sentence; the loss is
    on that sentence alone. The thinking and the answers in `data` are not used."""

    method: Literal["safepath"]
    """SafePath"""
    primer: Annotated[str, Field(min_length=1)] = PRIMER
    """The sentence"""
    retain: str | None = None
    """An entry of data whose rows are learned whole beside them, such as reasoning"""

    def check(self, key: str, experiment: Experiment) -> None:
        super().check(key, experiment)
        if self.retain is not None:
            expect_entry(f"{key}.retain", self.retain, "data", experiment.data)


ALIGNMENT = SafePath


def inputs(run: Run, experiment: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    gate, retain = run.recipe.get("gate"), run.section.get("retain")
    return {
        "parent": ("run", str(run.parent)),
        "data": ("data", str(run.data)),
        **({"retain": ("data", retain)} if retain else {}),
        **({"probe": ("generated", gate["probe"])} if gate else {}),
    }


def sections(run: Run, experiment: dict[str, Any]) -> dict[str, Any]:
    keys: tuple[str, ...] = ("primer", "retain")
    chosen = {key: run.section[key] for key in keys if key in run.section}
    return {
        **chosen,
        "recipe": run.recipe,
        "render": _render(run, experiment),
        "data": run.data,
        "chat_format": run.chat_format,
        "seed": run.seed,
        **({"write_as": run.write_as} if run.write_as else {}),
    }


def arguments(run: Run, experiment: dict[str, Any]) -> list[str]:
    retain = run.section.get("retain")
    return [
        *("--recipe", canonical_json(run.recipe)),
        *("--primer", run.section.get("primer", PRIMER)),
        *("--data-name", str(run.data)),
        *(("--retain-name", retain) if retain else ()),
        *("--render", canonical_json(_render(run, experiment))),
        *(("--write-as", run.write_as) if run.write_as else ()),
    ]


def training_sets(run: Run) -> list[tuple[str, float | None]]:
    """See `method_registry.sets_of`."""
    retain = run.section.get("retain")
    words = len(run.section.get("primer", PRIMER).split())
    return [(str(run.data), words), *([(retain, None)] if retain else [])]


def estimate_memory(shape: Shape, recipe: Recipe, runtime: Runtime, world: int) -> dict[str, float]:
    from workflow.scripts.models import memory

    return memory.estimate_memory(shape, recipe, runtime, world)


def _render(run: Run, experiment: dict[str, Any]) -> dict[str, Any]:
    retain = run.section.get("retain")
    return experiment["data"][retain].get("render", {}) if retain else {}
