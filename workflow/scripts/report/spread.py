"""What a number is described by: its interval over items, and its spread over training seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar, cast

from workflow.scripts.common.intervals import Estimate, over_seeds, over_seeds_and_items
from workflow.scripts.report.differences import Difference
from workflow.scripts.report.schema import (
    DifferenceValue,
    Interval,
    SizedInterval,
    SpreadOverBoth,
    SpreadOverSeeds,
)

SEEDS_FOR_AN_INTERVAL = 3

AnyInterval = TypeVar("AnyInterval", bound=Interval)


def as_interval(one: Estimate) -> SizedInterval:
    """Return an estimate as `tradeoff.json` has it."""
    return {"estimate": one.estimate, "low": one.low, "high": one.high, "n": one.n}


def as_difference(one: Difference) -> DifferenceValue:
    """Return a difference as `tradeoff.json` has it."""
    return {**as_interval(one), "p": one.p}


def describe_seeds(by_seed: Iterable[float | None]) -> SpreadOverSeeds:
    """Return the standard deviation and the mean's interval over seeds."""
    mean, sd = over_seeds(list(by_seed))
    return {"seed_sd": sd, "seed_low": mean.low, "seed_high": mean.high}


def over_both(one: AnyInterval) -> AnyInterval:
    """Return a number with the interval over seeds and items, where it has one."""
    if one.get("all_low") is None:
        return one
    return cast(AnyInterval, {**one, "low": one["all_low"], "high": one["all_high"]})


def describe_both(
    estimate: Estimate,
    crossed: Sequence[Sequence[Mapping[str, float]]],
    clusters: Sequence[Mapping[str, str] | None],
    least: float,
) -> SpreadOverBoth:
    """Return the interval over seeds and items together, and the share of the seeds in it.

    It is never tighter than the interval over items. Fewer than `SEEDS_FOR_AN_INTERVAL` have none:
    Student's quantile for two is 12.7, and what it gives spans everything.

    Args:
        estimate: The number with its interval over items.
        crossed: For each benchmark, for each seed, {item: value}.
        clusters: For each benchmark {item: cluster}.
        least: The least that the number can be.
    """
    both, seed_share = over_seeds_and_items(crossed, clusters)
    if max(sum(map(bool, sides)) for sides in crossed) < SEEDS_FOR_AN_INTERVAL:
        return {"all_low": None, "all_high": None, "seed_share": seed_share}
    low, high = both.low, both.high
    if low is not None and high is not None:
        low = max(least, min(x for x in (low, estimate.low) if x is not None))
        high = min(1.0, max(x for x in (high, estimate.high) if x is not None))
    return {"all_low": low, "all_high": high, "seed_share": seed_share}


def mean_of(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are known; None without any."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def mean_by_item(sides: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return each item's mean over those of the maps that have it."""
    if len(sides) == 1:
        return dict(sides[0])
    gathered: dict[str, list[float]] = {}
    for side in sides:
        for item, value in side.items():
            gathered.setdefault(item, []).append(value)
    return {item: math.fsum(values) / len(values) for item, values in gathered.items()}
