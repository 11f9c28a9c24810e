"""Paired differences of many pairs of models at once, as arrays.

The same intervals as `differences.paired_difference` and `spread.describe_both` give for one pair
(a test compares them), at any level: what tests of dominance and the gate are made from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import ndtri, stdtrit

from workflow.scripts.common.intervals import ALPHA
from workflow.scripts.report import spread

Array = Any
LEAST_P = 1e-15


@dataclass(frozen=True)
class Benchmark:
    """Two sides on one benchmark.

    Attributes:
        first: (..., seeds, items): each from 0 to 1. Without further axes, NaN is a missing value.
        second: The same of the other side; seeds and items are the same ones.
        clusters: (items): the number of each item's cluster; None where each is its own.
        samples: How many samples each side rests on, a number or one for each pair; default: one
            per seed and item.
    """

    first: Array
    second: Array
    clusters: Array | None = None
    samples: Array | None = None


class Paired:
    """Second minus first, averaged over benchmarks, each weighing the same.

    Over items: Newcombe's (1998, method 10) square-and-add interval of each item's means over the
    seeds. From `SEEDS_FOR_AN_INTERVAL` seeds on it reaches at least as far as that over seeds and
    items, by the crossed analysis of variance.
    """

    def __init__(self, benchmarks: Sequence[Benchmark]) -> None:
        self._parts = [_Part(one) for one in benchmarks]
        self.seeds = benchmarks[0].first.shape[-2]
        self.items = [part.n for part in self._parts]
        self.estimate = np.mean([part.second.mean - part.first.mean for part in self._parts], 0)

    @cached_property
    def _crossed(self) -> tuple[Array, Array, list[tuple[Array, int]]]:
        """Mean, variance from the seeds, and (variance, degrees of freedom) from each benchmark."""
        k = len(self._parts)
        by_seed = np.mean([part.changes.mean(axis=-1) for part in self._parts], axis=0)
        seeds = by_seed.shape[-1]
        items = [part.item_variance() for part in self._parts]
        items = [(variance / k**2, max(degrees, 1)) for variance, degrees in items]
        return by_seed.mean(axis=-1), by_seed.var(axis=-1, ddof=1) / seeds, items

    def half_of_seeds(self, alpha: Array = ALPHA, seeds: int | None = None) -> Array:
        """Return the part of the half width that comes from training, however many the items."""
        if self.seeds < spread.SEEDS_FOR_AN_INTERVAL:
            return np.zeros_like(self.estimate)
        n = seeds or self.seeds
        variance = self._crossed[1] * self.seeds / n
        return _student(n - 1, alpha) * np.sqrt(variance)

    def limits(self, alpha: Array = ALPHA) -> tuple[Array, Array]:
        """Return the two-sided limits at a level, a number or one for each pair."""
        halves = [part.halves(alpha) for part in self._parts]
        k = len(halves)
        below, above = (np.sqrt(sum(one[side] ** 2 for one in halves)) / k for side in (0, 1))
        low, high = self.estimate - below, self.estimate + above
        if self.seeds < spread.SEEDS_FOR_AN_INTERVAL:
            return low, high
        mean, _, items = self._crossed
        square = self.half_of_seeds(alpha) ** 2
        for variance, degrees in items:
            square = square + _student(degrees, alpha) ** 2 * variance
        half = np.sqrt(square)
        return (
            np.maximum(-1.0, np.minimum(low, mean - half)),
            np.minimum(1.0, np.maximum(high, mean + half)),
        )

    def p_above(self, bound: float) -> Array:
        """Return the one-sided p of "the difference is at most `bound`".

        It is half of the level at which the lower limit touches the bound, at least 1e-15; 1 where
        the estimate is not above it.
        """
        shape = np.shape(self.estimate)
        low, high = np.full(shape, np.log(2 * LEAST_P)), np.full(shape, np.log(1 - 1e-9))
        parts = np.linspace(0, 1, 9).reshape(-1, *(1 for _ in shape))
        known = np.full(shape, True)
        for _ in range(11):  # the higher the level, the nearer is the limit to the estimate
            grid = low + (high - low) * parts
            clear = self.limits(np.exp(grid))[0] > bound
            known &= clear[-1]
            first = np.argmax(clear, axis=0)[None]
            low, high = (
                np.take_along_axis(grid, np.maximum(place, 0), axis=0)[0]
                for place in (first - 1, first)
            )
        return np.where(known, np.exp(high) / 2, 1.0)


class _Side:
    """A side's mean over items, and what Wilson's interval of it is made of."""

    def __init__(self, values: Array, clusters: Array | None, samples: Array) -> None:
        n = values.shape[-1]
        self.mean = values.mean(axis=-1)
        self.residuals = _cluster_sums(values - self.mean[..., None], clusters)
        self.groups = self.residuals.shape[-1]
        variance = _variance(self.residuals, n)
        scatter = self.mean * (1 - self.mean)
        known = (scatter > 1e-15) & (variance > 1e-15)
        size = np.where(known, scatter / np.where(known, variance, 1.0), float(self.groups))
        binary = ((values == 0) | (values == 1)).all(axis=-1)
        self.plain = binary & (self.groups == n)
        self.size = np.where(self.plain, n, np.minimum(size, samples))

    def limits(self, normal: Array, student: Array) -> tuple[Array, Array]:
        """Return the limits by the squares of both quantiles."""
        square = np.where(self.plain, normal, student)
        low, high = _wilson(self.mean, square / self.size)
        # Not nearer to 0 than if none had counted, nor to 1 than if all had.
        edge = _wilson(0.0, square / self.groups)[1]
        return (
            np.where(self.plain, low, np.minimum(low, 1 - edge)),
            np.where(self.plain, high, np.maximum(high, edge)),
        )


class _Part:
    """A benchmark's part of a difference."""

    def __init__(self, given: Benchmark) -> None:
        first, second, clusters = given.first, given.second, given.clusters
        both = ~(np.isnan(first) | np.isnan(second))
        samples = both.sum(axis=(-2, -1)) if given.samples is None else given.samples
        if not both.all():
            kept = both.any(axis=-2)
            first, second, both = first[:, kept], second[:, kept], both[:, kept]
            clusters = None if clusters is None else clusters[kept]
        counts = both.sum(axis=-2)
        means = [np.where(both, side, 0.0).sum(axis=-2) / counts for side in (first, second)]
        self.first, self.second = (_Side(one, clusters, samples) for one in means)
        self.n, self.groups = counts.shape[-1], self.first.groups
        complete = both.all(axis=tuple(range(both.ndim - 1)))
        self.changes = (second - first)[..., complete]
        self._clusters = None if clusters is None else clusters[complete]
        self._correlation = self._correlate()

    def _correlate(self) -> Array:
        """Correlate both sides over clusters, a positive product moved by n/2 towards 0."""
        a, b = self.first.residuals, self.second.residuals
        scale = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
        product = (a * b).sum(axis=-1)
        moved = np.maximum(0.0, product - (self.n / self.groups) ** 2 / 2)
        product = np.where(product > 0, moved, product)
        known = scale >= 1e-15
        return np.where(known, np.clip(product / np.where(known, scale, 1.0), -1.0, 1.0), 0.0)

    def halves(self, alpha: Array) -> tuple[Array, Array]:
        """Return how far the interval over items reaches below and above the estimate."""
        squares = ndtri(np.asarray(alpha) / 2) ** 2, _student(max(self.groups - 1, 1), alpha) ** 2
        (low_a, high_a), (low_b, high_b) = self.first.limits(*squares), self.second.limits(*squares)
        a, b, correlation = self.first.mean, self.second.mean, self._correlation

        def together(x: Array, y: Array) -> Array:
            return np.sqrt(np.maximum(0.0, x * x + y * y - 2 * correlation * x * y))

        return together(b - low_b, high_a - a), together(high_b - b, a - low_a)

    def item_variance(self) -> tuple[Array, int]:
        """Return the variance of the mean change from the choice of items, and its degrees."""
        changes = self.changes
        seeds, n = changes.shape[-2:]
        means = changes.mean(axis=-2)
        grand = means.mean(axis=-1)
        rest = (
            (changes - means[..., None, :] - changes.mean(axis=-1)[..., None])
            + grand[..., None, None]
        ) ** 2
        noise = rest.sum(axis=(-2, -1)) / ((seeds - 1) * (n - 1) * seeds * n)
        residuals = _cluster_sums(means - grand[..., None], self._clusters)
        return np.maximum(0.0, _variance(residuals, n) - noise), residuals.shape[-1] - 1


def _cluster_sums(values: Array, clusters: Array | None) -> Array:
    """Add up the items (the last axis) of each cluster."""
    if clusters is None:
        return values
    order = np.argsort(clusters, kind="stable")
    _, starts = np.unique(clusters[order], return_index=True)
    return np.add.reduceat(values[..., order], starts, axis=-1)


def _variance(residuals: Array, n: int) -> Array:
    """Return the variance of a mean over `n` items from the residuals of clusters."""
    groups = residuals.shape[-1]
    if groups < 2:
        return np.zeros(residuals.shape[:-1])
    return groups / (groups - 1) * (residuals**2).sum(axis=-1) / n**2


def _student(degrees: int, alpha: Array) -> Array:
    return -stdtrit(degrees, np.asarray(alpha) / 2)


def _wilson(p: Array, square_over_size: Array) -> tuple[Array, Array]:
    """Return Wilson's limits, see `common.intervals.wilson`."""
    c = square_over_size
    middle, half = (p + c / 2) / (1 + c), np.sqrt(c * p * (1 - p) + c * c / 4) / (1 + c)
    low, high = np.maximum(0.0, middle - half), np.minimum(1.0, middle + half)
    return np.where(p == 0, 0.0, low), np.where(p == 1, 1.0, high)
