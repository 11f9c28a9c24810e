"""What the alignment methods share: the keys of their entries, and the runs they ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from workflow.scripts.config.chat_format import ChatFormatName
from workflow.scripts.config.section import Positive, Section, expect_entry

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment


@dataclass(frozen=True)
class Variant:
    """A run that an alignment asks for, of each LRM and seed.

    Attributes:
        checkpoints: The checkpoints to evaluate; none means the final one.
        epochs: A part of its name, where each number of epochs is a run of its own.
        recipe: Its training recipe; empty where nothing is trained.
        data: The training set's name; None where nothing is trained.
        others: Runs of other alignments that it is made from, by the name of the input: the
            alignment, and its `epochs`.
        prompting: What is written into its prompts, where it is its LRM's weights with that alone:
            then there is no model to make.
    """

    checkpoints: tuple[str, ...] = ()
    epochs: int | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    data: str | None = None
    others: Mapping[str, tuple[str, int | None]] = field(default_factory=dict)
    prompting: dict[str, Any] | None = None


class Alignment(Section):
    """A safety alignment of LRMs."""

    makes_model: ClassVar[bool] = True
    method: str
    """How models are aligned: a file of workflow/scripts/models/methods/"""
    lrms: tuple[str, ...] | None = None
    """The LRMs that it is applied to; default, all"""

    def check(self, key: str, experiment: Experiment) -> None:
        """Check what other sections have to say; `key` is the place of the entry.

        Raises:
            ValueError: In one line.
        """
        for lrm in self.lrms or ():
            expect_entry(f"{key}.lrms", lrm, "lrms", experiment.lrms)

    def check_epoch(self, key: str, epoch: int, experiment: Experiment) -> None:
        """Raise `ValueError` unless there are weights after an epoch."""
        raise ValueError(f"{key} is {epoch}, but nothing is trained there")


class TrainedAlignment(Alignment):
    """A safety alignment that trains every LRM on one data set."""

    data: str
    """An entry of data"""
    recipe: str
    """An entry of recipes"""
    chat_format: ChatFormatName | None = None
    """Format of the training text; default, the LRM's. The model is evaluated in the LRM's format
    either way. The publication trains DeepSeek this way"""
    epochs: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    """Epochs to evaluate; default, the last"""
    per_epoch: Literal["one_run", "retrain"]
    """One run with weights after each epoch, or a training run for each epoch count"""

    def check(self, key: str, experiment: Experiment) -> None:
        super().check(key, experiment)
        expect_entry(f"{key}.data", self.data, "data", experiment.data)
        expect_entry(f"{key}.recipe", self.recipe, "recipes", experiment.recipes)
        if self.per_epoch == "one_run" and self.epochs:
            recipe = experiment.recipes[self.recipe]
            if max(self.epochs) > recipe.epochs:
                raise ValueError(
                    f"{key}.epochs: epoch {max(self.epochs)} is past the recipe's {recipe.epochs}"
                )
            if recipe.checkpoints == "last" and set(self.epochs) != {recipe.epochs}:
                raise ValueError(
                    f"{key}.epochs is {list(self.epochs)}, but its recipe keeps the last "
                    "epoch's weights alone: set checkpoints: each_epoch, or per_epoch: retrain"
                )

    def check_epoch(self, key: str, epoch: int, experiment: Experiment) -> None:
        recipe = experiment.recipes[self.recipe]
        kept: Sequence[int] = range(1, recipe.epochs + 1)
        if self.per_epoch == "retrain":
            kept = self.epochs or (recipe.epochs,)
        elif recipe.checkpoints == "last":
            kept = (recipe.epochs,)
        if epoch not in kept:
            found = ", ".join(map(str, kept))
            raise ValueError(f"{key} is {epoch}, expected one of which weights are kept: {found}")


def list_trainings(alignment: dict[str, Any], experiment: dict[str, Any]) -> list[Variant]:
    """Return the training runs of an entry of a `TrainedAlignment`."""
    recipe = experiment["recipes"][alignment["recipe"]]
    epochs, data = alignment.get("epochs", [recipe["epochs"]]), alignment["data"]
    if alignment["per_epoch"] == "retrain":
        return [
            Variant((f"epoch{n}",), n, {**recipe, "epochs": n, "checkpoints": "last"}, data)
            for n in epochs
        ]
    return [Variant(tuple(f"epoch{n}" for n in epochs), recipe=recipe, data=data)]
