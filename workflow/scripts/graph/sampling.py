"""Training sets that LRMs write themselves, as the graph sees them.

Such a set is one result for each LRM and seed that is aligned with it: the LRM is asked the set's
prompts, as if they were a benchmark, a scorer judges, and what passes is the set. A mixture with
such a set is one result for each LRM and seed, too.
"""

from __future__ import annotations

from typing import Any

from workflow.scripts.config.mixtures import list_sets
from workflow.scripts.config.record_filter import Filter

SOURCES = ("generated", "prepare", "reasoning_gym")


def list_sampled(experiment: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the sections `sampled` of an experiment's training sets, by name."""
    entries = experiment["data"].items()
    return {name: entry["sampled"] for name, entry in entries if "sampled" in entry}


def list_asked(experiment: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return all that models are asked, by name: benchmarks, and prompts of sampled sets as such.

    A sampled set's prompts have the source of the set that they are from.
    """
    asked = dict(experiment["benchmarks"])
    for name, sampled in list_sampled(experiment).items():
        source = experiment["data"][sampled["prompts"]]
        asked[name] = {
            **{key: source[key] for key in SOURCES if key in source},
            "kind": sampled.get("kind", "harmful"),
            **{key: sampled[key] for key in ("n", "ask", "engine") if key in sampled},
            **({"repeats": sampled["samples"]} if "samples" in sampled else {}),
            "decoding": sampled["decoding"],
            "scorers": [sampled["judge"]],
        }
    return asked


def filter_of(sampled: dict[str, Any]) -> dict[str, Any]:
    """Return what of a section decides which samples are kept."""
    return {key: sampled[key] for key in Filter.model_fields if key in sampled}


def most_records(sampled: dict[str, Any], prompts: int) -> int:
    """Return how many records a sampled set has at most, of so many prompts."""
    return min(prompts, sampled.get("n", prompts)) * sampled.get("per_prompt", 1)


def is_own(experiment: dict[str, Any], name: str) -> bool:
    """Tell whether LRMs write a training set themselves, or a set of a mixture."""
    return any("sampled" in experiment["data"][one] for one in list_sets(experiment, name))


def own_set(experiment: dict[str, Any], name: str, lrm: str | None) -> str:
    """Return the result that holds such a set as an LRM (`lrm/NAME/seedK`) wrote it."""
    place = "mixtures" if "mix" in experiment["data"][name] else "sampled"
    return f"data/{place}/{name}/{str(lrm).removeprefix('lrm/')}"
