"""Where the numbers come from: models, data, recipes, adopted results."""

from __future__ import annotations

from workflow.scripts.report.metrics import metric_title
from workflow.scripts.report.schema import Report, SelectionCandidate
from workflow.scripts.report.status import WORDS
from workflow.scripts.report.tables.table import MISSING, Table, make_table


def models(report: Report) -> Table:
    """Return where each model comes from."""
    return make_table(
        "models",
        "Models",
        "Each run: where it comes from, first digits of the sha256 of its final weights, what "
        "it was trained on and from, GPU-hours of training.",
        {
            "Run": lambda one: one["run"],
            "Source": lambda one: one["source"],
            "Weights": lambda one: one["weights_sha256"][:12] or MISSING,
            "Data": lambda one: one["data"] or MISSING,
            "From": lambda one: one["parent"] or MISSING,
            "Status": lambda one: WORDS[one["status"]],
            "GPU-hours": lambda one: f"{one['gpu_hours']:.2f}",
        },
        report["origins"].get("models", []),
        6,
        True,
    )


def selections(report: Report) -> Table:
    """Return what models were selected from, with their figures on development benchmarks."""

    def figures(one: SelectionCandidate) -> str:
        named = ((metric_title(name), value) for name, value in one["figures"].items())
        return ", ".join(
            f"{title} {MISSING if value is None else f'{value:.1f}'}" for title, value in named
        )

    return make_table(
        "selections",
        "Selection on development benchmarks",
        "The candidates of each model that was selected by a rule, and their figures on the "
        "development benchmarks, percent. No other table holds these.",
        {
            "Run": lambda one: one["run"],
            "Rule": lambda one: one["rule"],
            "Candidate": lambda one: one["candidate"],
            "Checkpoint": lambda one: one["checkpoint"],
            "Development figures": figures,
            "Chosen": lambda one: "yes" if one["chosen"] else "",
        },
        report["origins"].get("selections", []),
        6,
        True,
    )


def data(report: Report) -> Table:
    """Return where training sets and benchmarks come from."""
    return make_table(
        "data",
        "Data",
        "Training sets and benchmarks: source, revision, size, first digits of the sha256.",
        {
            "Name": lambda one: one["name"],
            "Use": lambda one: one["use"],
            "Source": lambda one: one["source"],
            "Revision": lambda one: one["revision"] or MISSING,
            "n": lambda one: str(one["n"] or MISSING),
            "sha256": lambda one: (one["sha256"] or "")[:12] or MISSING,
        },
        report["origins"].get("data", []),
        4,
        True,
    )


def recipes(report: Report) -> Table:
    """Return the keys in which the recipes differ."""
    found = report["origins"].get("recipes", {"names": [], "rows": []})
    return Table(
        "recipes",
        "Where the recipes differ",
        "Keys that are not the same in all recipes of the models shown.",
        ["Key", *found["names"]],
        found["rows"],
        1 + len(found["names"]),
        True,
    )


def adopted(report: Report) -> Table:
    """Return the results that were taken over from older code or settings."""
    return make_table(
        "adopted",
        "Adopted results",
        "Made under other code or settings than today's, and kept by decision.",
        {
            "Result": lambda one: one["name"],
            "From": lambda one: one["from"],
            "By": lambda one: one["by"],
            "When": lambda one: one["when"],
            "Why": lambda one: one["reason"],
        },
        report["origins"].get("adopted", []),
        5,
        True,
    )
