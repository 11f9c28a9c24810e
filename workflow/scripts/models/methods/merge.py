"""Merging: the weights between an LRM and one of its aligned models, on a straight line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from workflow.scripts.config.section import Positive, Share
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


class Merge(Alignment):
    """The weights of another alignment's model, merged with those of its LRM."""

    method: Literal["merge"]
    """Linear interpolation"""
    alignment: str
    """An entry of alignments: whose models are merged with their LRMs"""
    epoch: Positive | None = None
    """Its weights after this epoch; default, the last"""
    alpha: Share
    """Weight of the aligned model: 0 gives the LRM, 1 the aligned model"""

    def check(self, key: str, experiment: Experiment) -> None:
        super().check(key, experiment)
        place = f"{key}.alignment"
        other = expect_training(place, self.alignment, key, self.lrms, experiment)
        if self.epoch is not None:
            other.check_epoch(f"{key}.epoch", self.epoch, experiment)

    def made_from(self) -> tuple[str, ...]:
        return (self.alignment,)


ALIGNMENT = Merge


def list_variants(alignment: Merge, experiment: Experiment) -> list[Variant]:
    found = find_run(alignment.alignment, alignment.epoch, experiment)
    return [Variant(others={"other": found})]


def inputs(run: Run, experiment: Experiment) -> dict[str, tuple[str, ...]]:
    return {"parent": ("run", str(run.parent)), "other": ("run", run.others["other"])}


def sections(run: Run, experiment: Experiment) -> dict[str, Any]:
    chosen = run.entry(Merge).without_defaults(("alpha", "epoch"))
    return {**chosen, "chat_format": run.chat_format, "seed": run.seed}


def arguments(run: Run, experiment: Experiment) -> list[str]:
    entry = run.entry(Merge)
    return ["--alpha", str(entry.alpha), "--other-checkpoint", checkpoint_of(entry.epoch)]


def estimate_memory(shape: Shape, recipe: Recipe, runtime: Runtime, world: int) -> dict[str, float]:
    return {"total": 0.0}  # it takes no GPU
