"""Several samples of a prompt: how many of them an interval of a wanted width needs.

The variance of a mean over m prompts with k samples each is that between prompts, B, which more
samples cannot lower, and the noise of sampling over k: B + N / k. N is the mean of the unbiased
variances within prompts over m; over S training seeds it is over m S. B is the rest of the variance
over prompts, from which the report's intervals come.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workflow.scripts.common.intervals import cluster_residuals, covariance, z
from workflow.scripts.report.metrics import MAIN
from workflow.scripts.report.results import Items, Results
from workflow.scripts.report.schema import Stability
from workflow.scripts.report.spread import mean_by_item


@dataclass(frozen=True)
class Spread:
    """The variance of a mean over prompts, in its two parts.

    Attributes:
        between: That of other prompts.
        noise: That of other samples, with one sample of each prompt.
    """

    between: float
    noise: float

    def width(self, k: float) -> float:
        """Return the width of the 95 % interval with k samples a prompt; `math.inf` is allowed."""
        return 2 * z() * math.sqrt(self.between + self.noise / k)

    def samples_for(self, width: float) -> int | None:
        """Return the fewest samples a prompt for an interval of a width; None where none do."""
        left = (width / 2 / z()) ** 2 - self.between
        if left < 1e-12:
            return None
        return max(1, math.ceil(self.noise / left - 1e-9))


def spread_of(seeds: Sequence[Items], clusters: Mapping[str, str] | None = None) -> Spread | None:
    """Return the parts of a metric's variance; None where no item has two samples that count.

    Args:
        seeds: Its values by item, of each training seed.
        clusters: {item: cluster}, for items whose prompts are repeated.
    """
    values = mean_by_item([one.values for one in seeds])
    within, inverse = [], []
    for one in seeds:
        for item, value in one.values.items():
            if (n := one.valid[item]) > 1:
                within.append(n / (n - 1) * value * (1 - value))
                inverse.append(1 / n)
    if not within:
        return None
    residuals = cluster_residuals(values, clusters)
    noise = math.fsum(within) / len(within) / (len(values) * len(seeds))
    as_measured = noise * math.fsum(inverse) / len(inverse)
    variance = covariance(residuals, residuals, len(values))
    return Spread(max(0.0, variance - as_measured), noise)


def stability(results: Results, width: float) -> list[Stability]:
    """Return, of each model at its final epoch on each benchmark with several samples a prompt, how
    many an interval needs.

    Args:
        results: All verdicts.
        width: The wanted width of a 95 % interval, a fraction.
    """
    found: list[Stability] = []
    for lrm in results.experiment["lrms"]:
        for group in results.groups(lrm):
            finals = results.finals(group.models)
            for kind, metric in MAIN.items():
                for benchmark in results.benchmarks(kind):
                    sizes = [results.samples_per_item(*at, benchmark, kind) for at in finals]
                    k = min((size for size in sizes if size), default=1)
                    scorer = results.scorers(benchmark)[0]
                    seeds = [results.items(*at, benchmark, scorer, metric) for at in finals]
                    spread = spread_of(seeds, results.clusters(benchmark)) if k > 1 else None
                    if spread is None:
                        continue
                    found.append(
                        {
                            **results.about(group),
                            "benchmark": benchmark,
                            "metric": metric.name,
                            "k": k,
                            "width": spread.width(k),
                            "narrowest": spread.width(math.inf),
                            "wanted": width,
                            "samples_for_it": spread.samples_for(width),
                        }
                    )
    return found
