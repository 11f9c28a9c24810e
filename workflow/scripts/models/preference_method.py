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


def inputs(run: Run, experiment: Experiment) -> dict[str, tuple[str, ...]]:
    return {
        "parent": ("run", str(run.parent)),
        "data": ("data", str(run.data)),
        "rejected": ("data", run.entry(PreferenceAlignment).rejected),
    }


def loss_of(run: Run, loss: type[Section]) -> dict[str, Any]:
    """Return what a run's entry says of its loss, as JSON values."""
    return run.section.without_defaults(loss.model_fields)


def sections(run: Run, experiment: Experiment, loss: type[Section]) -> dict[str, Any]:
    """Return what can change a run but its inputs."""
    data, rejected = experiment.data, run.entry(PreferenceAlignment).rejected
    return {
        "loss": loss_of(run, loss),
        "recipe": run.training.without_defaults(),
        "render": data[str(run.data)].render.without_defaults(),
        "rejected_render": data[rejected].render.without_defaults(),
        "data": [run.data, rejected],
        "chat_format": run.chat_format,
        "seed": run.seed,
        **({"write_as": run.write_as} if run.write_as else {}),
    }


def arguments(run: Run, experiment: Experiment, method: str, loss: type[Section]) -> list[str]:
    """Return the script's arguments that are particular to the method."""
    told = sections(run, experiment, loss)
    return [
        *("--method", method, "--loss", canonical_json(told["loss"])),
        *("--recipe", canonical_json(told["recipe"])),
        *("--render", canonical_json(told["render"]), "--data-name", str(run.data)),
        *("--rejected-render", canonical_json(told["rejected_render"])),
        *("--rejected-name", told["data"][1]),
        *(("--write-as", run.write_as) if run.write_as else ()),
    ]
