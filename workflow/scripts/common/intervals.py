"""Intervals of single numbers: the one place from which every stage takes them.

The score stage, the overlap and the report say the same of the same number because they all ask
here. Intervals are 95 % unless `alpha` says otherwise. Proportions are fractions from 0 to 1. What
cannot be said (no data, one seed) is None, never NaN. scipy is imported only where Student's
quantile is needed, so that scoring plain counts starts at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist
from typing import Any

ALPHA = 0.05  # two-sided: intervals are 95 %


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        estimate: The point estimate; None without data.
        low: Lower limit, None when there is none.
        high: Upper limit, None when there is none.
        n: What the number rests on (items; seeds for a mean over seeds).
    """

    estimate: float | None
    low: float | None
    high: float | None
    n: int

    @property
    def standard_error(self) -> float | None:
        """Half the interval's width over the normal quantile: positive even at 0/n and n/n."""
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / (2 * z())


NOTHING = Estimate(None, None, None, 0)


def proportion(successes: int, n: int) -> Estimate:
    """Return successes/n with Wilson's score interval."""
    if n == 0:
        return NOTHING
    return Estimate(successes / n, *Share(successes / n, n).limits(), n)


def clustered_proportion(
    values: Mapping[Any, float],
    clusters: Mapping[Any, Any] | None = None,
    samples: int | None = None,
) -> Estimate:
    """Return the mean of per-item values with an interval that is robust to clusters.

    One 0/1 value per cluster gives Wilson's interval. Otherwise it is Wilson's with the effective
    sample size p(1-p)/variance (Korn & Graubard 1998), the variance linearised over clusters with
    the factor G/(G-1), and Student's quantile with G-1 degrees of freedom in the place of z. Its
    ends are never tighter than those for 0/n and n/n.

    Args:
        values: {item: share of its valid samples that hit}, each from 0 to 1.
        clusters: {item: cluster}, such as the prompt's text; default each item its own.
        samples: How many samples the values rest on, the most that the effective size may be.
    """
    if not values:
        return NOTHING
    share = share_of(values, clusters, samples)
    return Estimate(share.mean, *share.limits(), len(values))


def clustered_mean(
    values: Mapping[Any, float], clusters: Mapping[Any, Any] | None = None
) -> Estimate:
    """Return the mean of per-item grades with Student's interval, robust to clusters.

    The variance is that of `clustered_proportion`; without repeated prompts it is the textbook
    interval of a mean.
    """
    n = len(values)
    if n == 0:
        return NOTHING
    residuals = cluster_residuals(values, clusters)
    groups = len(residuals)
    # as the standard deviation of `groups` independent grades
    sd = math.sqrt(groups * covariance(residuals, residuals, n))
    return replace(mean_with_t(math.fsum(values.values()) / n, sd, groups), n=n)


def mean_with_t(mean: float | None, sd: float | None, n: int) -> Estimate:
    """Return a mean with Student's interval from its standard deviation; None limits for n < 2."""
    if mean is None or n == 0:
        return NOTHING
    if n < 2 or sd is None:
        return Estimate(mean, None, None, n)
    half = student_t(n - 1) * sd / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def over_seeds(values: Sequence[float | None]) -> tuple[Estimate, float | None]:
    """Return (mean over training seeds with Student's interval, standard deviation over seeds).

    The items are the same for each seed, so this is the spread of training alone; with one seed
    there is neither interval nor deviation.
    """
    known = [value for value in values if value is not None]
    if not known:
        return NOTHING, None
    mean = math.fsum(known) / len(known)
    if len(known) == 1:
        return Estimate(mean, None, None, 1), None
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1))
    return mean_with_t(mean, sd, len(known)), sd


def over_seeds_and_items(
    benchmarks: Sequence[Sequence[Mapping[Any, float]]],
    clusters: Sequence[Mapping[Any, Any] | None] | None = None,
) -> tuple[Estimate, float | None]:
    """Return the mean with an interval for other trainings and other items, and the seeds' share.

    Each seed is measured on the same items: the crossed random effects model y = mean + seed +
    item + rest, by the analysis of variance (REML's solution for balanced data while no component
    is negative). The half widths of both parts, each with Student's quantile at its own degrees of
    freedom, are squared and added: with few seeds Satterthwaite's approximation covers too little
    (87 to 93 % for two seeds). Over several benchmarks the mean weighs each the same, and a seed's
    effect is that on the mean.

    Args:
        benchmarks: For each benchmark, for each seed (in the same order), {item: value}.
        clusters: For each benchmark {item: cluster}, for items whose prompts are repeated.

    Returns:
        The estimate (no limits for fewer than two seeds or items), and the share of its variance
        that comes from training, from 0 to 1.
    """
    seeds = min((len(sides) for sides in benchmarks), default=0)
    if seeds == 0:
        return NOTHING, None
    by_seed = [0.0] * seeds
    item_parts, noise = [], 0.0
    weight = 1 / len(benchmarks)
    for index, sides in enumerate(benchmarks):
        items = [item for item in sides[0] if all(item in side for side in sides)]
        n = len(items)
        if n == 0:
            return NOTHING, None
        means = {item: math.fsum(side[item] for side in sides) / seeds for item in items}
        grand = math.fsum(means.values()) / n
        columns = [math.fsum(side[item] for item in items) / n for side in sides]
        by_seed = [total + weight * one for total, one in zip(by_seed, columns, strict=True)]
        if seeds < 2 or n < 2:
            continue
        rest = math.fsum(
            (side[item] - means[item] - column + grand) ** 2
            for side, column in zip(sides, columns, strict=True)
            for item in items
        ) / ((seeds - 1) * (n - 1) * seeds * n)
        residuals = cluster_residuals(means, clusters[index] if clusters else None)
        part = max(0.0, covariance(residuals, residuals, n) - rest) * weight**2
        item_parts.append((part, len(residuals) - 1))
        noise += rest * weight**2
    mean = math.fsum(by_seed) / seeds
    if len(item_parts) < len(benchmarks):
        return Estimate(mean, None, None, seeds), None
    seed_part = math.fsum((value - mean) ** 2 for value in by_seed) / (seeds - 1) / seeds
    variance = seed_part + math.fsum(part for part, _ in item_parts)
    if variance <= 1e-15:
        return Estimate(mean, None, None, seeds), None
    half = math.sqrt(
        student_t(seeds - 1) ** 2 * seed_part
        + math.fsum(student_t(max(degrees, 1)) ** 2 * part for part, degrees in item_parts)
    )
    share = max(0.0, seed_part - noise) / variance
    return Estimate(mean, mean - half, mean + half, seeds), share


def z(alpha: float = ALPHA) -> float:
    """Return the normal quantile of a two-sided interval: 1.96 for 95 %."""
    return -NormalDist().inv_cdf(alpha / 2)


@lru_cache(4096)
def student_t(degrees: int, alpha: float = ALPHA) -> float:
    """Return Student's quantile of a two-sided interval."""
    from scipy.special import stdtrit  # half the start of scipy.stats

    return -float(stdtrit(degrees, alpha / 2))


@dataclass(frozen=True)
class Share:
    """A mean of values from 0 to 1, and what its interval is made of.

    Attributes:
        mean: The mean.
        size: Its effective sample size.
        groups: Independent clusters that the size was estimated from; None for plain counts.
    """

    mean: float
    size: float
    groups: int | None = None

    def limits(self, alpha: float = ALPHA) -> tuple[float | None, float | None]:
        """Return (low, high); None where all values are of one cluster."""
        if self.groups == 1:
            return None, None
        if self.groups is None:
            return wilson(self.mean, z(alpha) ** 2 / self.size)
        square = student_t(self.groups - 1, alpha) ** 2
        low, high = wilson(self.mean, square / self.size)
        # Not nearer to 0 than if none had counted, nor to 1 than if all had.
        edge = wilson(0.0, square / self.groups)[1]
        return min(low, 1 - edge), max(high, edge)


def share_of(
    values: Mapping[Any, float], clusters: Mapping[Any, Any] | None, samples: int | None
) -> Share:
    """Return what the interval of `clustered_proportion` is made of; `values` must not be empty."""
    n = len(values)
    mean = math.fsum(values.values()) / n
    residuals = cluster_residuals(values, clusters)
    groups = len(residuals)
    if groups == n and all(value in (0, 1) for value in values.values()):
        return Share(mean, n)
    variance, spread = covariance(residuals, residuals, n), mean * (1 - mean)
    # Without any spread (0 or 1 everywhere) clusters are all that is known to be independent.
    size = spread / variance if spread > 1e-15 and variance > 1e-15 else float(groups)
    return Share(mean, min(size, float(samples or n)), groups)


def wilson(p: float, square_over_size: float) -> tuple[float, float]:
    """Return Wilson's limits (1927) from the quantile's square over the size (a real number)."""
    c = square_over_size
    middle, half = (p + c / 2) / (1 + c), math.sqrt(c * p * (1 - p) + c * c / 4) / (1 + c)
    # the ends are met exactly at 0 and 1, whatever the rounding
    return 0.0 if p == 0 else max(0.0, middle - half), 1.0 if p == 1 else min(1.0, middle + half)


def cluster_residuals(
    values: Mapping[Any, float], clusters: Mapping[Any, Any] | None
) -> dict[Any, float]:
    """Return {cluster: sum of its values' distances from the mean}."""
    mean = math.fsum(values.values()) / len(values)
    sums: dict[Any, float] = {}
    for item, value in values.items():
        cluster = clusters.get(item, item) if clusters else item
        sums[cluster] = sums.get(cluster, 0.0) + value - mean
    return sums


def covariance(a: Mapping[Any, float], b: Mapping[Any, float], n: int) -> float:
    """Return the (co)variance of two means over `n` items from their cluster residuals."""
    groups = len(a)
    if groups < 2:
        return 0.0
    return groups / (groups - 1) * math.fsum(a[key] * b[key] for key in a) / n**2
