"""Promotion: one of the best of several trainings by a rule, trained again for more epochs.

A rung of successive halving (Jamieson & Talwalkar 2016, arXiv 1502.07943). A rank is a place that
one of the candidates will take, so that all jobs are known before any has run. A candidate that is
dropped has no job in the next rung.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from workflow.scripts.common.io import canonical_json
from workflow.scripts.config.mixtures import named
from workflow.scripts.config.section import Positive
from workflow.scripts.models.alignment import Variant, of_epochs
from workflow.scripts.models.methods import select, sft

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment
    from workflow.scripts.graph.runs import Run

SCRIPT = "models.promote_model"
TRAINS = True
estimate_memory = sft.estimate_memory


class Promote(select.Choice):
    """One of the best trainings by their scores on development benchmarks, with more epochs."""

    method: Literal["promote"]
    """Trained again from the LRM with the settings of the model of that rank"""
    rank: Positive
    """1 is the best"""
    epochs: Positive
    """In place of those of its recipe"""

    def check(self, key: str, experiment: Experiment) -> None:
        super().check(key, experiment)
        runs = sum(len(_retrained(experiment.alignments[name])) or 1 for name in self.among)
        if self.rank > runs:
            raise ValueError(f"{key}.rank is {self.rank}, but among has {runs} models")
        for place, name in enumerate(self.among):
            found = experiment.alignments[name]
            if isinstance(found, Promote):
                self._check_epochs(key, name, found.epochs)
                continue
            if not isinstance(found, sft.Sft) or found.after:
                raise ValueError(
                    f"{key}.among.{place}: {name!r} cannot be trained for more epochs, expected "
                    "method sft without after"
                )
            if experiment.recipes[found.recipe].gate:
                raise ValueError(f"{key}.among.{place}: the recipe of {name!r} has a gate")
            trained = _retrained(found) or (experiment.recipes[found.recipe].epochs,)
            self._check_epochs(key, name, max(trained))

    def _check_epochs(self, key: str, name: str, trained: int) -> None:
        if trained >= self.epochs:
            raise ValueError(
                f"{key}.epochs is {self.epochs}, expected more than the {trained} of {name!r}"
            )


def _retrained(alignment: Any) -> tuple[int, ...]:
    """Return the epochs of an alignment that has a training for each of them."""
    alone = getattr(alignment, "per_epoch", None) == "retrain"
    return tuple(alignment.epochs or ()) if alone else ()


ALIGNMENT = Promote


def list_variants(alignment: Promote, experiment: Experiment) -> list[Variant]:
    """Return the run; resources and plan take it for the first candidate's."""
    _, first = next(_origins(alignment, experiment))
    return [
        Variant(
            (f"epoch{alignment.epochs}",),
            recipe=of_epochs(experiment.recipes[first.recipe], alignment.epochs),
            data=named(first.data),
            others=select.list_candidates(alignment, experiment),
        )
    ]


def inputs(run: Run, experiment: Experiment) -> dict[str, tuple[str, ...]]:
    sets = [one.data for one in _trainings(run, experiment).values()]
    return {
        "parent": ("run", str(run.parent)),
        "data": ("data", *dict.fromkeys(map(str, sets))),
        **select.inputs(run, experiment),
    }


def sections(run: Run, experiment: Experiment) -> dict[str, Any]:
    trainings = _trainings(run, experiment).items()
    return {
        **select.sections(run, experiment),
        "rank": run.entry(Promote).rank,
        "trainings": {name: sft.sections(one, experiment) for name, one in trainings},
    }


def arguments(run: Run, experiment: Experiment) -> list[str]:
    sets = inputs(run, experiment)["data"][1:]
    settings = {
        name: {"set": sets.index(str(one.data)), "arguments": sft.arguments(one, experiment)}
        for name, one in _trainings(run, experiment).items()
    }
    rank = ("--rank", str(run.entry(Promote).rank))
    return [*select.arguments(run, experiment), *rank, "--settings", canonical_json(settings)]


def _origins(alignment: Promote, experiment: Experiment) -> Iterator[tuple[str, sft.Sft]]:
    """Yield the alignments whose settings a promoted model may have, by name."""
    for name in alignment.among:
        found = experiment.alignments[name]
        if isinstance(found, Promote):
            yield from _origins(found, experiment)
        elif isinstance(found, sft.Sft):
            yield name, found


def _trainings(run: Run, experiment: Experiment) -> dict[str, Run]:
    """Return the run as it would be with the settings of each candidate."""
    found, entry = {}, run.entry(Promote)
    for name, section in dict(_origins(entry, experiment)).items():
        other = section.chat_format != run.chat_format
        found[name] = replace(
            run,
            section=section,
            recipe=of_epochs(experiment.recipes[section.recipe], entry.epochs),
            data=named(section.data),
            write_as=section.chat_format if other else None,
        )
    return found
