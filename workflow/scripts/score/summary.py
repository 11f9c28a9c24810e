"""The summary of one checkpoint's verdicts: counts, and each metric with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import itemgetter
from statistics import fmean, stdev
from typing import NotRequired, TypedDict

from workflow.scripts.common.intervals import clustered_mean, clustered_proportion
from workflow.scripts.score.scorer import SampleRow, SampleVerdict, TaskScore


class MeanAndSd(TypedDict):
    """A mean and the standard deviation of a sample; None where there are too few values."""

    mean: float | None
    sd: float | None


class MetricSummary(TypedDict):
    """A metric of a checkpoint with its 95 % interval."""

    successes: NotRequired[int]  # not of numbers
    n: int  # samples that count
    n_clusters: int  # different prompts among them
    estimate: float | None
    low: float | None
    high: float | None


class CheckpointSummary(TypedDict):
    """What score.json says of a checkpoint."""

    n: int
    n_valid: int
    states: dict[str, int]
    metrics: dict[str, MetricSummary]
    thinking_tokens: MeanAndSd
    answer_tokens: MeanAndSd
    task: NotRequired[TaskScore]


def mean_and_sd(values: Sequence[float]) -> MeanAndSd:
    return {
        "mean": fmean(values) if values else None,
        "sd": stdev(values) if len(values) > 1 else None,
    }


def summarize(
    samples: Sequence[SampleRow],
    verdicts: Sequence[SampleVerdict],
    metrics: dict[str, str],
) -> CheckpointSummary:
    """Summarize the verdicts of one checkpoint.

    Args:
        samples: Its samples, for prompts and token counts.
        verdicts: Its verdicts, in the same order.
        metrics: Metric name -> the verdicts' field it is the share (or mean) of. Verdicts that
            are not valid, or whose field is None, are left out of the metric's n.
    """
    summary: CheckpointSummary = {
        "n": len(verdicts),
        "n_valid": sum(verdict["valid"] for verdict in verdicts),
        "states": dict(sorted(Counter(verdict["state"] for verdict in verdicts).items())),
        "metrics": {},
        "thinking_tokens": mean_and_sd([sample["thinking_tokens"] for sample in samples]),
        "answer_tokens": mean_and_sd([sample["answer_tokens"] for sample in samples]),
    }
    for metric, field in metrics.items():
        value_of = itemgetter(field)
        summary["metrics"][metric] = _metric(
            [
                (sample, value_of(verdict))
                for sample, verdict in zip(samples, verdicts, strict=True)
                if verdict["valid"] and value_of(verdict) is not None
            ]
        )
    return summary


def _metric(counted: Sequence[tuple[SampleRow, bool | float]]) -> MetricSummary:
    """Return a metric of samples as the report has it: the mean over items, by prompt.

    Samples of one item, and items with the same prompt, are not independent: their intervals are
    those of `common/intervals.py` with the prompts as clusters.
    """
    by_item: dict[str, list[bool | float]] = {}
    for sample, value in counted:
        by_item.setdefault(sample["item_id"], []).append(value)
    values = {item: sum(found) / len(found) for item, found in by_item.items()}
    prompts = {sample["item_id"]: sample["prompt"].strip() for sample, _ in counted}
    graded = bool(counted) and all(type(value) is float for _, value in counted)
    if graded:
        found = clustered_mean(values, prompts)
    else:
        found = clustered_proportion(values, prompts, len(counted))
    summary: MetricSummary = {
        "n": len(counted),
        "n_clusters": len(set(prompts.values())),
        "estimate": found.estimate,
        "low": found.low,
        "high": found.high,
    }
    if not graded:
        summary["successes"] = sum(bool(value) for _, value in counted)
    return summary
