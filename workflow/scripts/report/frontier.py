"""The frontier of an experiment's methods over two or three measures, with what is known of it.

A method is the LRM as it is, or one of its alignments at the final epoch. It is on the frontier
where no other is at least as good on every measure and better on one, by the means over items and
seeds. How sure that is: the share of resamples in which it is (`resamples.py`), and tests of which
method dominates which.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np

from workflow.scripts.report import spread
from workflow.scripts.report.comparisons import holm_within
from workflow.scripts.report.contenders import (
    Contender,
    blocks_of,
    describe,
    improvement,
    is_comparable,
    list_contenders,
    shared_seeds,
)
from workflow.scripts.report.dominance import (
    dominates,
    hypervolume,
    non_dominated,
    non_dominated_draws,
)
from workflow.scripts.report.measure import measure
from workflow.scripts.report.metrics import FRONTIER, MARGIN, Measure, read_measure
from workflow.scripts.report.paired import Paired
from workflow.scripts.report.resamples import DRAWS, Block, estimates, resample
from workflow.scripts.report.results import Results

Array = Any
AT_ONCE = 64  # pairs of methods; more take more memory


def build_frontiers(results: Results) -> list[dict[str, Any]]:
    """Return the frontier of each LRM's methods; of none where two measures are not measured.

    A measure after an attack leaves the LRM out, which is not attacked.
    """
    section = results.experiment.get("report", {})
    asked = map(read_measure, section.get("frontier", FRONTIER))
    measures = [one for one in asked if results.benchmarks(one.metric.kind)]
    margin = section.get("frontier_margin", MARGIN) / 100
    if len(measures) < 2:
        return []
    found = []
    for lrm in results.experiment["lrms"]:
        contenders = list_contenders(results, lrm, measures)
        seeds = shared_seeds(contenders)
        if len(contenders) > 1 and seeds:
            found.append({"lrm": lrm, **_frontier(results, contenders, seeds, measures, margin)})
    return found


def _frontier(
    results: Results,
    contenders: Sequence[Contender],
    seeds: Sequence[int | None],
    measures: Sequence[Measure],
    margin: float,
) -> dict[str, Any]:
    chosen = {one.attack: [c.at(seeds, one.attack) for c in contenders] for one in measures}
    blocks = [blocks_of(results, chosen[one.attack], one.metric) for one in measures]
    over_seeds = len(seeds) >= spread.SEEDS_FOR_AN_INTERVAL
    points = better(estimates(blocks), measures)
    draws = better(resample(blocks, over_seeds), measures)
    shares = non_dominated_draws(draws).mean(axis=0)
    listed = points.tolist()
    on_it = non_dominated(listed)
    names = [one.name for one in contenders]
    methods = []
    for k, one in enumerate(contenders):
        measured = {attack: measure(results, ats[k]) for attack, ats in chosen.items()}
        methods.append(
            {
                **results.about(one.group),
                "metrics": {m.name: measured[m.attack][m.metric.name] for m in measures},
                "non_dominated": on_it[k],
                "share": float(shares[k]),
                "dominated_by": [
                    name
                    for name, other in zip(names, listed, strict=True)
                    if dominates(other, listed[k])
                ],
            }
        )
    return {
        "measures": [one.name for one in measures],
        "seeds": ["hub" if seed is None else str(seed) for seed in seeds],
        "over_seeds": over_seeds,
        "resamples": DRAWS,
        "margin": margin,
        "methods": methods,
        "hypervolume": _volume(points, draws, measures),
        "tests": _tests(names, blocks, measures, margin),
    }


def better(values: Array, measures: Sequence[Measure]) -> Array:
    """Turn shares around where lower is better: 1 is the best of each measure, 0 the worst."""
    columns = [
        values[..., k] if one.metric.higher_is_better else 1 - values[..., k]
        for k, one in enumerate(measures)
    ]
    return np.stack(columns, axis=-1)


def _volume(points: Array, draws: Array, measures: Sequence[Measure]) -> dict[str, Any]:
    """Return the share of all possible values that some method is at least as good as.

    The reference is the worst that each measure can be. The interval is the reversed percentile
    one (Davison & Hinkley 1997, 5.6), since the largest of noisy values is too large on average, in
    the resamples as in the estimate.
    """
    estimate = float(hypervolume(points))
    low, high = np.quantile(hypervolume(draws), [0.025, 0.975])
    return {
        "estimate": estimate,
        "low": max(0.0, 2 * estimate - float(high)),
        "high": min(1.0, 2 * estimate - float(low)),
        "reference": {one.name: float(not one.metric.higher_is_better) for one in measures},
    }


def _tests(
    names: Sequence[str],
    blocks: Sequence[Sequence[Block]],
    measures: Sequence[Measure],
    margin: float,
) -> list[dict[str, Any]]:
    """Test of each ordered pair whether the first dominates the second.

    What is claimed: the first is worse by at most `margin` on every measure, and better on one.
    Its p is the largest of those of "worse by the margin or more" on each measure and of "better on
    none", Bonferroni's over the measures (intersection-union test, Berger 1982): the claim is wrong
    with a probability of at most p's level, however the measures depend on each other. Holm's p is
    over all ordered pairs of the LRM.
    """
    if not all(map(is_comparable, blocks)):
        return []
    pairs = list(permutations(range(len(names)), 2))
    found: list[dict[str, Any]] = []
    # pairs of which a value is missing are made one at a time
    complete = not any(np.isnan(one.values).any() for of_one in blocks for one in of_one)
    at_once = AT_ONCE if complete else 1
    for start in range(0, len(pairs), at_once):
        some = pairs[start : start + at_once]
        first, second = map(np.array, zip(*some, strict=True)) if complete else some[0]
        changes = [
            improvement(of_one, one.metric, first, second)
            for of_one, one in zip(blocks, measures, strict=True)
        ]
        p = np.atleast_1d(dominance_p(changes, margin)).tolist()
        described = {
            one.name: describe(change) for one, change in zip(measures, changes, strict=True)
        }
        found += [
            {
                "first": names[pair[0]],
                "second": names[pair[1]],
                "p": p[k],
                "change": {name: one[k] for name, one in described.items()},
            }
            for k, pair in enumerate(some)
        ]
    holm_within(found)
    return found


def dominance_p(changes: Sequence[Paired], margin: float) -> Array:
    """Return the p of "worse by `margin` or more on some measure, or better on none", by pair.

    Args:
        changes: By how much the first is better than the second, by measure.
        margin: A share.
    """
    not_worse = np.max([one.p_above(-margin) for one in changes], axis=0)
    some_better = len(changes) * np.min([one.p_above(0.0) for one in changes], axis=0)
    return np.minimum(1.0, np.maximum(not_worse, some_better))
