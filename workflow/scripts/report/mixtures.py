"""The sets of mixtures, as a report's experiment has them."""

from __future__ import annotations

from collections.abc import Sequence

from workflow.scripts.report.experiment import Experiment, Part


def list_sets(experiment: Experiment, name: str) -> list[str]:
    """Return the sets of an entry of data: those of a mixture, else itself."""
    entry = experiment.get("data", {}).get(name, {})
    return [part["set"] for part in entry["mix"]] if "mix" in entry else [name]


def list_prompt_sets(experiment: Experiment, name: str) -> list[str]:
    """Return the sets whose prompts an entry of data has: `list_sets`, as LRMs are asked them."""
    found, data = [], experiment.get("data", {})
    for one in list_sets(experiment, name):
        entry = data.get(one, {})
        found.append(entry["sampled"]["prompts"] if "sampled" in entry else one)
    return found


def describe_mix(mix: Sequence[Part]) -> str:
    """Return the sets of a mixture for people: `all of a, 500 of b, 0.5 of c for each of a`."""
    first = mix[0]["set"]
    return ", ".join(
        f"{part['ratio']:g} of {part['set']} for each of {first}"
        if "ratio" in part
        else f"{part.get('n', 'all')} of {part['set']}"
        for part in mix
    )
