"""Intervals, paired differences and the safety tax: pure functions over plain numbers.

Proportions are fractions from 0 to 1. What cannot be said (no data, one seed) is None, never NaN.
scipy and statsmodels do the mathematics; this module says which method is used where.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, overload

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
        return (self.high - self.low) / (2 * _z())


@dataclass(frozen=True)
class Difference(Estimate):
    """A difference with its interval and the two-sided p value of "no difference"."""

    p: float | None = None


NOTHING = Estimate(None, None, None, 0)


def proportion(successes: int, n: int) -> Estimate:
    """Return successes/n with Wilson's score interval."""
    if n == 0:
        return NOTHING
    return Estimate(successes / n, *_Share(successes / n, n).limits(), n)


def clustered_proportion(
    values: Mapping[Any, float],
    clusters: Mapping[Any, Any] | None = None,
    samples: int | None = None,
) -> Estimate:
    """Return the mean of per-item values with an interval that is robust to clusters.

    One 0/1 value per cluster gives Wilson's interval. Otherwise it is Wilson's with the effective
    sample size p(1-p)/variance (Korn & Graubard 1998), the variance linearised over clusters with
    the factor G/(G-1), and Student's quantile with G-1 degrees of freedom in the place of z. It
    reaches at least as far as that of no (and of all) samples counting.

    Args:
        values: {item: share of its samples that count}, each from 0 to 1.
        clusters: {item: cluster}, such as the prompt's text; default each item its own.
        samples: How many samples the values rest on, the most that the effective size may be.
    """
    if not values:
        return NOTHING
    share = _share(values, clusters, samples)
    return Estimate(share.mean, *share.limits(), len(values))


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
    in_a, in_b = (_share(side, clusters, samples) for side in (a, b))
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


def mean_with_t(mean: float | None, sd: float | None, n: int) -> Estimate:
    """Return a mean with Student's interval from its standard deviation; None limits for n < 2."""
    if mean is None or n == 0:
        return NOTHING
    if n < 2 or sd is None:
        return Estimate(mean, None, None, n)
    half = _t(n - 1) * sd / math.sqrt(n)
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
        residuals = _cluster_residuals(means, clusters[index] if clusters else None)
        part = max(0.0, _variance(residuals, residuals, n) - rest) * weight**2
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
        _t(seeds - 1) ** 2 * seed_part
        + math.fsum(_t(max(degrees, 1)) ** 2 * part for part, degrees in item_parts)
    )
    share = max(0.0, seed_part - noise) / variance
    return Estimate(mean, mean - half, mean + half, seeds), share


def agreement(
    judged: Mapping[Any, Sequence[tuple[bool, bool]]], clusters: Mapping[Any, Any] | None = None
) -> tuple[Estimate, float | None]:
    """Return (share of the samples judged the same, Cohen's kappa; None where it is undefined).

    Args:
        judged: {item: both verdicts on each of its samples (of several seeds, repeats, models)}.
        clusters: {item: cluster}, for items whose prompts are repeated.
    """
    from statsmodels.stats.inter_rater import cohens_kappa

    table = [[0, 0], [0, 0]]
    for samples in judged.values():
        for one, other in samples:
            table[one][other] += 1
    shares = {
        item: sum(one == other for one, other in samples) / len(samples)
        for item, samples in judged.items()
        if samples
    }
    constant = table[0][1] == table[1][0] == 0 and 0 in (table[0][0], table[1][1])
    kappa = None if constant else float(cohens_kappa(table, return_results=False))
    return clustered_proportion(shares, clusters, sum(map(sum, table))), kappa


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return Holm's adjusted p values in the same order; None stays None and is not counted."""
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    most = 0.0
    for rank, (p, place) in enumerate(known):
        adjusted[place] = most = max(most, min(1.0, (len(known) - rank) * p))
    return adjusted


def minimum_detectable_difference(
    n: int, baseline: float = 0.5, power: float = 0.8, discordant: float | None = None
) -> float | None:
    """Return the smallest drop that a two-sided 5 % test of `n` items finds with `power`.

    Args:
        n: Items (per group when unpaired).
        baseline: The proportion that is dropped from; used when unpaired.
        power: Chance of finding the drop.
        discordant: Share of the items on which the two models differ makes the test McNemar's
            (Connor 1987); None is the pooled z test of independent groups.

    Returns:
        A fraction, or None when not even the largest possible drop would be found.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    least, largest = 1e-9, baseline if discordant is None else discordant
    if n == 0 or largest <= least:
        return None
    z_alpha, z_power = _z(), float(norm.ppf(power))

    def shortfall(drop: float) -> float:
        if discordant is not None:
            null, actual = discordant, max(discordant - drop * drop, 0.0)
        else:
            low = baseline - drop
            pooled = (baseline + low) / 2
            null, actual = (
                2 * pooled * (1 - pooled),
                baseline * (1 - baseline) + low * (1 - low),
            )
        return drop * math.sqrt(n) - z_alpha * math.sqrt(null) - z_power * math.sqrt(actual)

    if shortfall(largest) < 0:
        return None
    return float(brentq(shortfall, least, largest, xtol=1e-12))  # 0 is a root that says nothing


def detectable_before_run(
    items: Mapping[str, int], baseline: float = 0.5
) -> dict[str, dict[str, float | int | None]]:
    """Return what each benchmark could find before anything is measured, for the plan.

    Args:
        items: Benchmark -> number of items.
        baseline: The value that is expected of the LRM; 0.5 is the worst case.

    Returns:
        Benchmark -> {"items", "unpaired", "paired_10_percent_differ", "paired_20_percent_differ"};
        smallest losses as fractions with 80 % power, None where none would be found.
    """
    return {
        name: {
            "items": n,
            "unpaired": minimum_detectable_difference(n, baseline),
            "paired_10_percent_differ": minimum_detectable_difference(n, discordant=0.1),
            "paired_20_percent_differ": minimum_detectable_difference(n, discordant=0.2),
        }
        for name, n in items.items()
    }


def ratio(numerator: Estimate, denominator: Estimate) -> Estimate:
    """Return numerator/denominator of independent estimates with Fieller's (1954) interval.

    The limits are None where the denominator is not clear of zero, since the interval is then
    unbounded.
    """
    a, b = numerator.estimate, denominator.estimate
    if a is None or b is None or b == 0:
        return NOTHING
    error_a, error_b = numerator.standard_error, denominator.standard_error
    n = min(numerator.n, denominator.n)
    if error_a is None or error_b is None:
        return Estimate(a / b, None, None, n)
    g = (_z() * error_b / b) ** 2
    if g >= 1:
        return Estimate(a / b, None, None, n)
    middle = (a / b) / (1 - g)
    half = _z() / abs(b) / (1 - g) * math.sqrt(error_a**2 * (1 - g) + (a / b * error_b) ** 2)
    return Estimate(a / b, middle - half, middle + half, n)


@dataclass(frozen=True)
class SafetyTax:
    """What alignment cost.

    Attributes:
        points: Reasoning accuracy lost against the LRM (positive: a cost), as a fraction.
        harm_removed: Harmful score lost against the LRM (positive: safer), as a fraction.
        per_harm_point: Reasoning points lost for each harm point removed; nothing unless the harm
            removed is clear of zero.
    """

    points: Difference
    harm_removed: Difference
    per_harm_point: Estimate


def safety_tax(accuracy_change: Difference, harm_change: Difference) -> SafetyTax:
    """Return the tax from the changes (aligned - LRM) of reasoning accuracy and harmful score."""
    points, removed = _negated(accuracy_change), _negated(harm_change)
    clear = removed.low is not None and removed.low > 0
    return SafetyTax(points, removed, ratio(points, removed) if clear else NOTHING)


def _negated(change: Difference) -> Difference:
    def minus(value: float | None) -> float | None:
        return None if value is None else 0.0 - value

    return Difference(
        minus(change.estimate), minus(change.high), minus(change.low), change.n, change.p
    )


@lru_cache(256)
def _z(alpha: float = ALPHA) -> float:
    from scipy.stats import norm

    return float(norm.isf(alpha / 2))


@lru_cache(4096)
def _t(degrees: int, alpha: float = ALPHA) -> float:
    from scipy.stats import t

    return float(t.isf(alpha / 2, degrees))


@dataclass(frozen=True)
class _Share:
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
        if self.groups == 1:
            return None, None
        if self.groups is None:
            return _wilson(self.mean, _z(alpha) ** 2 / self.size)
        square = _t(self.groups - 1, alpha) ** 2
        low, high = _wilson(self.mean, square / self.size)
        # Not nearer to 0 than if none had counted, nor to 1 than if all had.
        edge = _wilson(0.0, square / self.groups)[1]
        return min(low, 1 - edge), max(high, edge)


def _share(
    values: Mapping[Any, float], clusters: Mapping[Any, Any] | None, samples: int | None
) -> _Share:
    n = len(values)
    mean = math.fsum(values.values()) / n
    residuals = _cluster_residuals(values, clusters)
    groups = len(residuals)
    if groups == n and all(value in (0, 1) for value in values.values()):
        return _Share(mean, n)
    variance, spread = _variance(residuals, residuals, n), mean * (1 - mean)
    # Without any spread (0 or 1 everywhere) clusters are all that is known to be independent.
    size = spread / variance if spread > 1e-15 and variance > 1e-15 else float(groups)
    return _Share(mean, min(size, float(samples or n)), groups)


def _wilson(p: float, square_over_size: float) -> tuple[float, float]:
    """Wilson's limits from the quantile's square over the size, which need not be whole."""
    c = square_over_size
    middle, half = (p + c / 2) / (1 + c), math.sqrt(c * p * (1 - p) + c * c / 4) / (1 + c)
    # the ends are met exactly at 0 and 1, whatever the rounding
    return 0.0 if p == 0 else max(0.0, middle - half), 1.0 if p == 1 else min(1.0, middle + half)


def _cluster_residuals(
    values: Mapping[Any, float], clusters: Mapping[Any, Any] | None
) -> dict[Any, float]:
    mean = math.fsum(values.values()) / len(values)
    sums: dict[Any, float] = {}
    for item, value in values.items():
        cluster = clusters.get(item, item) if clusters else item
        sums[cluster] = sums.get(cluster, 0.0) + value - mean
    return sums


def _variance(a: Mapping[Any, float], b: Mapping[Any, float], n: int) -> float:
    """(Co)variance of two means over `n` items from their cluster residuals."""
    groups = len(a)
    if groups < 2:
        return 0.0
    return groups / (groups - 1) * math.fsum(a[key] * b[key] for key in a) / n**2


def _correlation(
    a: Mapping[Any, float], b: Mapping[Any, float], clusters: Mapping[Any, Any] | None
) -> float:
    """Correlation of two models over clusters, a positive one moved by Newcombe's n/2 towards 0.

    Without that, two models that agree on every item would have an interval of no width.
    """
    of_a, of_b = (_cluster_residuals(side, clusters) for side in (a, b))
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
    return float(2 * norm.sf(abs(estimate) * _z() / half)) if half > 0 else None
