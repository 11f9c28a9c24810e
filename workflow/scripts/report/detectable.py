"""The smallest change that a finished experiment's benchmarks could have found."""

from __future__ import annotations

from collections.abc import Iterable

from workflow.scripts.report.metrics import MAIN, Metric
from workflow.scripts.report.power import detectable_before_run, minimum_detectable_difference
from workflow.scripts.report.results import Results
from workflow.scripts.report.schema import Detectable, TradeoffRow


def detectable(results: Results, rows: Iterable[TradeoffRow]) -> list[Detectable]:
    """Return the smallest change that each LRM's benchmarks find with 80 % power, after the run."""
    found: list[Detectable] = []
    for row in rows:
        if row["role"] != "lrm" or row["seed"] != "mean":
            continue
        for metric in MAIN.values():
            for benchmark in results.benchmarks(metric.kind):
                one = row["metrics"].get(f"{metric.name}/{benchmark}")
                if one and one["estimate"] is not None:
                    found.append(
                        _detectable(
                            results, row["lrm"], benchmark, metric, one["items"], one["estimate"]
                        )
                    )
    return found


def _detectable(
    results: Results, lrm: str, benchmark: str, metric: Metric, n: int, estimate: float
) -> Detectable:
    found: Detectable = {
        "lrm": lrm,
        "benchmark": benchmark,
        **detectable_before_run({benchmark: n}, estimate)[benchmark],
    }
    if not metric.higher_is_better:  # it can rise as well as fall
        found["unpaired"] = minimum_detectable_difference(n, max(estimate, 1 - estimate))
    differ = _discordant(results, lrm, benchmark, metric)
    if differ is not None:
        found["differ"] = differ
        found["paired_as_measured"] = minimum_detectable_difference(n, discordant=differ)
    return found


def _discordant(results: Results, lrm: str, benchmark: str, metric: Metric) -> float | None:
    """Return the share of items on which the LRM and its aligned models of a seed differ."""
    scorer = results.scorers(benchmark)[0]
    shares = []
    for name in results.experiment["alignments"]:
        for model in results.models("aligned", lrm, name):
            parent = results.parent(lrm, model)
            if parent is None:
                continue
            before, after = (
                results.items(one, results.final(one), benchmark, scorer, metric).values
                for one in (parent, model)
            )
            shared = [item for item in before if item in after]
            if shared:
                shares.append(sum(before[i] != after[i] for i in shared) / len(shared))
    return sum(shares) / len(shares) if shares else None
