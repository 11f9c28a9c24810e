"""What a benchmark could find: the smallest loss that a test of its items detects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from workflow.scripts.common.intervals import z

if TYPE_CHECKING:
    from workflow.scripts.report.schema import SmallestLoss

WANTED_WIDTH = 10.0  # points of a 95 % interval, where the experiment does not say


def minimum_detectable_difference(
    n: int, baseline: float = 0.5, power: float = 0.8, discordant: float | None = None
) -> float | None:
    """Return the smallest drop that a two-sided 5 % test of `n` items finds with `power`.

    Args:
        n: Items (per group when unpaired).
        baseline: The proportion that is dropped from; used when unpaired.
        power: Chance of finding the drop.
        discordant: Share of the items on which the two models differ makes the test McNemar's
            (Connor 1987); None is the pooled z test of independent groups.

    Returns:
        A fraction, or None when not even the largest possible drop would be found.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    least, largest = 1e-9, baseline if discordant is None else discordant
    if n == 0 or largest <= least:
        return None
    z_alpha, z_power = z(), float(norm.ppf(power))

    def shortfall(drop: float) -> float:
        if discordant is not None:
            null, actual = discordant, max(discordant - drop * drop, 0.0)
        else:
            low = baseline - drop
            pooled = (baseline + low) / 2
            null, actual = (
                2 * pooled * (1 - pooled),
                baseline * (1 - baseline) + low * (1 - low),
            )
        return drop * math.sqrt(n) - z_alpha * math.sqrt(null) - z_power * math.sqrt(actual)

    if shortfall(largest) < 0:
        return None
    return float(brentq(shortfall, least, largest, xtol=1e-12))  # 0 is a root that says nothing


def detectable_before_run(
    items: Mapping[str, int], baseline: float = 0.5
) -> dict[str, SmallestLoss]:
    """Return what each benchmark could find before anything is measured, for the plan.

    Args:
        items: Benchmark -> number of items.
        baseline: The value that is expected of the LRM; 0.5 is the worst case.

    Returns:
        By benchmark.
    """
    return {
        name: {
            "items": n,
            "unpaired": minimum_detectable_difference(n, baseline),
            "paired_10_percent_differ": minimum_detectable_difference(n, discordant=0.1),
            "paired_20_percent_differ": minimum_detectable_difference(n, discordant=0.2),
        }
        for name, n in items.items()
    }
