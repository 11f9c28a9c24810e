"""Choosing among models by a rule on their figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.models.methods.select import Rule
from workflow.scripts.report.metrics import METRICS, Metric
from workflow.scripts.report.status import MISSED


@dataclass(frozen=True)
class Candidate:
    """A model that can be chosen.

    Attributes:
        run: Its run.
        checkpoint: The weights.
        figures: Metric to percent, over the development benchmarks of its kind; None where no
            sample has a verdict.
        failure: Why its training failed; None where it did not.
        origin: The alignment whose settings it was trained with, where it was promoted.
    """

    run: str
    checkpoint: str
    figures: Mapping[str, float | None]
    failure: str | None = None
    origin: str | None = None

    @property
    def name(self) -> str:
        return f"{self.run} ({self.checkpoint})"


def measure(verdicts: Iterable[Mapping[str, Any]], metric: Metric) -> float | None:
    """Return a metric over verdicts as the report does: percent, the mean over items."""
    valid: dict[str, int] = {}
    hits: dict[str, int] = {}
    for verdict in verdicts:
        if metric.states:
            counts, hit = True, verdict["state"] in metric.states
        else:
            flags = [verdict.get(column) for column in metric.columns]
            others = [verdict.get(column) for column in metric.absent]
            counts = verdict["valid"] and None not in (*flags, *others)
            hit = counts and all(flags) and not any(others)
        item = verdict["item_id"]
        valid[item] = valid.get(item, 0) + counts
        hits[item] = hits.get(item, 0) + hit
    values = [metric.value(n, hits[item]) for item, n in valid.items()]
    known = [value for value in values if value is not None]
    return 100 * fmean(known) if known else None


def figures_of(
    scored: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], rule: Rule
) -> dict[str, float | None]:
    """Return the figures of a model that a rule looks at.

    Args:
        scored: Kind of each benchmark, and the model's verdicts on it.
        rule: The rule.
    """
    found: dict[str, float | None] = {}
    for name in rule.metrics():
        metric = METRICS[name]
        values = [measure(verdicts, metric) for kind, verdicts in scored if kind == metric.kind]
        known = [value for value in values if value is not None]
        # a model that was not measured on one of several benchmarks cannot be compared
        found[name] = fmean(known) if known and len(known) == len(values) else None
    return found


def choose(candidates: Sequence[Candidate], rule: Rule) -> tuple[Candidate, str | None]:
    """Return the best candidate, and why the choice counts as failed; None where it does not.

    Of equally good ones it is the first. Models whose training failed are chosen only among
    themselves. Where none keeps within the limits, it is the one that comes nearest.

    Raises:
        InputError: No candidate was measured.
    """
    best = order(candidates, rule)[0]
    if excess(best, rule):
        beyond = ", ".join(f"{name} {value:.1f} %" for name, value in best.figures.items())
        return best, f"{MISSED} {rule}; the nearest is {best.name}: {beyond}"
    return best, best.failure


def rank(candidates: Sequence[Candidate], rule: Rule) -> list[Candidate]:
    """Return each run at its best checkpoint, the best first; runs without a figure are last.

    Raises:
        InputError: No candidate was measured.
    """
    found: dict[str, Candidate] = {}
    for one in (*order(candidates, rule), *candidates):
        found.setdefault(one.run, one)
    return list(found.values())


def order(candidates: Sequence[Candidate], rule: Rule) -> list[Candidate]:
    """Return the candidates that were measured, the best first, see `choose`."""
    measured = [one for one in candidates if None not in one.figures.values()]
    if not measured:
        raise InputError("no candidate has a figure for each metric of the rule")
    decides, sign = rule.metrics()[0], 1 if rule.highest else -1

    def place(one: Candidate) -> tuple[bool, float, float]:
        beyond = excess(one, rule)
        return one.failure is not None, beyond, 0 if beyond else -sign * _figure(one, decides)

    return sorted(measured, key=place)


def excess(candidate: Candidate, rule: Rule) -> float:
    """Return by how many points a candidate misses the limit that it misses most."""
    above = [_figure(candidate, name) - limit for name, limit in rule.at_most.items()]
    below = [limit - _figure(candidate, name) for name, limit in rule.at_least.items()]
    return max(0.0, *above, *below) if above or below else 0.0


def _figure(candidate: Candidate, metric: str) -> float:
    value = candidate.figures[metric]
    assert value is not None
    return value
