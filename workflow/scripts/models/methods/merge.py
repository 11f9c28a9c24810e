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


ALIGNMENT = Merge


def list_variants(alignment: dict[str, Any], experiment: dict[str, Any]) -> list[Variant]:
    found = find_run(alignment["alignment"], alignment.get("epoch"), experiment)
    return [Variant(others={"other": found})]


def inputs(run: Run, experiment: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {"parent": ("run", str(run.parent)), "other": ("run", run.others["other"])}


def sections(run: Run, experiment: dict[str, Any]) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        key: run.section[key] for key in ("alpha", "epoch") if key in run.section
    }
    return {**chosen, "chat_format": run.chat_format, "seed": run.seed}


def arguments(run: Run, experiment: dict[str, Any]) -> list[str]:
    checkpoint = checkpoint_of(run.section.get("epoch"))
    return ["--alpha", str(run.section["alpha"]), "--other-checkpoint", checkpoint]


def estimate_memory(shape: Shape, recipe: Recipe, runtime: Runtime, world: int) -> dict[str, float]:
    return {"total": 0.0}  # it takes no GPU
