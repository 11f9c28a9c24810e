"""How the numbers were made, and what they do not say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from workflow.scripts.report.schema import Report
from workflow.scripts.report.tables.judges import judge_tests
from workflow.scripts.report.tables.table import join, model_name, points

METHODS = (
    "Intervals are 95 %. Proportions have Wilson's score interval; where an item has several "
    "samples, several seeds, or a prompt that is repeated, its effective size comes from the "
    "variance over prompts (Korn & Graubard 1998). These intervals speak of other items, not of "
    "other training seeds.",
    "Over seeds and items: an interval over other trainings and other items, from the crossed "
    "analysis of variance of seeds and items; from three seeds on, the headline, the "
    "published values and the figures of accuracy and harm use it. The standard deviation over "
    "seeds is given beside it.",
    "Several samples of an item: accuracy is avg@k, the mean of all of them; pass@k is the "
    "unbiased estimate (Chen et al. 2021).",
    "Changes against the LRM are paired by item: Newcombe's interval (1998, method 10). p is "
    "McNemar's exact test for one sample per item; it may disagree with the interval in borderline "
    "cases. With several samples, p is found by inverting the interval. Mean accuracy over several "
    "benchmarks weighs each the same; limits are squared and added.",
    "An alignment is said to cost accuracy where p is below 0.05 and, from three seeds on, the "
    "interval over seeds and items is clear of zero, too.",
    "p is adjusted by Holm within a family: one metric, all alignments of all LRMs, at the final "
    "epoch (mean rows), at earlier epochs (mean rows), and the same by seed.",
    "Safety tax: points of reasoning accuracy lost against the LRM; per harm point removed with "
    "Fieller's interval over items, given only where the harm removed is clear of zero.",
    "Frontier: the methods that no other dominates by its estimates. Resamples draw the same "
    "items, and from three seeds on the same seeds, for all methods (n - 1 of n, Rao & Wu 1988). "
    'Who dominates whom: an intersection-union test (Berger 1982) of "worse by the margin or more '
    'on some measure", each at its own p, and "better on none", Bonferroni over the measures; p '
    "is where the paired interval touches the margin or zero, Holm over the ordered pairs of an "
    "LRM. Of a cost the margin is a share of the second's, and p is Student's over the seeds; with "
    "fewer than three seeds what was spent decides. Hypervolume: reversed percentile interval of "
    "the same resamples.",
    "Tokens of thinking: Student's interval over items; the seeds' half widths are averaged.",
    "Leak and escape are shares of the samples whose thinking and answer both have a verdict.",
    "A harmful score over several benchmarks is their unweighted mean, each by its first scorer.",
    "Truncated and unanswered samples stay in n: a reasoning sample without an answer is not "
    "correct. Only samples without a verdict (judge or API error) are left out of n valid.",
)
LIMITS = (
    "Intervals speak of other items for the models trained here; few training seeds say little "
    "about other seeds.",
    "A harmful score is what the judge flags; the judge's own errors are not in the intervals.",
    "Reasoning accuracy is of the benchmarks named here, at the thinking budget named here; a "
    "truncated sample counts by its forced answer.",
    "Over-refusal is read from the form of the answer.",
    "p values are adjusted within a family; looking at many epochs and picking the best is not "
    "covered by them.",
)


def limits(report: Report) -> list[str]:
    """Return what the numbers do not say, with this experiment's own failures first."""
    return [
        *(f"Missing: {line}." for line in report["missing"]),
        *_unfinished(report),
        *_failed_training(report),
        *_judges(report),
        *_overlap(report),
        *_adopted(report),
        *LIMITS,
    ]


def _unfinished(report: Report) -> Iterator[str]:
    counts: Counter[str] = Counter()
    for row in report["rows"]:
        if row["final"] and row["seed"] == "mean":
            for one in row["states"].values():
                counts.update(one)
    samples = counts.total()
    failures = [f"{count} {state}" for state, count in sorted(counts.items()) if state != "ok"]
    if failures:
        yield f"Of {samples} scored samples of the final epochs {join(failures)} are not ok."
    else:
        yield f"All {samples} scored samples of the final epochs are ok."


def _failed_training(report: Report) -> Iterator[str]:
    words = {
        "failed": "Training missed its gate for",
        "missed": "No candidate was within the limits of the selection for",
    }
    for status, text in words.items():
        found = {
            f"{row['lrm']}: {model_name(row)}"
            for row in report["rows"]
            if row["status"] == status and row["seed"] != "mean_ok"
        }
        if found:
            yield f"{text} {join(sorted(found))}; shown all the same."


def _judges(report: Report) -> Iterator[str]:
    tests = judge_tests(report)
    for name, _, measure, one in tests:
        if measure in ("miss_rate", "false_alarm_rate"):
            label = measure.replace("_", " ")
            yield f"The judge {name} has a {label} of {points(one)} % on held-out answers."
    if not tests:
        yield "The harm judge was not measured on held-out answers here."
    for one in report["agreement"]:
        if one["role"] == "all":
            yield (
                f"{one['first']} and {one['second']} agree on {points(one)} % of the samples of "
                f"{one['benchmark']}."
            )


def _overlap(report: Report) -> Iterator[str]:
    shared = [
        f"{one['normalised']['count']} of {one['n_benchmark']} prompts of {one['benchmark']} are "
        f"in {one['train']}"
        for one in report["overlap"]
        if one["normalised"]["count"]
    ]
    if shared:
        yield f"Training and evaluation overlap: {join(shared)} (but for case and signs)."
    elif report["overlap"]:
        yield "No benchmark prompt is in a training set, but for case and punctuation."


def _adopted(report: Report) -> Iterator[str]:
    adopted = report["origins"].get("adopted", [])
    if adopted:
        yield f"{len(adopted)} results are older than today's code and were adopted as they are."
