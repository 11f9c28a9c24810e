"""What training sets and benchmarks share."""

from __future__ import annotations

from collections.abc import Callable

from workflow.scripts.report.tables.table import Row, Table, make_table, marked_name, number, points


def overlap(report: Row) -> Table:
    """Return how many prompts are in each training set."""

    def share(level: str) -> Callable[[Row], str]:
        return lambda one: f"{one[level]['count']} ({number(one[level]['share'])} %)"

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
            "Exact": share("exact"),
            "Normalised": share("normalised"),
            "n-gram": share("ngram"),
        },
        report["overlap"],
        2,
    )


def clean(report: Row) -> Table:
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
