"""Paired differences as arrays: the same numbers as one pair at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from workflow.scripts.report.differences import average, paired_difference
from workflow.scripts.report.paired import Benchmark, Paired
from workflow.scripts.report.spread import describe_both, mean_by_item

SHAPES = [(seeds, clustered, missing, n) for seeds in (1, 2, 4) for clustered in (False, True)
          for missing in (0.0, 0.1) for n in (1, 2)]  # fmt: skip


def made_up(seeds: int, clustered: bool, missing: float, n: int) -> list[Benchmark]:
    rng = np.random.default_rng(seeds + 10 * n)
    found = []
    for items in (40, 70)[:n]:
        first = (rng.random((seeds, items)) < 0.8).astype(float)
        second = np.where(rng.random((seeds, items)) < 0.3, rng.random((seeds, items)) < 0.5, first)
        first[rng.random((seeds, items)) < missing] = np.nan
        clusters = rng.integers(0, items // 2, items) if clustered else None
        found.append(Benchmark(first, second.astype(float), clusters))
    return found


def one_at_a_time(benchmarks: Sequence[Benchmark]) -> tuple[Any, dict[str, Any]]:
    """The report's own functions over plain dictionaries."""
    differences, crossed, clusters = [], [], []
    for one in benchmarks:
        sides: list[list[dict[int, float]]] = [[], []]
        for seed in range(len(one.first)):
            both = [k for k, x in enumerate(one.first[seed]) if not np.isnan(x)]
            for side, values in zip(sides, (one.first, one.second), strict=True):
                side.append({k: float(values[seed, k]) for k in both})
        of = {} if one.clusters is None else dict(enumerate(one.clusters.tolist()))
        samples = sum(map(len, sides[0]))
        before, after = map(mean_by_item, sides)
        differences.append(paired_difference(before, after, of, samples))
        crossed.append([{k: b[k] - a[k] for k in a} for a, b in zip(*sides, strict=True)])
        clusters.append(of)
    mean = average(differences)
    return mean, describe_both(mean, crossed, clusters, -1.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_limits_are_those_of_one_pair_at_a_time(shape: tuple[int, bool, float, int]) -> None:
    benchmarks = made_up(*shape)
    paired, (items, both) = Paired(benchmarks), one_at_a_time(benchmarks)
    expected = (both["all_low"], both["all_high"])
    if None in expected:  # one seed, or nothing varies over seeds and items
        expected = (items.low, items.high)
    assert float(paired.estimate) == pytest.approx(items.estimate, abs=1e-12)
    assert tuple(map(float, paired.limits())) == pytest.approx(expected, abs=1e-12)


def test_many_pairs_at_once_are_each_as_alone() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.random((20, 3, 50)) < rate for rate in (0.5, 0.6))
    together = Paired([Benchmark(first.astype(float), second.astype(float))])
    low, high = together.limits()
    for k in range(20):
        alone = Paired([Benchmark(first[k].astype(float), second[k].astype(float))])
        expected = (alone.estimate, *alone.limits())
        assert (together.estimate[k], low[k], high[k]) == pytest.approx(expected, abs=1e-12)


def test_p_is_half_the_level_at_which_the_limit_touches_the_bound() -> None:
    paired = Paired(made_up(3, False, 0.0, 1))
    for bound in (-0.3, -0.2):
        p = paired.p_above(bound)
        assert float(paired.limits(2 * p)[0]) == pytest.approx(bound, abs=1e-6)
    assert paired.p_above(float(paired.estimate)) == 1.0


def test_p_of_no_difference_is_half_of_the_two_sided_one() -> None:
    before = {k: (k % 4) / 4 for k in range(60)}
    after = {k: min(1.0, value + (k % 3) / 8) for k, value in before.items()}
    expected = paired_difference(before, after, samples=240).p
    sides = (np.array([list(side.values())]) for side in (before, after))
    paired = Paired([Benchmark(*sides, samples=240)])
    assert 2 * paired.p_above(0.0) == pytest.approx(expected, rel=1e-6)


def test_without_any_difference_the_limits_are_wilsons_for_none_of_n() -> None:
    """Two models that never do harm on n prompts: what is known of the difference."""
    low, high = Paired([Benchmark(np.zeros((1, 140)), np.zeros((1, 140)))]).limits()
    _, expected = proportion_confint(0, 140, method="wilson")
    assert (float(low), float(high)) == pytest.approx((-expected, expected))
