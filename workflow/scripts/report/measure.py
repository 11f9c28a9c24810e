"""Every metric of some models, by benchmark and over benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workflow.scripts.common.intervals import (
    Estimate,
    clustered_mean,
    clustered_proportion,
    mean_with_t,
)
from workflow.scripts.report.differences import average, average_on_same_items
from workflow.scripts.report.metrics import (
    MAIN,
    METRICS,
    THINKING_TOKENS,
    TURNS_AT,
    Metric,
    of_samples,
)
from workflow.scripts.report.results import At, Results
from workflow.scripts.report.schema import MetricValue
from workflow.scripts.report.spread import (
    as_interval,
    describe_both,
    describe_seeds,
    mean_by_item,
    mean_of,
)


@dataclass(frozen=True)
class Measured:
    """A metric on one benchmark.

    Attributes:
        estimate: Over items.
        n: Samples.
        n_valid: Samples that count.
        by_seed: The mean of each seed.
        sides: {item: value} of each seed.
        clusters: {item: cluster}.
    """

    estimate: Estimate
    n: int
    n_valid: int
    by_seed: Sequence[float | None]
    sides: Sequence[Mapping[str, float]] = ()
    clusters: Mapping[str, str] | None = None

    def described(self) -> MetricValue:
        """Return its numbers as `tradeoff.json` has them."""
        return {
            **as_interval(self.estimate),
            **describe_seeds(self.by_seed),
            "n": self.n,
            "n_valid": self.n_valid,
            "items": self.estimate.n,
        }


def measure(results: Results, chosen: Sequence[At]) -> dict[str, MetricValue]:
    """Return every metric of some models (one per seed), averaged over them by item.

    Keys are the metric, averaged over its benchmarks (absent where the models were not measured on
    all of them: such a mean would not compare), then `metric/benchmark`, and
    `metric/benchmark@scorer` for a benchmark's further scorers.
    """
    found: dict[str, MetricValue] = {}
    several = [
        metric
        for kind in MAIN
        for k in _repeats(results, chosen, kind)
        for metric in of_samples(kind, k)
    ]
    for metric in (*METRICS.values(), *several):
        main = []
        for benchmark in results.benchmarks(metric.kind):
            for rank, scorer in enumerate(results.scorers(benchmark)):
                if rank and metric.states:  # states are those of the first scorer
                    continue
                one = _measure_one(results, chosen, benchmark, scorer, metric)
                if one is None:
                    continue
                key = f"{metric.name}/{benchmark}" + (f"@{scorer}" if rank else "")
                found[key] = one.described()
                if not rank:
                    main.append(one)
        if main and len(main) == len(results.benchmarks(metric.kind)):
            found[metric.name] = _over_benchmarks(main, metric)
    return found | _thinking(results, chosen) | _turns(results, chosen)


def _measure_one(
    results: Results, chosen: Sequence[At], benchmark: str, scorer: str, metric: Metric
) -> Measured | None:
    """Return a metric on a benchmark by a scorer; None where no sample counts."""
    items = [results.items(*at, benchmark, scorer, metric) for at in chosen]
    sides = [one.values for one in items]
    values = mean_by_item(sides)
    if not values:
        return None
    clusters = results.clusters(benchmark)
    n = sum(one.n for one in items)
    n_valid = n if metric.states else sum(one.n_valid for one in items)
    if any(one.graded for one in items):
        estimate = clustered_mean(values, clusters)
    else:
        estimate = clustered_proportion(values, clusters, n_valid)
    by_seed = [mean_of(side.values()) for side in sides]
    return Measured(estimate, n, n_valid, by_seed, sides, clusters)


def _over_benchmarks(main: Sequence[Measured], metric: Metric) -> MetricValue:
    """Return a metric's unweighted mean over its benchmarks."""
    mean = _mean(main, average([one.estimate for one in main]))
    if not metric.compared:
        return mean.described()
    sides, clusters = [one.sides for one in main], [one.clusters for one in main]
    return {**mean.described(), **describe_both(mean.estimate, sides, clusters, 0.0)}


def _mean(main: Sequence[Measured], estimate: Estimate) -> Measured:
    by_seed = [mean_of(seed) for seed in zip(*(one.by_seed for one in main), strict=True)]
    n, n_valid = sum(one.n for one in main), sum(one.n_valid for one in main)
    return Measured(estimate, n, n_valid, by_seed)


def _repeats(results: Results, chosen: Sequence[At], kind: str) -> list[int]:
    """Return each k > 1 for which all items of a benchmark of a kind have k samples."""
    sizes = set()
    for benchmark in results.benchmarks(kind):
        found = [results.samples_per_item(*at, benchmark, kind) for at in chosen]
        sizes |= {min((size for size in found if size), default=1)}
    return sorted(sizes - {1})


def _thinking(results: Results, chosen: Sequence[At]) -> dict[str, MetricValue]:
    """Return tokens of thinking: by item, since the seeds and samples of an item are alike."""
    found, main = {}, []
    reasoning = results.benchmarks("reasoning")
    for benchmark in results.benchmarks():
        one = _thinking_on(results, chosen, benchmark)
        if one is None:
            continue
        found[f"{THINKING_TOKENS}/{benchmark}"] = one.described()
        if benchmark in reasoning:
            main.append(one)
    if main and len(main) == len(reasoning):
        mean = _mean(main, average([one.estimate for one in main]))
        found[THINKING_TOKENS] = mean.described()
    return found


def _turns(results: Results, chosen: Sequence[At]) -> dict[str, MetricValue]:
    """Return where harmful thinking turns so, by harmful benchmark: from 0, its start, to 1."""
    found = {}
    for benchmark in results.benchmarks("harmful"):
        sides = [results.turns(*at, benchmark) for at in chosen]
        if values := mean_by_item(sides):
            estimate = clustered_mean(values, results.clusters(benchmark))
            n = sum(map(len, sides))
            one = Measured(estimate, n, n, [mean_of(side.values()) for side in sides])
            found[f"{TURNS_AT}/{benchmark}"] = one.described()
    return found


def _thinking_on(results: Results, chosen: Sequence[At], benchmark: str) -> Measured | None:
    scorer = results.scorers(benchmark)[0]
    by_seed: list[float | None] = []
    estimates, n = [], 0
    for at in chosen:
        one = results.evaluation(*at, benchmark, scorer)
        by_seed.append(one.thinking.get("mean") if one else None)
        if one and by_seed[-1] is not None:
            n += one.n
            prompts = results.prompts[one.number]
            estimates.append(mean_with_t(by_seed[-1], one.thinking.get("sd"), int(prompts)))
    if not estimates:
        return None
    return Measured(average_on_same_items(estimates), n, n, by_seed)
