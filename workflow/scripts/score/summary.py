"""Proportions with 95 % intervals, and the summary of one checkpoint's verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import sqrt
from statistics import NormalDist, fmean, stdev
from typing import Any

Z95 = NormalDist().inv_cdf(0.975)


def wilson_interval(share: float, n: float) -> tuple[float, float]:
    """Return Wilson's 95 % score interval (Wilson 1927) of a share of `n` trials.

    Written out here because importing scipy would take longer than scoring a benchmark.
    """
    center = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 * sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2)) / (1 + Z95**2 / n)
    # exact where rounding would leave 1e-19
    return 0.0 if share == 0 else center - half, 1.0 if share == 1 else center + half


def proportion(
    outcomes: Sequence[bool], clusters: Sequence[Hashable] | None = None
) -> dict[str, Any]:
    """Return {"successes", "n", "n_clusters", "estimate", "low", "high"} of yes/no outcomes.

    Outcomes of one cluster (samples of one prompt) are not independent. Where a cluster has more
    than one, Wilson's interval is taken at the effective sample size n / design effect, the
    design effect being the cluster-robust variance over the binomial one (Korn and Graubard
    1998), and at the number of clusters when all outcomes agree. Fractions from 0 to 1; None for
    estimate and interval when there are no outcomes.
    """
    n, successes = len(outcomes), sum(outcomes)
    groups: dict[Hashable, list[bool]] = {}
    for index, outcome in enumerate(outcomes):
        groups.setdefault(clusters[index] if clusters else index, []).append(outcome)
    result = {"successes": successes, "n": n, "n_clusters": len(groups)}
    if n == 0:
        return {**result, "estimate": None, "low": None, "high": None}
    share, effective = successes / n, float(n)
    if len(groups) < n:
        effective = float(len(groups))
        if 0 < successes < n and len(groups) > 1:
            totals = [sum(group) - share * len(group) for group in groups.values()]
            m = len(groups)
            variance = m / (m - 1) * sum(total**2 for total in totals) / n**2
            binomial = share * (1 - share) / n
            effective = n / max(variance / binomial, 1.0)
    low, high = wilson_interval(share, effective)
    return {**result, "estimate": share, "low": low, "high": high}


def mean_and_sd(values: Sequence[float]) -> dict[str, float | None]:
    return {
        "mean": fmean(values) if values else None,
        "sd": stdev(values) if len(values) > 1 else None,
    }


def mean_score(values: Sequence[float]) -> dict[str, Any]:
    """Return the mean of graded scores with its normal 95 % interval."""
    moments = mean_and_sd(values)
    mean, sd = moments["mean"], moments["sd"]
    half = None if sd is None else Z95 * sd / sqrt(len(values))
    return {
        "n": len(values),
        "estimate": mean,
        "low": None if mean is None or half is None else mean - half,
        "high": None if mean is None or half is None else mean + half,
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
        counted = [
            (verdict[field], sample["prompt"])
            for sample, verdict in zip(samples, verdicts, strict=True)
            if verdict["valid"] and verdict[field] is not None
        ]
        if counted and all(type(value) is float for value, _ in counted):
            summary["metrics"][metric] = mean_score([value for value, _ in counted])
        else:
            outcomes = [bool(value) for value, _ in counted]
            summary["metrics"][metric] = proportion(outcomes, [prompt for _, prompt in counted])
    for field in ("thinking_tokens", "answer_tokens"):
        summary[field] = mean_and_sd([sample[field] for sample in samples])
    return summary
