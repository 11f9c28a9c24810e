"""Mixtures of training sets: their checks over several sections, and their names.

A stage's `data` may be a list of sets. When an experiment is loaded, each such list becomes an
entry of `data` like the mixtures that have a name there, so that all else knows names only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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


def expand_mixtures(experiment: dict[str, Any]) -> dict[str, Any]:
    """Return a checked experiment in which the data of every stage is a name.

    A list of one whole set is that set. Mixtures get the render of their sets.
    """
    data = {name: dict(entry) for name, entry in experiment["data"].items()}
    stages: dict[str, dict[str, Any]] = {}
    for section in ("lrms", "alignments"):
        stages[section] = {name: dict(entry) for name, entry in experiment[section].items()}
        for entry in stages[section].values():
            if isinstance(entry.get("data"), list):
                entry["data"], mix = _named(entry["data"])
                data.setdefault(entry["data"], {"mix": mix})
    for entry in data.values():
        if "mix" in entry:
            entry["mix"] = list(map(_section, entry["mix"]))
            if render := data[entry["mix"][0]["set"]].get("render"):
                entry["render"] = render
    return {**experiment, "data": data, **stages}


def list_sets(experiment: Mapping[str, Any], name: str) -> list[str]:
    """Return the sets of an entry of data: those of a mixture, else itself."""
    entry = experiment.get("data", {}).get(name, {})
    return [part["set"] for part in entry["mix"]] if "mix" in entry else [name]


def list_plain_sets(experiment: Mapping[str, Any]) -> list[str]:
    """Return the entries of data that hold texts of their own.

    Mixtures have those of their sets, and sets that LRMs write the prompts of another.
    """
    entries = experiment["data"].items()
    return [name for name, entry in entries if "mix" not in entry and "sampled" not in entry]


def list_prompt_sets(experiment: Mapping[str, Any], name: str) -> list[str]:
    """Return the sets whose prompts an entry of data has: `list_sets`, as LRMs are asked them."""
    data = experiment.get("data", {})
    return [
        data.get(one, {}).get("sampled", {}).get("prompts", one)
        for one in list_sets(experiment, name)
    ]


def describe_mix(mix: list[dict[str, Any]]) -> str:
    """Return the sets of a mixture for people: `all of a, 500 of b, 0.5 of c for each of a`."""
    first = mix[0]["set"]
    return ", ".join(
        f"{part['ratio']:g} of {part['set']} for each of {first}"
        if "ratio" in part
        else f"{part.get('n', 'all')} of {part['set']}"
        for part in mix
    )


def _named(parts: list[Any]) -> tuple[str, list[dict[str, Any]]]:
    """Return the name of a list of sets, and the list; a name of data cannot hold `+` or `@`."""
    mix = list(map(_section, parts))
    name = "+".join(map(_words, mix))
    if len(name) > LONGEST:
        name = f"{name[: LONGEST - 9]}@{sha256_text(name)[:8]}"
    return name, mix


def _words(part: dict[str, Any]) -> str:
    if "n" in part:
        return f"{part['set']}@{part['n']}"
    if "ratio" in part:
        return f"{part['set']}@x{float(part['ratio'])!r}".removesuffix(".0")
    return str(part["set"])


def _section(part: Any) -> dict[str, Any]:
    return {"set": part} if isinstance(part, str) else part
