"""Bootstrap of all methods together: in a resample they have the same items and the same seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any
DRAWS = 2000
AT_ONCE = 200  # draws; more take more memory


@dataclass(frozen=True)
class Block:
    """A measure of all methods on one benchmark.

    Attributes:
        benchmark: Its name; blocks of one benchmark have the same items.
        values: (methods, seeds, items), NaN where a sample has no verdict.
        clusters: (items): the number of each item's cluster, from 0.
        samples: How many samples each method's values rest on.
    """

    benchmark: str
    values: Array
    clusters: Array
    samples: Array


def resample(measures: Sequence[Sequence[Block]], over_seeds: bool, draws: int = DRAWS) -> Array:
    """Return each measure of each method in resamples of the items, and of the seeds.

    A measure is the mean over its benchmarks of the mean over items of their mean over seeds. Of n
    clusters n - 1 are drawn, and so of n seeds, so that the variance is not too small by the factor
    (n - 1) / n (Rao & Wu 1988). Every call draws the same.

    Args:
        measures: For each measure its blocks.
        over_seeds: Draw seeds, too; else each resample has all of them once.
        draws: How many resamples.

    Returns:
        Array (draws, methods, measures).
    """
    generator = np.random.default_rng(0)
    seeds = measures[0][0].values.shape[1]
    of_seeds = _draw(generator, seeds, draws) if over_seeds else np.ones((draws, seeds))
    clusters = {block.benchmark: block.clusters for blocks in measures for block in blocks}
    of_clusters = {
        name: _draw(generator, int(one.max()) + 1, draws) for name, one in clusters.items()
    }
    found = []
    for some in _slices(draws):
        columns = []
        for blocks in measures:
            parts = [
                _means(block, of_seeds[some], of_clusters[block.benchmark][some][:, block.clusters])
                for block in blocks
            ]
            columns.append(np.mean(parts, axis=0))
        found.append(np.stack(columns, axis=-1))
    return np.concatenate(found)


def estimates(measures: Sequence[Sequence[Block]]) -> Array:
    """Return each measure of each method: array (methods, measures)."""
    columns = []
    for blocks in measures:
        parts = []
        for block in blocks:
            _, seeds, items = block.values.shape
            parts.append(_means(block, np.ones((1, seeds)), np.ones((1, items)))[0])
        columns.append(np.mean(parts, axis=0))
    return np.stack(columns, axis=-1)


def _means(block: Block, seeds: Array, items: Array) -> Array:
    """Return the methods' weighted means: array (draws, methods).

    Args:
        block: The values.
        seeds: Weights (draws, seeds).
        items: Weights (draws, items).
    """
    columns = []
    for values in block.values:
        known = ~np.isnan(values)
        weights = seeds @ known
        sums = seeds @ np.where(known, values, 0.0)
        there = weights > 0
        by_item = sums / np.where(there, weights, 1.0)
        counted = items * there
        columns.append((counted * by_item).sum(axis=1) / counted.sum(axis=1))
    return np.stack(columns, axis=-1)


def _draw(generator: Any, n: int, draws: int) -> Array:
    """Return how often each of n is drawn: array (draws, n)."""
    if n == 1:
        return np.ones((draws, 1))
    return generator.multinomial(n - 1, np.full(n, 1 / n), size=draws).astype(float)


def _slices(draws: int) -> Iterator[slice]:
    for start in range(0, draws, AT_ONCE):
        yield slice(start, start + AT_ONCE)
