"""The sets of mixtures, as a report's experiment has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def list_sets(experiment: Mapping[str, Any], name: str) -> list[str]:
    """Return the sets of an entry of data: those of a mixture, else itself."""
    entry = experiment.get("data", {}).get(name, {})
    return [part["set"] for part in entry["mix"]] if "mix" in entry else [name]


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
