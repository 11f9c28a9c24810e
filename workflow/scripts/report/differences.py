"""Differences of two models, and means of estimates: pure functions over plain numbers.

The intervals of single numbers come from `common/intervals.py`.

Proportions are fractions from 0 to 1. What cannot be said (no data, one seed) is None, never NaN.
scipy does the mathematics; this module says which method is used where.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from workflow.scripts.common.intervals import (
    ALPHA,
    NOTHING,
    Estimate,
    cluster_residuals,
    clustered_mean,
    share_of,
    student_t,
    z,
)


@dataclass(frozen=True)
class Difference(Estimate):
    """A difference with its interval and the two-sided p value of "no difference"."""

    p: float | None = None


def paired_difference(
    first: Mapping[Any, float],
    second: Mapping[Any, float],
    clusters: Mapping[Any, Any] | None = None,
    samples: int | None = None,
) -> Difference:
    """Return second - first over the items that both have.

    Interval: Newcombe's (1998, method 10) square-and-add of the two score intervals with the
    continuity-corrected correlation, taken over clusters; conservative where few items differ.
    p: McNemar's exact test for one 0/1 value per cluster, else that at which the interval touches
    0, so that the two never contradict each other.
    """
    items = [item for item in first if item in second]
    if not items:
        return Difference(None, None, None, 0)
    a, b = ({item: side[item] for item in items} for side in (first, second))
    in_a, in_b = (share_of(side, clusters, samples) for side in (a, b))
    n = len(items)
    changes = [b[item] - a[item] for item in items]
    estimate = math.fsum(changes) / n
    if in_a.groups == 1 or in_b.groups == 1:
        return Difference(estimate, None, None, n)
    correlation = _correlation(a, b, clusters)

    def limits(alpha: float) -> tuple[float, float]:
        of_a, of_b = (Estimate(one.mean, *one.limits(alpha), n) for one in (in_a, in_b))
        return _square_and_add(of_b, of_a, correlation)

    if in_a.groups is None and in_b.groups is None:
        from scipy.stats import binomtest

        differing = sum(change != 0 for change in changes)
        gained = sum(change > 0 for change in changes)
        p = float(binomtest(gained, differing, 0.5).pvalue) if differing else 1.0
    else:
        p = _p_of_limits(limits, estimate)
    return Difference(estimate, *limits(ALPHA), n, p)


def paired_grades(
    first: Mapping[Any, float],
    second: Mapping[Any, float],
    clusters: Mapping[Any, Any] | None = None,
) -> Difference:
    """Return second - first of grades over the items that both have, by the paired t test.

    Interval and p are robust to clusters, as `clustered_mean`. Changes that are all the same have
    an interval of no width, and no p.
    """
    changes = {item: second[item] - first[item] for item in first if item in second}
    mean = clustered_mean(changes, clusters)
    if mean.estimate is None or mean.high is None or mean.high == mean.low:
        return Difference(mean.estimate, mean.low, mean.high, mean.n)
    from scipy.special import stdtr

    degrees = len(cluster_residuals(changes, clusters)) - 1
    error = (mean.high - mean.estimate) / student_t(degrees)
    p = 2 * float(stdtr(degrees, -abs(mean.estimate) / error))
    return Difference(mean.estimate, mean.low, mean.high, mean.n, p)


def independent_difference(first: Estimate, second: Estimate) -> Difference:
    """Return second - first of two independent estimates, with Newcombe's interval and z's p."""
    if first.estimate is None or second.estimate is None:
        return Difference(None, None, None, 0)
    estimate = second.estimate - first.estimate
    n = min(first.n, second.n)
    if None in (first.low, first.high, second.low, second.high):
        return Difference(estimate, None, None, n)
    low, high = _square_and_add(second, first, 0.0)
    return Difference(estimate, low, high, n, _normal_p(estimate, low, high))


@overload
def average(estimates: Sequence[Difference]) -> Difference: ...
@overload
def average(estimates: Sequence[Estimate]) -> Estimate: ...
def average(estimates: Sequence[Estimate]) -> Estimate:
    """Return the unweighted mean of independent estimates (benchmarks), limits squared and added.

    A mean of `Difference`s has the normal p that goes with its limits; a single one stays as it is.
    """
    if len(estimates) == 1:
        return estimates[0]
    mean = _mean_of(estimates, sum(one.n for one in estimates), lambda sides: math.hypot(*sides))
    if mean.estimate is None or not all(isinstance(one, Difference) for one in estimates):
        return mean
    p = None if mean.low is None else _normal_p(mean.estimate, mean.low, mean.high or 0.0)
    return Difference(mean.estimate, mean.low, mean.high, mean.n, p)


def average_on_same_items(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of estimates on the same items (seeds), their limits averaged.

    That is the interval if the seeds move together from item to item; otherwise it is too wide.
    """
    return _mean_of(estimates, min((one.n for one in estimates), default=0), math.fsum)


def _mean_of(
    estimates: Sequence[Estimate], n: int, together: Callable[[list[float]], float]
) -> Estimate:
    """Return the mean of estimates, the parts of their intervals to each side put together."""
    known = [one.estimate for one in estimates if one.estimate is not None]
    if not known or len(known) < len(estimates):
        return NOTHING
    k, mean = len(known), math.fsum(known) / len(known)
    lows, highs = ([getattr(one, side) for one in estimates] for side in ("low", "high"))
    if None in lows or None in highs:
        return Estimate(mean, None, None, n)
    below = together([value - low for value, low in zip(known, lows, strict=True)])
    above = together([high - value for value, high in zip(known, highs, strict=True)])
    return Estimate(mean, mean - below / k, mean + above / k, n)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return Holm's adjusted p values in the same order; None stays None and is not counted.

    As statsmodels' multipletests gives them, which collects garbage in each call: two fifths of the
    time of a small report's numbers.
    """
    adjusted, highest = list(p_values), 0.0
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = highest
    return adjusted


def _correlation(
    a: Mapping[Any, float], b: Mapping[Any, float], clusters: Mapping[Any, Any] | None
) -> float:
    """Correlation of two models over clusters, a positive one moved by Newcombe's n/2 towards 0.

    Without that, two models that agree on every item would have an interval of no width.
    """
    of_a, of_b = (cluster_residuals(side, clusters) for side in (a, b))
    groups, n = len(of_a), len(a)
    scale = math.sqrt(
        math.fsum(value**2 for value in of_a.values())
        * math.fsum(value**2 for value in of_b.values())
    )
    if scale < 1e-15:
        return 0.0
    product = math.fsum(of_a[key] * of_b[key] for key in of_a)
    if product > 0:
        product = max(0.0, product - (n / groups) ** 2 / 2)
    return max(-1.0, min(1.0, product / scale))


def _square_and_add(plus: Estimate, minus: Estimate, correlation: float) -> tuple[float, float]:
    p, lower_p, upper_p = plus.estimate or 0.0, plus.low or 0.0, plus.high or 0.0
    m, lower_m, upper_m = minus.estimate or 0.0, minus.low or 0.0, minus.high or 0.0

    def half(x: float, y: float) -> float:
        return math.sqrt(max(0.0, x * x + y * y - 2 * correlation * x * y))

    return (
        p - m - half(p - lower_p, upper_m - m),
        p - m + half(upper_p - p, m - lower_m),
    )


def _p_of_limits(limits: Callable[[float], tuple[float, float]], estimate: float) -> float:
    """Return the two-sided p at which an interval touches 0 (at least 1e-15)."""
    from scipy.optimize import brentq

    def distance(log_alpha: float) -> float:
        low, high = limits(math.exp(log_alpha))
        return low if estimate > 0 else -high

    least, most = math.log(1e-15), math.log(1 - 1e-9)
    if abs(estimate) < 1e-12 or distance(most) <= 0:
        return 1.0
    return math.exp(least if distance(least) > 0 else brentq(distance, least, most, xtol=1e-9))


def _normal_p(estimate: float, low: float, high: float) -> float | None:
    """Return the normal two-sided p whose standard error is that of the limit towards 0."""
    from scipy.stats import norm

    half = estimate - low if estimate > 0 else high - estimate
    return float(2 * norm.sf(abs(estimate) * z() / half)) if half > 0 else None
