"""The numbers that a figure draws, and that its CSV holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from workflow.scripts.report.metrics import written_as
from workflow.scripts.report.schema import Interval, MetricValue
from workflow.scripts.report.spread import over_both

Limits = tuple[float, float | None, float | None]  # value, low, high


class Point(TypedDict):
    """A line of a figure's CSV: whose number it is. Each figure adds its own columns."""

    lrm: str
    model: str
    """As `model_name` says it"""
    status: str


class Percent(TypedDict):
    """A number in percent with its interval: over seeds and items, where there is one."""

    percent: float
    low: float | None
    high: float | None


class Samples(TypedDict):
    """How many samples a number rests on, and how many of them count."""

    n: int
    n_valid: int


def percent(metrics: Mapping[str, Interval], metric: str) -> Limits | None:
    """Return (estimate, low, high) of a metric as tables write it (in percent), None without.

    The limits are those over seeds and items where there are some; None where there are none.
    """
    return scaled(metrics.get(metric), written_as(metric)[0])


def scaled(one: Interval | None, scale: float = 100) -> Limits | None:
    """Return (estimate, low, high) of a number, in percent unless said otherwise."""
    value = one.get("estimate") if one else None
    if not one or value is None:
        return None
    shown = over_both(one)
    low, high = (None if end is None else end * scale for end in (shown["low"], shown["high"]))
    return value * scale, low, high


def as_percent(value: Limits) -> Percent:
    """Return three numbers as columns."""
    return {"percent": value[0], "low": value[1], "high": value[2]}


def limits_of(point: Percent) -> Limits:
    """Return the columns as three numbers."""
    return point["percent"], point["low"], point["high"]


def sizes(one: MetricValue) -> Samples:
    """Return what a metric rests on."""
    return {"n": one["n"], "n_valid": one["n_valid"]}


def band(points: Sequence[Percent]) -> tuple[list[float], list[float]]:
    """Return the lower and the upper limits along a line, its own values where there are none."""
    ends = [[p["percent"] if end is None else end for end in (p["low"], p["high"])] for p in points]
    return [low for low, _ in ends], [high for _, high in ends]
