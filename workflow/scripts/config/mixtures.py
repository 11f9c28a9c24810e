"""Mixtures of training sets: their checks over several sections, and their names.

A stage's `data` may be a list of sets. When an experiment is loaded, each such list becomes an
entry of `data` like the mixtures that have a name there, so that all else knows names only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from workflow.scripts.common.io import sha256_text
from workflow.scripts.config.dataset import Dataset
from workflow.scripts.config.section import expect_entry
from workflow.scripts.config.source import Mix, Part

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment

LONGEST = 150  # characters of a mixture's name: it becomes a part of a folder's


def check_data(key: str, data: str | Mix, experiment: Experiment) -> None:
    """Check what a stage is trained on; `key` is its place.

    Raises:
        ValueError: In one line.
    """
    if isinstance(data, str):
        expect_entry(key, data, "data", experiment.data)
    else:
        check_mix(key, data, experiment.data)


def check_mix(key: str, mix: Mix, data: Mapping[str, Dataset]) -> None:
    """Check the sets of a mixture; errors as for `check_data`."""
    sets = {name: one for name, one in data.items() if one.mix is None}
    names = [part if isinstance(part, str) else part.set for part in mix]
    for place, name in enumerate(names):
        expect_entry(f"{key}.{place}", name, "data (mixtures apart)", sets)
        if name in names[:place]:
            raise ValueError(f"{key}.{place}: {name!r} stands twice, expected each set once")
        if sets[name].render != sets[names[0]].render:
            raise ValueError(
                f"{key}.{place}: {name!r} has another render than {names[0]!r}, expected one for "
                "all sets of a mixture"
            )
    if isinstance(mix[0], Part) and mix[0].ratio is not None:
        raise ValueError(
            f"{key}.0 has ratio, expected n or nothing: ratios are those to the first set"
        )


def expand_mixtures(experiment: Experiment) -> Experiment:
    """Return a checked experiment in which the data of every stage is a name.

    A list of one whole set is that set. Mixtures get the render of their sets.
    """
    data, stages = dict(experiment.data), {}
    for section in ("lrms", "alignments"):
        stages[section] = dict(getattr(experiment, section))
        for name, entry in stages[section].items():
            if isinstance(given := getattr(entry, "data", None), tuple):
                mix = tuple(map(_part, given))
                stages[section][name] = entry.model_copy(update={"data": _name(mix)})
                data.setdefault(_name(mix), Dataset.model_construct(mix=mix))
    for name, dataset in data.items():
        if parts := parts_of(dataset):
            whole = {"mix": parts, "render": data[parts[0].set].render}
            data[name] = dataset.model_copy(update=whole)
    return experiment.model_copy(update={"data": data, **stages})


def named(data: str | Mix | None) -> str:
    """Return the name of a stage's data, of an experiment in which all have one."""
    assert isinstance(data, str)
    return data


def parts_of(dataset: Dataset) -> tuple[Part, ...]:
    """Return the parts of a mixture; none of another set."""
    return tuple(map(_part, dataset.mix or ()))


def list_sets(experiment: Experiment, name: str) -> list[str]:
    """Return the sets of an entry of data: those of a mixture, else itself."""
    return [part.set for part in parts_of(experiment.data[name])] or [name]


def list_plain_sets(experiment: Experiment) -> list[str]:
    """Return the entries of data that hold texts of their own.

    Mixtures have those of their sets, and sets that LRMs write the prompts of another.
    """
    entries = experiment.data.items()
    return [name for name, one in entries if one.mix is None and one.sampled is None]


def _name(mix: tuple[Part, ...]) -> str:
    """Return the name of a list of sets; a name of data cannot hold `+` or `@`."""
    name = "+".join(map(_words, mix))
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}@{sha256_text(name)[:8]}"


def _words(part: Part) -> str:
    if part.n is not None:
        return f"{part.set}@{part.n}"
    if part.ratio is not None:
        return f"{part.set}@x{part.ratio!r}".removesuffix(".0")
    return part.set


def _part(part: str | Part) -> Part:
    return Part(set=part) if isinstance(part, str) else part
