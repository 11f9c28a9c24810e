"""SafePath: the first tokens of the thinking about harmful prompts (arXiv 2505.14667)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from workflow.scripts.common.io import canonical_json
from workflow.scripts.config.section import expect_entry
from workflow.scripts.models.alignment import TrainedAlignment, list_trainings
from workflow.scripts.models.methods import sft

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


def inputs(run: Run, experiment: Experiment) -> dict[str, tuple[str, ...]]:
    retain = run.entry(SafePath).retain
    return {**sft.inputs(run, experiment), **({"retain": ("data", retain)} if retain else {})}


def sections(run: Run, experiment: Experiment) -> dict[str, Any]:
    return {
        **run.entry(SafePath).without_defaults(("primer", "retain")),
        "recipe": run.training.without_defaults(),
        "render": _render(run, experiment),
        "data": run.data,
        "chat_format": run.chat_format,
        "seed": run.seed,
        **({"write_as": run.write_as} if run.write_as else {}),
    }


def arguments(run: Run, experiment: Experiment) -> list[str]:
    entry = run.entry(SafePath)
    return [
        *("--recipe", canonical_json(run.training.without_defaults())),
        *("--primer", entry.primer),
        *("--data-name", str(run.data)),
        *(("--retain-name", entry.retain) if entry.retain else ()),
        *("--render", canonical_json(_render(run, experiment))),
        *(("--write-as", run.write_as) if run.write_as else ()),
    ]


def training_sets(run: Run) -> list[tuple[str, float | None]]:
    """See `method_registry.sets_of`."""
    entry = run.entry(SafePath)
    words = len(entry.primer.split())
    return [(str(run.data), words), *([(entry.retain, None)] if entry.retain else [])]


def estimate_memory(shape: Shape, recipe: Recipe, runtime: Runtime, world: int) -> dict[str, float]:
    from workflow.scripts.models import memory

    return memory.estimate_memory(shape, recipe, runtime, world)


def _render(run: Run, experiment: Experiment) -> dict[str, Any]:
    retain = run.entry(SafePath).retain
    return experiment.data[retain].render.without_defaults() if retain else {}
