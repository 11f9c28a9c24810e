"""Our values beside published ones."""

from __future__ import annotations

from collections.abc import Sequence

from workflow.scripts.common.intervals import Estimate, proportion
from workflow.scripts.report.differences import independent_difference
from workflow.scripts.report.experiment import PublishedValue
from workflow.scripts.report.schema import DifferenceValue, MetricValue, PublishedRow, TradeoffRow
from workflow.scripts.report.spread import as_difference, over_both


def against_published(
    rows: Sequence[TradeoffRow], published: Sequence[PublishedValue]
) -> list[PublishedRow]:
    """Return our value beside each published one, and whether the two are compatible.

    Args:
        rows: `build_rows`'s.
        published: The experiment's.

    Our interval is that over seeds and items where there is one. Compatible means that the interval
    of the difference (Newcombe's, independent samples) holds 0; without n, that our interval holds
    the value; None when either cannot be said.
    """
    found: list[PublishedRow] = []
    for entry in published:
        row = next((row for row in rows if _is_published(row, entry)), None)
        ours = row["metrics"].get(entry["metric"]) if row else None
        ours = over_both(ours) if ours else None
        compatible, difference = _compatible(ours, entry["value"] / 100, entry.get("n"))
        role, name, *alignment = entry["model"].split("/")
        found.append(
            {
                "model": entry["model"],
                "role": role,
                "name": name,
                "alignment": alignment[0] if alignment else None,
                "epoch": entry.get("epoch"),
                "metric": entry["metric"],
                "status": row["status"] if row else "ok",
                "published": entry["value"] / 100,
                "published_n": entry.get("n"),
                "source": entry.get("source", ""),
                "ours": ours,
                "difference": difference,
                "compatible": compatible,
            }
        )
    return found


def _compatible(
    ours: MetricValue | None, value: float, n: int | None
) -> tuple[bool | None, DifferenceValue | None]:
    """Return whether ours and the published value are compatible, and their difference."""
    if not ours or ours["low"] is None or ours["high"] is None:
        return None, None
    if not n:
        return ours["low"] <= value <= ours["high"], None
    estimate = Estimate(ours["estimate"], ours["low"], ours["high"], ours["items"])
    change = independent_difference(proportion(round(value * n), n), estimate)
    return (change.low or 0) <= 0 <= (change.high or 0), as_difference(change)


def _is_published(row: TradeoffRow, entry: PublishedValue) -> bool:
    model = "/".join(filter(None, (row["role"], row["name"], row["alignment"])))
    epoch = entry.get("epoch")
    at = row["final"] if epoch is None else row["epoch"] == epoch
    return bool(row["seed"] == "mean" and model == entry["model"] and at)
