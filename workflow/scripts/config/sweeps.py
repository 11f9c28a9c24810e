"""Sweeps: an alignment with lists of values becomes one alignment for each of their combinations.

`merge: {method: merge, alignment: safechain, sweep: {alpha: [0.25, 0.5]}}` becomes
`merge-alpha0.25` and `merge-alpha0.5`, and a selection with `halving` becomes one among promoted
models, which are alignments, too. It happens before the experiment is checked, so that all
else knows plain entries only; `Sweeps.name_place` names the places of the file in errors.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard

from workflow.scripts.common.errors import InputError

RECIPE = "recipe."  # opens a key of the alignment's recipe, such as recipe.learning_rate
NOT_OF_RUNGS = ("method", "among", "evaluate", "title")  # of a selection with rungs
WORD = re.compile(r"[A-Za-z0-9._-]+")


class Choice(NamedTuple):
    """A key of a sweep, one of its values, and what the two are called."""

    key: str
    value: Any
    word: str


@dataclass
class Sweeps:
    """An experiment whose sweeps are written out.

    Attributes:
        value: The experiment, as read from its file but for the sweeps.
        places: Place of an entry, or of a value in it, to what it is called in the file.
    """

    value: Any
    places: dict[str, str] = field(default_factory=dict)

    def name_place(self, error: str) -> str:
        """Return the text of an error with the places that the file knows."""
        for place in sorted(self.places, key=len, reverse=True):
            error = re.sub(rf"{re.escape(place)}(?![\w-]|\.\d)", self.places[place], error)
        return error


def expand_sweeps(value: Any, where: str) -> Sweeps:
    """Return an experiment in which each sweep is the alignments that it stands for.

    What is no sweep (no mapping of keys to lists) is left to the check of the experiment.

    Args:
        value: The experiment as read from its file.
        where: What errors call it.

    Raises:
        InputError: One line: a key is not there, or a name is given twice.
    """
    entries, known = (value.get(key) if _is(value) else None for key in ("alignments", "recipes"))
    if not (_is(entries) and _is(known)):
        return Sweeps(value)
    if not any(_is_sweep(one) or _is_halving(one) for one in entries.values()):
        return Sweeps(value)
    alignments: dict[str, Any] = {}
    recipes = dict(known)
    found = Sweeps({**value, "alignments": alignments, "recipes": recipes})
    names: dict[str, list[str]] = {}
    try:
        for name, entry in entries.items():
            if not _is_sweep(entry):
                _add("alignments", alignments, name, copy.deepcopy(entry))
                continue
            for choices in _combinations(entry["sweep"]):
                called = "-".join([name, *(one.word for one in choices)])
                made = _make(name, entry, choices, recipes, found.places)
                _add("alignments", alignments, called, made)
                names.setdefault(name, []).append(called)
                _note(found.places, f"alignments.{called}", f"alignments.{name}", choices)
        for entry in alignments.values():  # a selection among a sweep is one among all of it
            if _is(entry) and isinstance(entry.get("among"), list):
                chosen = [names.get(str(one), [one]) for one in entry["among"]]
                entry["among"] = [one for some in chosen for one in some]
        for name, entry in list(alignments.items()):
            if _is_halving(entry):
                _halve(name, entry, alignments, found.places)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    return found


def _is(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_sweep(entry: Any) -> bool:
    """Tell whether an entry has a sweep that can be written out."""
    lists = entry.get("sweep") if _is(entry) else None
    return _is(lists) and all(one and isinstance(one, list) for one in lists.values() or [None])


def _is_halving(entry: Any) -> TypeGuard[dict[str, Any]]:
    """Tell whether an entry is a selection with rungs that can be written out."""
    rungs, among = (entry.get(key) if _is(entry) else None for key in ("halving", "among"))
    numbers = isinstance(rungs, list) and rungs and all(type(one) is int for one in rungs)
    return bool(numbers and isinstance(among, list) and among)


def _halve(
    name: str, entry: dict[str, Any], alignments: dict[str, Any], places: dict[str, str]
) -> None:
    """Write out a selection's rungs: in each, the better half is promoted to more epochs."""
    rungs, key = entry.pop("halving"), f"alignments.{name}.halving"
    if rungs[0] < 1 or any(one >= other for one, other in itertools.pairwise(rungs)):
        raise ValueError(f"{key} is {rungs}, expected growing numbers of epochs")
    shared = {one: entry[one] for one in entry if one not in NOT_OF_RUNGS}
    for epochs in rungs:
        among = entry["among"]
        if len(among) < 2:
            raise ValueError(f"{key} is {rungs}, but a single model is left before {epochs}")
        entry["among"] = [
            f"{name}-epochs{epochs}-rank{rank}" for rank in range(1, (len(among) + 1) // 2 + 1)
        ]
        for rank, called in enumerate(entry["among"], 1):
            own = {"method": "promote", "among": among, "rank": rank, "epochs": epochs}
            _add("alignments", alignments, called, copy.deepcopy({**shared, **own}))
            alignments[called]["evaluate"] = False
            places[f"alignments.{called}"] = key


def _combinations(lists: dict[str, list[Any]]) -> Iterator[tuple[Choice, ...]]:
    """Yield each choice of one value from every list; the last key changes fastest."""
    named = [
        [Choice(key, value, _word(key, value, place)) for place, value in enumerate(values, 1)]
        for key, values in lists.items()
    ]
    return itertools.product(*named)


def _word(key: str, value: Any, place: int) -> str:
    """Return what a run is called after a value: `alpha0.5`, `safechain`, `target_modules2`."""
    last = key.rpartition(".")[2]
    if isinstance(value, bool):
        return f"{last}{value}".lower()
    if isinstance(value, int | float):
        return f"{last}{value!r}".replace("+", "")
    if isinstance(value, str) and WORD.fullmatch(value):
        return value
    return f"{last}{place}"


def _in_words(choice: Choice) -> str:
    """Return what a title says of a value: `alpha 0.5`, `learning rate 5e-05`, `safechain`."""
    key, value, word = choice
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{key.rpartition('.')[2].replace('_', ' ')} {value!r}"
    return word


def _make(
    name: str,
    entry: dict[str, Any],
    choices: tuple[Choice, ...],
    recipes: dict[str, Any],
    places: dict[str, str],
) -> dict[str, Any]:
    """Return the alignment of one combination; its recipe is added to `recipes`."""
    made = copy.deepcopy({key: value for key, value in entry.items() if key != "sweep"})
    of_recipe = tuple(one for one in choices if one.key.startswith(RECIPE))
    for key, value, _ in (one for one in choices if one not in of_recipe):
        _put(made, key, value, f"alignments.{name}.sweep.{key}")
    if isinstance(made.get("title"), str):
        made["title"] = ", ".join([made["title"], *map(_in_words, choices)])
    if of_recipe:
        base = made.get("recipe")
        if base not in recipes:
            raise ValueError(f"alignments.{name}.sweep.{of_recipe[0].key}: recipe is {base!r}")
        recipe = copy.deepcopy(recipes[base])
        for key, value, _ in of_recipe:
            _put(recipe, key.removeprefix(RECIPE), value, f"alignments.{name}.sweep.{key}")
        called = "-".join([base, *(one.word for one in of_recipe)])
        if recipes.get(called) != recipe:
            _add("recipes", recipes, called, recipe)
        made["recipe"] = called
        sweep = f"alignments.{name}.sweep"
        places.setdefault(f"recipes.{called}", f"{sweep}: recipes.{base}")
        for key, _, _ in of_recipe:
            places.setdefault(f"recipes.{called}.{key.removeprefix(RECIPE)}", f"{sweep}.{key}")
    return made


def _put(section: Any, key: str, value: Any, place: str) -> None:
    """Set a value at a dotted key; a number chooses from a list."""
    *path, last = key.split(".")
    for part in path:
        section = _below(section, part, place)
    if isinstance(section, list):
        _below(section, last, place)
        section[int(last)] = value
    elif isinstance(section, dict):
        section[last] = value
    else:
        raise ValueError(f"{place}: there is nothing to set {last} in")


def _below(section: Any, part: str, place: str) -> Any:
    try:
        return section[int(part) if isinstance(section, list) else part]
    except (KeyError, IndexError, TypeError, ValueError):
        raise ValueError(f"{place}: there is no {part} here") from None


def _add(section: str, entries: dict[str, Any], name: str, entry: Any) -> None:
    if name in entries:
        raise ValueError(f"{section}.{name} is given twice, at least once by a sweep")
    entries[name] = entry


def _note(places: dict[str, str], made: str, name: str, choices: tuple[Choice, ...]) -> None:
    """Note what a place of a made alignment is called in the file."""
    places[made] = name
    for key, _, _ in choices:
        places[f"{made}.{key}"] = f"{name}.sweep.{key}"
