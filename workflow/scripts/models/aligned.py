"""Models that are made from aligned ones: which trainings they take, and which weights of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workflow.scripts.config.section import expect_entry
from workflow.scripts.models.alignment import TrainedAlignment, expect_applied

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment


def expect_training(
    place: str, name: str, key: str, lrms: Sequence[str] | None, experiment: Experiment
) -> TrainedAlignment:
    """Return an alignment that trains models of these LRMs, with whole weights.

    Args:
        place: The key that names it.
        name: Of the alignment.
        key: The entry that asks for its models.
        lrms: Those that the entry is applied to; None for all.
        experiment: The experiment.

    Raises:
        ValueError: In one line: there is no such alignment, it leaves out one of the LRMs, or it
            keeps adapters.
    """
    expect_entry(place, name, "alignments", experiment.alignments)
    found = experiment.alignments[name]
    if not isinstance(found, TrainedAlignment):
        raise ValueError(f"{place}: {name!r} is a {found.method}, expected a training")
    expect_applied(place, name, key, lrms, experiment)
    return found


def find_run(name: str, epoch: int | None, experiment: Experiment) -> tuple[str, int | None]:
    """Return the run of an alignment that has the weights of an epoch, see `Variant.others`."""
    other = experiment.alignments[name]
    if not isinstance(other, TrainedAlignment) or other.per_epoch != "retrain":
        return name, None
    return name, epoch or max(other.epochs or (experiment.recipes[other.recipe].epochs,))


def checkpoint_of(epoch: int | None) -> str:
    """Return the name of a checkpoint as scripts take it."""
    return "final" if epoch is None else f"epoch{epoch}"
