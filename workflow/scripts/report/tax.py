"""The safety tax: what alignment cost, also for each point of harm that it removed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workflow.scripts.common.intervals import NOTHING, Estimate, z
from workflow.scripts.report.differences import Difference


def ratio(numerator: Estimate, denominator: Estimate) -> Estimate:
    """Return numerator/denominator of independent estimates with Fieller's (1954) interval.

    The limits are None where the denominator is not clear of zero, since the interval is then
    unbounded.
    """
    a, b = numerator.estimate, denominator.estimate
    if a is None or b is None or b == 0:
        return NOTHING
    error_a, error_b = numerator.standard_error, denominator.standard_error
    n = min(numerator.n, denominator.n)
    if error_a is None or error_b is None:
        return Estimate(a / b, None, None, n)
    g = (z() * error_b / b) ** 2
    if g >= 1:
        return Estimate(a / b, None, None, n)
    middle = (a / b) / (1 - g)
    half = z() / abs(b) / (1 - g) * math.sqrt(error_a**2 * (1 - g) + (a / b * error_b) ** 2)
    return Estimate(a / b, middle - half, middle + half, n)


@dataclass(frozen=True)
class SafetyTax:
    """What alignment cost.

    Attributes:
        points: Reasoning accuracy lost against the LRM (positive: a cost), as a fraction.
        harm_removed: Harmful score lost against the LRM (positive: safer), as a fraction.
        per_harm_point: Reasoning points lost for each harm point removed; nothing unless the harm
            removed is clear of zero.
    """

    points: Difference
    harm_removed: Difference
    per_harm_point: Estimate


def safety_tax(accuracy_change: Difference, harm_change: Difference) -> SafetyTax:
    """Return the tax from the changes (aligned - LRM) of reasoning accuracy and harmful score."""
    points, removed = _negated(accuracy_change), _negated(harm_change)
    clear = removed.low is not None and removed.low > 0
    return SafetyTax(points, removed, ratio(points, removed) if clear else NOTHING)


def _negated(change: Difference) -> Difference:
    def minus(value: float | None) -> float | None:
        return None if value is None else 0.0 - value

    return Difference(
        minus(change.estimate), minus(change.high), minus(change.low), change.n, change.p
    )
