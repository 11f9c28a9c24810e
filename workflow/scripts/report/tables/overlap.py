"""What training sets and benchmarks share."""

from __future__ import annotations

from workflow.scripts.report.schema import Report, SharedPrompts
from workflow.scripts.report.tables.table import Table, make_table, marked_name, number, points


def overlap(report: Report) -> Table:
    """Return how many prompts are in each training set."""

    def share(one: SharedPrompts) -> str:
        return f"{one['count']} ({number(one['share'])} %)"

    return make_table(
        "overlap",
        "Overlap of training sets and benchmarks",
        f"Benchmark prompts that are in a training set: letter by letter, but for case and "
        f"punctuation, or by {report['ngram']} words in a row.",
        {
            "Training set": lambda one: one["train"],
            "Benchmark": lambda one: one["benchmark"],
            "n train": lambda one: str(one["n_train"]),
            "n benchmark": lambda one: str(one["n_benchmark"]),
            "Exact": lambda one: share(one["exact"]),
            "Normalised": lambda one: share(one["normalised"]),
            "n-gram": lambda one: share(one["ngram"]),
        },
        report["overlap"],
        2,
    )


def clean(report: Report) -> Table:
    """Return harmful scores without the prompts that were trained on."""
    return make_table(
        "clean",
        "Harmful score without prompts that were trained on",
        "Final epoch, mean over seeds, on the prompts that are not in the alignment's data.",
        {
            "LRM": lambda one: one["lrm"],
            "Alignment": marked_name,
            "Benchmark": lambda one: one["benchmark"],
            "Left out": lambda one: str(one["removed"]),
            "Score of the LRM": lambda one: points(one["lrm_score"]),
            "Score": lambda one: points(one["aligned_score"]),
            "n": lambda one: str(one["aligned_score"]["n"]),
        },
        report["clean"],
        3,
    )
