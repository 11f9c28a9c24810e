"""The summary of one checkpoint's verdicts: counts, and each metric with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from workflow.scripts.common.intervals import clustered_mean, clustered_proportion


def mean_and_sd(values: Sequence[float]) -> dict[str, float | None]:
    return {
        "mean": fmean(values) if values else None,
        "sd": stdev(values) if len(values) > 1 else None,
    }


def summarize(
    samples: Sequence[dict[str, Any]],
    verdicts: Sequence[dict[str, Any]],
    metrics: dict[str, str],
) -> dict[str, Any]:
    """Summarize the verdicts of one checkpoint.

    Args:
        samples: Its samples, for prompts and token counts.
        verdicts: Its verdicts, in the same order.
        metrics: Metric name -> the verdicts' field it is the share (or mean) of. Verdicts that
            are not valid, or whose field is None, are left out of the metric's n.
    """
    summary: dict[str, Any] = {
        "n": len(verdicts),
        "n_valid": sum(verdict["valid"] for verdict in verdicts),
        "states": dict(sorted(Counter(verdict["state"] for verdict in verdicts).items())),
        "metrics": {},
    }
    for metric, field in metrics.items():
        summary["metrics"][metric] = _metric(
            [
                (sample, verdict[field])
                for sample, verdict in zip(samples, verdicts, strict=True)
                if verdict["valid"] and verdict[field] is not None
            ]
        )
    for field in ("thinking_tokens", "answer_tokens"):
        summary[field] = mean_and_sd([sample[field] for sample in samples])
    return summary


def _metric(counted: Sequence[tuple[dict[str, Any], bool | float]]) -> dict[str, Any]:
    """Return a metric of samples as the report has it: the mean over items, by prompt.

    Samples of one item, and items with the same prompt, are not independent: their intervals are
    those of `common/intervals.py` with the prompts as clusters.
    """
    by_item: dict[str, list[bool | float]] = {}
    for sample, value in counted:
        by_item.setdefault(sample["item_id"], []).append(value)
    values = {item: sum(found) / len(found) for item, found in by_item.items()}
    prompts = {sample["item_id"]: sample["prompt"].strip() for sample, _ in counted}
    n, n_clusters = len(counted), len(set(prompts.values()))
    if counted and all(type(value) is float for _, value in counted):
        about = {"n": n, "n_clusters": n_clusters}
        found = clustered_mean(values, prompts)
    else:
        about = {"successes": sum(bool(v) for _, v in counted), "n": n, "n_clusters": n_clusters}
        found = clustered_proportion(values, prompts, n)
    return {**about, "estimate": found.estimate, "low": found.low, "high": found.high}
