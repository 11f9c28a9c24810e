"""By how much one method is cheaper than another: costs are known exactly for each seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtr

from workflow.scripts.common.intervals import over_seeds
from workflow.scripts.report import spread
from workflow.scripts.report.schema import Interval

Array = Any


def describe_cost(by_seed: Array) -> Interval:
    """Return a cost's mean over seeds and Student's interval: from three on, where they differ."""
    found = _describe(by_seed)
    if found["low"] is not None:
        found["low"] = max(0.0, found["low"])
    return found


def _describe(by_seed: Array) -> Interval:
    found = over_seeds(by_seed.tolist())[0]
    if len(by_seed) < spread.SEEDS_FOR_AN_INTERVAL or found.low == found.high:
        return {"estimate": found.estimate, "low": None, "high": None}
    return {"estimate": found.estimate, "low": found.low, "high": found.high}


@dataclass(frozen=True)
class Saving:
    """What the first of two methods took less than the second.

    With fewer than three seeds nothing is known of other trainings: what was spent decides, and p
    is 0 or 1. From three on p is that of Student's test over the seeds, 1 where the estimate is
    not on the claim's side.

    Attributes:
        first: (..., seeds): what the first took.
        second: The same of the second; seeds are the same ones.
    """

    first: Array
    second: Array

    def describe(self) -> list[Interval]:
        """Return each pair's saving as `tradeoff.json` has it."""
        return [_describe(one) for one in np.atleast_2d(self.second - self.first)]

    def p_not_dearer(self, margin: float) -> Array:
        """Return the p of "the first is dearer by more than `margin`", a share of the second."""
        return self._p(self.second * (1 + margin) - self.first, at_zero=True)

    def p_cheaper(self, margin: float) -> Array:
        """Return the p of "the first is cheaper by `margin` at most", a share of the second."""
        return self._p(self.second * (1 - margin) - self.first, at_zero=False)

    @staticmethod
    def _p(gains: Array, at_zero: bool) -> Array:
        seeds, mean = gains.shape[-1], gains.mean(axis=-1)
        claimed = mean >= 0 if at_zero else mean > 0
        p = np.zeros_like(mean)
        if seeds >= spread.SEEDS_FOR_AN_INTERVAL:
            error = gains.std(axis=-1, ddof=1) / np.sqrt(seeds)
            t = mean / np.where(error > 0, error, 1.0)
            p = np.where(error > 0, stdtr(seeds - 1, -t), 0.0)
        return np.where(claimed, p, 1.0)
