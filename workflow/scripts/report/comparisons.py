"""Models against each other: paired by item, with Holm's p over each family of tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from workflow.scripts.report.differences import (
    Difference,
    average,
    holm,
    paired_difference,
    paired_grades,
)
from workflow.scripts.report.metrics import COMPARED, Metric
from workflow.scripts.report.results import At, Results
from workflow.scripts.report.schema import AlignmentPair, ChangeValue, FamilyTest
from workflow.scripts.report.spread import (
    as_difference,
    describe_both,
    describe_seeds,
    mean_by_item,
    mean_of,
)

Pairs = Sequence[tuple[At, At]]


@dataclass(frozen=True)
class Change:
    """A metric's difference on one benchmark.

    Attributes:
        difference: Over items.
        by_item: {item: second - first} of each seed.
        clusters: {item: cluster}.
    """

    difference: Difference
    by_item: Sequence[Mapping[str, float]]
    clusters: Mapping[str, str]

    def by_seed(self) -> list[float | None]:
        """Return the mean change of each seed."""
        return [mean_of(one.values()) for one in self.by_item]


def compare(results: Results, pairs: Pairs) -> dict[str, ChangeValue]:
    """Return {metric: paired difference by item, by seed, over seeds and items}, second - first.

    A metric is left out where a pair was not measured on all of its benchmarks.

    Args:
        results: All verdicts.
        pairs: For each seed ((first model, checkpoint), (second model, checkpoint)).
    """
    found = {}
    for name, metric in COMPARED.items():
        benchmarks = results.benchmarks(metric.kind)
        changes = [_change(results, pairs, benchmark, metric) for benchmark in benchmarks]
        known = [one for one in changes if one is not None]
        if known and len(known) == len(benchmarks):
            found[name] = _over_benchmarks(known)
    return found


def _change(results: Results, pairs: Pairs, benchmark: str, metric: Metric) -> Change | None:
    """Return the change on a benchmark by its first scorer; None where no item is shared."""
    scorer, clusters = results.scorers(benchmark)[0], results.clusters(benchmark)
    firsts, seconds, changes, samples = [], [], [], [0, 0]
    graded = False
    for pair in pairs:
        first, second = (results.items(*at, benchmark, scorer, metric) for at in pair)
        shared = [item for item in first.values if item in second.values]
        for side, items in enumerate((first, second)):
            samples[side] += sum(items.valid[item] for item in shared)
            graded |= items.graded
        firsts.append({item: first.values[item] for item in shared})
        seconds.append({item: second.values[item] for item in shared})
        changes.append({item: second.values[item] - first.values[item] for item in shared})
    if not any(firsts):
        return None
    before, after = mean_by_item(firsts), mean_by_item(seconds)
    if graded:
        return Change(paired_grades(before, after, clusters), changes, clusters)
    return Change(paired_difference(before, after, clusters, min(samples)), changes, clusters)


def _over_benchmarks(changes: Sequence[Change]) -> ChangeValue:
    mean = average([one.difference for one in changes])
    by_seed = [mean_of(seed) for seed in zip(*(one.by_seed() for one in changes), strict=True)]
    crossed, clusters = [one.by_item for one in changes], [one.clusters for one in changes]
    return {
        **as_difference(mean),
        **describe_seeds(by_seed),
        **describe_both(mean, crossed, clusters, -1.0),
    }


def holm_within(family: Sequence[FamilyTest]) -> None:
    """Add to each of a family of tests `p_holm`, Holm's adjusted p, and how many they are."""
    adjusted = holm([one["p"] for one in family])
    size = sum(one["p"] is not None for one in family)
    for one, p in zip(family, adjusted, strict=True):
        one["p_holm"], one["family"] = p, size


def pair_by_seed(first: Mapping[int | None, At], second: Mapping[int | None, At]) -> Pairs:
    """Return the pairs of each seed; a model without a seed of training is beside each of them."""
    known = dict.fromkeys([*first, *second])
    seeds = [seed for seed in known if seed is not None or len(known) == 1]
    found = [[side.get(seed, side.get(None)) for side in (first, second)] for seed in seeds]
    return [(one, other) for one, other in found if one and other]


def compare_alignments(results: Results) -> list[AlignmentPair]:
    """Return the paired differences between the alignments of each LRM at their final epochs."""
    found: list[AlignmentPair] = []
    for lrm in results.experiment["lrms"]:
        aligned = [group for group in results.groups(lrm) if group.role == "aligned"]
        for groups in combinations(aligned, 2):
            first, second = (
                {model.seed: (model, at) for model, at in results.finals(group.models)}
                for group in groups
            )
            pairs = pair_by_seed(first, second)
            found.append(
                {
                    "lrm": lrm,
                    "first": groups[0].alignment,
                    "second": groups[1].alignment,
                    "status": [results.about(group)["status"] for group in groups],
                    "change": compare(results, pairs),
                }
            )
    for metric in COMPARED:
        holm_within([one["change"][metric] for one in found if metric in one["change"]])
    return found
