"""The numbers that a figure draws, and that its CSV holds."""

from __future__ import annotations

from typing import Any

from workflow.scripts.report.figures.style import Row
from workflow.scripts.report.metrics import written_as
from workflow.scripts.report.spread import over_both
from workflow.scripts.report.tables.table import model_name

Points = list[dict[str, Any]]
Limits = tuple[float, float | None, float | None]


def percent(row: Row, metric: str) -> tuple[float, float | None, float | None] | None:
    """Return (estimate, low, high) of a metric as tables write it (in percent), None without.

    The limits are those over seeds and items where there are some; None where there are none.
    """
    one = over_both(row["metrics"].get(metric) or {})
    if one.get("estimate") is None:
        return None
    scale, _ = written_as(metric)
    low, high = (None if one[key] is None else one[key] * scale for key in ("low", "high"))
    return one["estimate"] * scale, low, high


def numbers(row: Row, metric: str, names: str) -> dict[str, Any] | None:
    """Return `percent`'s numbers under three names."""
    value = percent(row, metric)
    return None if value is None else dict(zip(names.split(), value, strict=True))


def sizes(row: Row, metric: str) -> dict[str, int]:
    """Return how many samples a metric has, and how many of them count."""
    return {key: row["metrics"][metric][key] for key in ("n", "n_valid")}


def who(row: Row, *keys: str) -> dict[str, Any]:
    """Return what names a row, and some more of its keys."""
    about = {key: "" if row[key] is None else row[key] for key in (*keys, "status")}
    return {"lrm": row["lrm"], "model": model_name(row), **about}


def limits_of(point: Row, names: str) -> Limits:
    """Return three numbers of a point: value, low, high."""
    value, low, high = (point[name] for name in names.split())
    return value, low, high
