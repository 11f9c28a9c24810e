"""The frontier of an experiment's methods over two or three measures, with what is known of it.

A measure is a metric or a cost: what a method took beside the LRM.

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
    cost_block,
    describe,
    improvement,
    is_comparable,
    list_contenders,
    shared_seeds,
)
from workflow.scripts.report.cost import Costs
from workflow.scripts.report.dominance import (
    dominates,
    hypervolume,
    non_dominated,
    non_dominated_draws,
)
from workflow.scripts.report.measure import measure
from workflow.scripts.report.metrics import FRONTIER, MARGIN, Cost, Measure, read_measure
from workflow.scripts.report.paired import Paired
from workflow.scripts.report.resamples import DRAWS, Block, estimates, resample
from workflow.scripts.report.results import Results
from workflow.scripts.report.savings import Saving, describe_cost
from workflow.scripts.report.schema import DominanceTest, Frontier, FrontierMethod, Interval

Array = Any
AT_ONCE = 64  # pairs of methods; more take more memory


def build_frontiers(results: Results, costs: Costs | None = None) -> list[Frontier]:
    """Return the frontier of each LRM's methods; of none where two measures are not measured.

    A measure after an attack leaves the LRM out, which is not attacked.

    Args:
        results: All verdicts.
        costs: What the models took; None where no measure is a cost.
    """
    section = results.experiment.get("report", {})
    asked = map(read_measure, section.get("frontier", FRONTIER))
    measures = [one for one in asked if isinstance(one.of, Cost) or results.benchmarks(one.of.kind)]
    margin = section.get("frontier_margin", MARGIN) / 100
    if len(measures) < 2:
        return []
    found = []
    for lrm in results.experiment["lrms"]:
        contenders = list_contenders(results, lrm, measures, costs)
        seeds = shared_seeds(contenders)
        if len(contenders) > 1 and seeds:
            blocks = _blocks(results, costs, contenders, seeds, measures)
            found.append(_frontier(results, lrm, contenders, seeds, measures, blocks, margin))
    return found


def _blocks(
    results: Results,
    costs: Costs | None,
    contenders: Sequence[Contender],
    seeds: Sequence[int | None],
    measures: Sequence[Measure],
) -> list[list[Block]]:
    """Return the blocks of each measure."""
    found = []
    for one in measures:
        chosen = [contender.at(seeds, one.attack) for contender in contenders]
        if isinstance(one.of, Cost):
            assert costs is not None  # else there is no contender
            found.append([cost_block(results, costs, chosen, one.of)])
        else:
            found.append(blocks_of(results, chosen, one.of))
    return found


def _frontier(
    results: Results,
    lrm: str,
    contenders: Sequence[Contender],
    seeds: Sequence[int | None],
    measures: Sequence[Measure],
    blocks: Sequence[Sequence[Block]],
    margin: float,
) -> Frontier:
    over_seeds = len(seeds) >= spread.SEEDS_FOR_AN_INTERVAL
    means = estimates(blocks)
    worst = [_worst(one, means[:, k]) for k, one in enumerate(measures)]
    points = better(means, measures, worst)
    draws = better(resample(blocks, over_seeds), measures, worst)
    shares = non_dominated_draws(draws).mean(axis=0)
    listed = points.tolist()
    on_it = non_dominated(listed)
    names = [one.name for one in contenders]
    methods: list[FrontierMethod] = []
    for k, one in enumerate(contenders):
        attacks = {m.attack for m in measures}
        measured = {attack: measure(results, one.at(seeds, attack)) for attack in attacks}
        methods.append(
            {
                **results.about(one.group),
                "metrics": {
                    m.name: describe_cost(of_one[0].values[k, :, 0])
                    if isinstance(m.of, Cost)
                    else measured[m.attack][m.of.name]
                    for m, of_one in zip(measures, blocks, strict=True)
                },
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
        "lrm": lrm,
        "measures": [one.name for one in measures],
        "seeds": ["hub" if seed is None else str(seed) for seed in seeds],
        "over_seeds": over_seeds,
        "resamples": DRAWS,
        "margin": margin,
        "methods": methods,
        "hypervolume": {
            **_volume(points, draws),
            "reference": {one.name: w for one, w in zip(measures, worst, strict=True)},
        },
        "tests": _tests(names, blocks, measures, margin),
    }


def _worst(measure: Measure, means: Array) -> float:
    """Return the worst that a measure can be; of a cost, that of the dearest method."""
    if isinstance(measure.of, Cost):
        return float(means.max()) or 1.0  # 1 where none took anything
    return float(not measure.higher_is_better)


def better(values: Array, measures: Sequence[Measure], worst: Sequence[float]) -> Array:
    """Scale values so that 1 is the best of each measure and 0 the worst."""
    columns = [
        values[..., k] if one.higher_is_better else 1 - values[..., k] / worst[k]
        for k, one in enumerate(measures)
    ]
    return np.stack(columns, axis=-1)


def _volume(points: Array, draws: Array) -> Interval:
    """Return the share of all possible values that some method is at least as good as.

    The reference is the worst of each measure; what is beyond it in a resample, as costs can be,
    counts as the worst. The interval is the reversed percentile one (Davison & Hinkley 1997, 5.6),
    since the largest of noisy values is too large on average, in the resamples as in the estimate.
    """
    estimate = float(hypervolume(points))
    low, high = np.quantile(hypervolume(np.maximum(draws, 0.0)), [0.025, 0.975])
    return {
        "estimate": estimate,
        "low": max(0.0, 2 * estimate - float(high)),
        "high": min(1.0, 2 * estimate - float(low)),
    }


def _tests(
    names: Sequence[str],
    blocks: Sequence[Sequence[Block]],
    measures: Sequence[Measure],
    margin: float,
) -> list[DominanceTest]:
    """Test of each ordered pair whether the first dominates the second.

    What is claimed: the first is worse by at most `margin` on every measure, and better on one;
    of a cost, `margin` is a share of what the second took, and cheaper by less is not better.
    Its p is the largest of those of "worse by the margin or more" on each measure and of "better on
    none", Bonferroni's over the measures (intersection-union test, Berger 1982): the claim is wrong
    with a probability of at most p's level, however the measures depend on each other. Holm's p is
    over all ordered pairs of the LRM.
    """
    of_costs = [isinstance(one.of, Cost) for one in measures]
    if not all(c or is_comparable(of_one) for c, of_one in zip(of_costs, blocks, strict=True)):
        return []
    pairs = list(permutations(range(len(names)), 2))
    found: list[DominanceTest] = []
    # pairs of which a value is missing are made one at a time
    complete = not any(np.isnan(one.values).any() for of_one in blocks for one in of_one)
    at_once = AT_ONCE if complete else 1
    for start in range(0, len(pairs), at_once):
        some = pairs[start : start + at_once]
        first, second = map(np.array, zip(*some, strict=True)) if complete else some[0]
        changes, savings = [], []
        described: dict[str, list[Interval]] = {}
        for of_one, one in zip(blocks, measures, strict=True):
            if isinstance(one.of, Cost):
                took = of_one[0].values[..., 0]
                savings.append(Saving(took[first], took[second]))
                described[one.name] = savings[-1].describe()
            else:
                changes.append(improvement(of_one, one.of, first, second))
                described[one.name] = describe(changes[-1])
        p = np.atleast_1d(dominance_p(changes, margin, savings)).tolist()
        for k, pair in enumerate(some):
            found.append(
                {
                    "first": names[pair[0]],
                    "second": names[pair[1]],
                    "p": p[k],
                    "change": {name: one[k] for name, one in described.items()},
                }
            )
    holm_within(found)
    return found


def dominance_p(changes: Sequence[Paired], margin: float, savings: Sequence[Saving] = ()) -> Array:
    """Return the p of "worse by `margin` or more on some measure, or better on none", by pair.

    Args:
        changes: By how much the first is better than the second, by metric.
        margin: A share.
        savings: By how much it is cheaper, by cost.
    """
    not_worse = [one.p_above(-margin) for one in changes]
    not_worse += [one.p_not_dearer(margin) for one in savings]
    some_better = [one.p_above(0.0) for one in changes]
    some_better += [one.p_cheaper(margin) for one in savings]
    on_one = len(some_better) * np.min(some_better, axis=0)
    return np.minimum(1.0, np.maximum(np.max(not_worse, axis=0), on_one))
