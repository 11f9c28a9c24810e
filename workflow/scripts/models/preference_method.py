"""What the methods that train on preferences share, see `methods/dpo.py` and `methods/kto.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow.scripts.common.io import canonical_json
from workflow.scripts.config.section import expect_entry
from workflow.scripts.models.alignment import TrainedAlignment

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment
    from workflow.scripts.config.section import Section
    from workflow.scripts.graph.runs import Run

SCRIPT = "models.train_preferences"


class PreferenceAlignment(TrainedAlignment):
    """Training of every LRM on chosen answers over rejected ones; `data` are the chosen ones."""

    rejected: str
    """An entry of data: worse answers to the same prompts; of a sampled one, what its judge did not
    pass, so that it may be the same entry as data. No mixture with sampled sets"""

    def check(self, key: str, experiment: Experiment) -> None:
        super().check(key, experiment)
        expect_entry(f"{key}.rejected", self.rejected, "data", experiment.data)
        worse = experiment.data[self.rejected]
        if self.rejected == self.data and not worse.sampled:
            raise ValueError(f"{key}.rejected is {self.data!r}, expected another entry than data")
        if worse.mix and (own := experiment.own_sets(self.rejected)):
            raise ValueError(
                f"{key}.rejected: {self.rejected!r} is a mixture with {own[0]!r}, which LRMs "
                "write; expected that set alone, or a mixture of given ones"
            )
        self.check_recipe_of_trl(key, experiment)


def inputs(run: Run, experiment: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {
        "parent": ("run", str(run.parent)),
        "data": ("data", str(run.data)),
        "rejected": ("data", run.section["rejected"]),
    }


def loss_of(run: Run, loss: type[Section]) -> dict[str, Any]:
    """Return what a run's entry says of its loss."""
    return {key: run.section[key] for key in loss.model_fields if key in run.section}


def sections(run: Run, experiment: dict[str, Any], loss: type[Section]) -> dict[str, Any]:
    """Return what can change a run but its inputs."""
    data = experiment["data"]
    return {
        "loss": loss_of(run, loss),
        "recipe": run.recipe,
        "render": data[run.data].get("render", {}),
        "rejected_render": data[run.section["rejected"]].get("render", {}),
        "data": [run.data, run.section["rejected"]],
        "chat_format": run.chat_format,
        "seed": run.seed,
        **({"write_as": run.write_as} if run.write_as else {}),
    }


def arguments(run: Run, experiment: dict[str, Any], method: str, loss: type[Section]) -> list[str]:
    """Return the script's arguments that are particular to the method."""
    told = sections(run, experiment, loss)
    return [
        *("--method", method, "--loss", canonical_json(told["loss"])),
        *("--recipe", canonical_json(run.recipe)),
        *("--render", canonical_json(told["render"]), "--data-name", str(run.data)),
        *("--rejected-render", canonical_json(told["rejected_render"])),
        *("--rejected-name", run.section["rejected"]),
        *(("--write-as", run.write_as) if run.write_as else ()),
    ]
