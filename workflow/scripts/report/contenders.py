"""The ways to treat an LRM, as arrays by seed and item: what the frontier and the gate compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow.scripts.report.cost import WHOLE, Costs
from workflow.scripts.report.metrics import Cost, Measure, Metric
from workflow.scripts.report.paired import Benchmark, Paired
from workflow.scripts.report.resamples import Block
from workflow.scripts.report.results import At, Results
from workflow.scripts.report.runs import Group, Model
from workflow.scripts.report.schema import Interval

Places = Any  # a number, or an array of them
Finals = Mapping[int | None, At]
"""{seed: (model, its last checkpoint)}; the only key of a ready-made model is None."""


@dataclass(frozen=True)
class Contender:
    """The LRM as it is, or after an alignment, at the final epoch.

    Attributes:
        group: What it is.
        finals: Its models; by the attack that tuned them on, None for none.
    """

    group: Group
    finals: Mapping[str | None, Finals]

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.group.alignment or "LRM"

    def at(self, seeds: Sequence[int | None], attack: str | None = None) -> list[At]:
        """Return its models of some seeds; a ready-made one stands for every seed."""
        finals = self.finals[attack]
        return [finals.get(seed) or finals[None] for seed in seeds]


def list_contenders(
    results: Results, lrm: str, measures: Sequence[Measure], costs: Costs | None = None
) -> list[Contender]:
    """Return the LRM and its alignments of which some measures are known.

    That is, measured on all of their benchmarks; and of a cost, every manifest is there.
    """
    found = []
    for group in results.groups(lrm):
        if group.role == "base":
            continue
        finals: dict[str | None, Finals] = {None: dict(_finals(results, group.models))}
        for attack in (one.attack for one in measures if one.attack):
            attacked = results.models("attacked", lrm, group.alignment, attack)
            finals[attack] = dict(_finals(results, attacked))
        if all(
            finals[one.attack]
            and all(_is_known(results, at, one, costs) for at in finals[one.attack].values())
            for one in measures
        ):
            found.append(Contender(group, finals))
    return found


def _finals(results: Results, models: Sequence[Model]) -> list[tuple[int | None, At]]:
    return [(at[0].seed, at) for at in results.finals(models)]


def _is_known(results: Results, at: At, measure: Measure, costs: Costs | None) -> bool:
    metric = measure.of
    if isinstance(metric, Cost):
        return costs is not None and costs.of(results.run(*at), at[1]) is not None
    names = results.benchmarks(metric.kind)
    return bool(names) and all(
        results.items(*at, name, results.scorers(name)[0], metric).values for name in names
    )


def shared_seeds(contenders: Sequence[Contender]) -> list[int | None]:
    """Return the seeds that all contenders have; [None] where all are ready-made."""
    every = [finals for one in contenders for finals in one.finals.values()]
    trained = [set(finals) for finals in every if None not in finals]
    if not trained:
        return [None]
    return sorted(set.intersection(*trained), key=lambda seed: seed or 0)


def blocks_of(results: Results, chosen: Sequence[Sequence[At]], metric: Metric) -> list[Block]:
    """Return a metric of each contender's models, one per seed, by benchmark (first scorer)."""
    return [_block(results, chosen, name, metric) for name in results.benchmarks(metric.kind)]


def cost_block(results: Results, costs: Costs, chosen: Sequence[Sequence[At]], cost: Cost) -> Block:
    """Return what each contender's models took, one per seed, as a block of a single item."""
    took = [[costs.of(results.run(*at), at[1]) for at in one] for one in chosen]
    assert all(of_seed is not None for one in took for of_seed in one)
    values = [[[of_seed[f"{WHOLE}{cost.name}"]] for of_seed in one if of_seed] for one in took]
    # no benchmark can have that name
    return Block(f"cost/{cost.name}", np.array(values), np.array([0]), np.ones(len(values)))


def _block(
    results: Results, chosen: Sequence[Sequence[At]], benchmark: str, metric: Metric
) -> Block:
    scorer, clusters = results.scorers(benchmark)[0], results.clusters(benchmark)
    found = [[results.items(*at, benchmark, scorer, metric) for at in one] for one in chosen]
    items = list(dict.fromkeys(item for one in found for side in one for item in side.values))
    values = np.array(
        [[[side.values.get(item, np.nan) for item in items] for side in one] for one in found],
        dtype=float,
    )
    of_item = [clusters.get(item, item) for item in items]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(of_item))}
    samples = np.array([sum(side.n_valid for side in one) for one in found])
    return Block(benchmark, values, np.array([numbers[name] for name in of_item]), samples)


def improvement(blocks: Sequence[Block], metric: Metric, first: Places, second: Places) -> Paired:
    """Return by how much the first contender is better than the second, paired by item and seed.

    Args:
        blocks: `blocks_of`'s.
        metric: Theirs.
        first: The place of a contender, or, where no value is missing, an array of places.
        second: The place of another, or as many.
    """
    before, after = (second, first) if metric.higher_is_better else (first, second)
    return Paired(
        [
            Benchmark(
                one.values[before],
                one.values[after],
                one.clusters,
                np.minimum(one.samples[before], one.samples[after]),
            )
            for one in blocks
        ]
    )


def is_comparable(blocks: Sequence[Block]) -> bool:
    """Tell whether there are two different prompts at least on each benchmark."""
    return all(int(one.clusters.max()) > 0 for one in blocks)


def describe(paired: Paired) -> list[Interval]:
    """Return each pair's difference with its interval, as `tradeoff.json` has them."""
    columns = map(np.atleast_1d, (paired.estimate, *paired.limits()))
    return [
        {"estimate": float(one), "low": float(low), "high": float(high)}
        for one, low, high in zip(*columns, strict=True)
    ]
