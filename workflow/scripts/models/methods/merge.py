"""Merging: the weights between an LRM and one of its aligned models, on a straight line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from workflow.scripts.config.section import Positive, Share, expect_entry
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
        expect_entry(f"{key}.alignment", self.alignment, "alignments", experiment.alignments)
        other = experiment.alignments[self.alignment]
        if not other.makes_model:
            raise ValueError(
                f"{key}.alignment: {self.alignment!r} trains no model, expected one that does"
            )
        if isinstance(other, Merge):
            raise ValueError(f"{key}.alignment: {self.alignment!r} is a merge, expected a training")
        if self.epoch is not None:
            other.check_epoch(f"{key}.epoch", self.epoch, experiment)
        aligned = other.lrms or tuple(experiment.lrms)
        for lrm in self.lrms or experiment.lrms:
            if lrm not in aligned:
                raise ValueError(
                    f"{key}.lrms: {self.alignment} does not align {lrm!r}, expected some of "
                    f"{', '.join(aligned)}"
                )


ALIGNMENT = Merge


def list_variants(alignment: dict[str, Any], experiment: dict[str, Any]) -> list[Variant]:
    name, epoch = alignment["alignment"], alignment.get("epoch")
    other = experiment["alignments"][name]
    if other.get("per_epoch") != "retrain":
        return [Variant(others={"other": (name, None)})]
    last = max(other.get("epochs", [experiment["recipes"][other["recipe"]]["epochs"]]))
    return [Variant(others={"other": (name, epoch or last)})]


def inputs(run: Run, experiment: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {"parent": ("run", str(run.parent)), "other": ("run", run.others["other"])}


def sections(run: Run, experiment: dict[str, Any]) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        key: run.section[key] for key in ("alpha", "epoch") if key in run.section
    }
    return {**chosen, "chat_format": run.chat_format, "seed": run.seed}


def arguments(run: Run, experiment: dict[str, Any]) -> list[str]:
    epoch = run.section.get("epoch")
    checkpoint = ["--other-checkpoint", f"epoch{epoch}"] if epoch else []
    return ["--alpha", str(run.section["alpha"]), *checkpoint]


def estimate_memory(shape: Shape, recipe: Recipe, runtime: Runtime, world: int) -> dict[str, float]:
    return {"total": 0.0}  # it takes no GPU
