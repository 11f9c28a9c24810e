"""Non-inferiority decisions, of many pairs of models at once, and the n that would decide."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow.scripts.common.intervals import ALPHA, z
from workflow.scripts.report.paired import Paired

Array = Any
PASS, FAIL, UNDECIDED = "pass", "fail", "undecided"
POWER = 0.8
MOST_SEEDS = 1000


def is_passed(better_by: Paired, margin: float) -> Array:
    """Tell whether it is shown that a candidate is worse by less than the margin.

    That is where the 95 % interval of the paired difference is clear of the margin: wrong for at
    most 2.5 % of the candidates that are worse by the margin or more. A candidate that has to pass
    on several measures passes wrongly as seldom (intersection-union test).

    Args:
        better_by: By how much the candidate is better than its reference.
        margin: A share.
    """
    return better_by.limits()[0] > -margin


def is_failed(better_by: Paired, margin: float, measures: int) -> Array:
    """Tell whether it is shown that a candidate is worse by more than the margin.

    By the interval at 5 % over the number of measures: a candidate fails where one of them is, and
    of those within all margins at most 2.5 % do.
    """
    return better_by.limits(ALPHA / measures)[1] < -margin


@dataclass(frozen=True)
class Needed:
    """What would decide with 80 % power, were the estimate the truth.

    Attributes:
        items: Prompts of all the metric's benchmarks; None where no number would.
        seeds: Training seeds; None where no number would.
    """

    items: int | None
    seeds: int | None


def needed(better_by: Paired, margin: float, measures: int) -> Needed:
    """Return the items and seeds with which a pair would be decided.

    The half width towards the margin may be at most z(0.975) / (z(0.975) + z(0.8)) of the distance.
    The items' part of its square falls with their number, that of training with the seeds'; seeds
    are added as long as the latter is more than half of what is allowed.
    """
    from scipy.stats import norm

    distance = float(better_by.estimate) + margin
    alpha = ALPHA if distance > 0 else ALPHA / measures
    low, high = (float(limit) for limit in better_by.limits(alpha))
    estimate, now = float(better_by.estimate), sum(better_by.items)
    half = estimate - low if distance > 0 else high - estimate
    quantile = z(alpha)
    allowed = (abs(distance) * quantile / (quantile + float(norm.ppf(POWER)))) ** 2
    if allowed <= 0:
        return Needed(None, None)
    of_training = float(better_by.half_of_seeds(alpha)) ** 2
    of_items = max(half**2 - of_training, 0.0)
    seeds = better_by.seeds
    while of_training > allowed / 2 and seeds < MOST_SEEDS:
        seeds += 1
        of_training = float(better_by.half_of_seeds(alpha, seeds)) ** 2
    if of_training > allowed / 2:
        return Needed(None, None)
    return Needed(math.ceil(now * max(1.0, of_items / (allowed - of_training))), seeds)


def verdict(passed: list[bool], failed: list[bool]) -> str:
    """Return a candidate's verdict from those on its measures."""
    if any(failed):
        return FAIL
    return PASS if all(passed) else UNDECIDED


def verdicts(passed: Array, failed: Array) -> Array:
    """Return `verdict` of many candidates, from arrays (candidates, measures)."""
    return np.where(failed.any(axis=-1), FAIL, np.where(passed.all(axis=-1), PASS, UNDECIDED))
