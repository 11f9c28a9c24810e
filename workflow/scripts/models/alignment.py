"""What the alignment methods share: the keys of their entries, and the runs they ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from workflow.scripts.config.chat_format import ChatFormatName
from workflow.scripts.config.mixtures import check_data, named
from workflow.scripts.config.section import Positive, Section, Title, expect_entry
from workflow.scripts.config.source import StageData

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment
    from workflow.scripts.config.prompting import Prompting
    from workflow.scripts.config.recipe import Recipe


Values = Annotated[tuple[Any, ...], Field(min_length=1)]
BASE = "base"  # what `after` calls the base of an LRM


@dataclass(frozen=True)
class Variant:
    """A run that an alignment asks for, of each LRM and seed.

    Attributes:
        checkpoints: The checkpoints to evaluate; none means the final one.
        epochs: A part of its name, where each number of epochs is a run of its own.
        recipe: Its training recipe; None where nothing is trained.
        data: The training set's name; None where nothing is trained.
        others: Runs of other alignments that it is made from, by a name of the method's own: the
            alignment, and its `epochs`.
        prompting: What is written into its prompts, where it is its LRM's weights with that alone:
            then there is no model to make.
    """

    checkpoints: tuple[str, ...] = ()
    epochs: int | None = None
    recipe: Recipe | None = None
    data: str | None = None
    others: Mapping[str, tuple[str, int | None]] = field(default_factory=dict)
    prompting: Prompting | None = None


class Alignment(Section):
    """A safety alignment of LRMs."""

    makes_model: ClassVar[bool] = True
    method: str
    """How models are aligned: a file of workflow/scripts/models/methods/"""
    lrms: tuple[str, ...] | None = None
    """The LRMs that it is applied to; default, all"""
    evaluate: bool = True
    """False: not measured on the test benchmarks, as a step on the way or a candidate"""
    sweep: Annotated[dict[str, Values], Field(min_length=1)] | None = None
    """Key to values, such as `alpha: [0.25, 0.5]`: an alignment for each combination, with the
    values in its name. `recipe.KEY` is a key of its recipe"""
    title: Title | None = None
    """What the report calls it; default, its name"""

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

    def made_from(self) -> tuple[str, ...]:
        """Return the other alignments whose models it takes."""
        return ()


def expect_model(place: str, name: str, experiment: Experiment) -> Alignment:
    """Return an alignment that makes models with whole weights; `place` is the key that names it.

    Raises:
        ValueError: In one line.
    """
    expect_entry(place, name, "alignments", experiment.alignments)
    found = experiment.alignments[name]
    if not found.makes_model:
        raise ValueError(f"{place}: {name!r} is a {found.method}, which makes no model")
    if isinstance(found, TrainedAlignment) and experiment.recipes[found.recipe].keeps_adapters:
        raise ValueError(
            f"{place}: {name!r} keeps its adapters apart, expected lora.merge true in "
            f"recipes.{found.recipe}"
        )
    return found


def expect_applied(
    place: str, name: str, key: str, lrms: Sequence[str] | None, experiment: Experiment
) -> None:
    """Raise `ValueError` unless there is such an alignment of these LRMs, with whole weights.

    Args:
        place: The key that names it.
        name: Of the alignment.
        key: The entry that asks for its models.
        lrms: Those that the entry is applied to; None for all.
        experiment: The experiment.
    """
    aligned = expect_model(place, name, experiment).lrms or tuple(experiment.lrms)
    for lrm in lrms or experiment.lrms:
        if lrm not in aligned:
            raise ValueError(
                f"{key}.lrms: {name} does not align {lrm!r}, expected some of {', '.join(aligned)}"
            )


def check_order(alignments: Mapping[str, Alignment]) -> None:
    """Raise `ValueError` where an alignment is made from itself."""

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " from ".join((*path[path.index(name) :], name))
            raise ValueError(f"alignments.{name} is made from itself: {circle}")
        for other in alignments[name].made_from():
            visit(other, (*path, name))

    for name in alignments:
        visit(name, ())


class TrainedAlignment(Alignment):
    """A safety alignment that trains every LRM on one data set."""

    data: StageData
    """An entry of data, or sets as in data.NAME.mix"""
    recipe: str
    """An entry of recipes"""
    after: str | None = None
    """What is trained in place of the LRM: the last weights of another entry of alignments, or
    `base` for those of the LRM's base"""
    chat_format: ChatFormatName | None = None
    """Format of the training text; default, the LRM's. The model is evaluated in the LRM's format
    either way. The publication trains DeepSeek this way"""
    epochs: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    """Epochs to evaluate; default, the last"""
    per_epoch: Literal["one_run", "retrain"]
    """One run with weights after each epoch, or a training run for each epoch count"""

    def check(self, key: str, experiment: Experiment) -> None:
        super().check(key, experiment)
        check_data(f"{key}.data", self.data, experiment)
        expect_entry(f"{key}.recipe", self.recipe, "recipes", experiment.recipes)
        self._check_after(key, experiment)
        for lrm in self.lrms or experiment.lrms:
            experiment.check_layers(lrm, self.recipe)
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

    def _check_after(self, key: str, experiment: Experiment) -> None:
        if self.after == BASE:
            if BASE in experiment.alignments:
                raise ValueError(
                    f"{key}.after is {BASE!r}, the LRM's base: expected no alignment of that name"
                )
            for lrm in self.lrms or experiment.lrms:
                if experiment.lrms[lrm].base is None:
                    raise ValueError(f"{key}.after is {BASE!r}, but lrms.{lrm} names no base")
        elif self.after is not None:
            expect_applied(f"{key}.after", self.after, key, self.lrms, experiment)

    def check_recipe_of_trl(self, key: str, experiment: Experiment) -> None:
        """Refuse what TRL's trainers other than `SFTTrainer` cannot do, or would undo.

        They compare the model with itself, which dropout would disturb, and pad their batches.
        """
        recipe = experiment.recipes[self.recipe]
        for name, given, expected in (
            ("gate", recipe.gate, "none"),
            ("padding_free", recipe.padding_free, "false"),
            ("lora.dropout", recipe.lora and recipe.lora.dropout, "0"),
        ):
            if given:
                raise ValueError(
                    f"{key}.recipe: {self.recipe} has {name}, expected {expected} for {self.method}"
                )

    def made_from(self) -> tuple[str, ...]:
        return (self.after,) if self.after not in (None, BASE) else ()

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


def list_trainings(alignment: TrainedAlignment, experiment: Experiment) -> list[Variant]:
    """Return the training runs of an entry of `alignments`."""
    recipe, data = experiment.recipes[alignment.recipe], named(alignment.data)
    epochs = alignment.epochs or (recipe.epochs,)
    if alignment.per_epoch == "retrain":
        return [Variant((f"epoch{n}",), n, of_epochs(recipe, n), data) for n in epochs]
    return [Variant(tuple(f"epoch{n}" for n in epochs), recipe=recipe, data=data)]


def of_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """Return a recipe with so many epochs, of which the last one's weights are kept."""
    return recipe.model_copy(update={"epochs": epochs, "checkpoints": "last"})
