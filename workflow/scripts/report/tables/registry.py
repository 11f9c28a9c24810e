"""The report's tables, in the order that they are read."""

from __future__ import annotations

from collections.abc import Callable

from workflow.scripts.report.schema import Report
from workflow.scripts.report.tables import (
    alignments,
    benchmarks,
    cost,
    detectable,
    durability,
    frontier,
    judges,
    leaks,
    origins,
    overlap,
    published,
    samples,
    stability,
    tradeoff,
    variance,
)
from workflow.scripts.report.tables.table import Table
from workflow.scripts.report.titles import with_titles

TABLES: tuple[Callable[[Report], Table], ...] = (
    tradeoff.main,
    tradeoff.without_failed,
    frontier.methods,
    frontier.dominance,
    frontier.volume,
    durability.durability,
    benchmarks.by_benchmark,
    leaks.leaks,
    cost.cost,
    alignments.alignments,
    tradeoff.by_seed,
    tradeoff.by_epoch,
    variance.variance,
    published.published,
    judges.judges,
    judges.agreement,
    overlap.overlap,
    overlap.clean,
    stability.stability,
    samples.lengths,
    samples.states,
    detectable.detectable,
    origins.models,
    origins.selections,
    origins.data,
    origins.recipes,
    origins.adopted,
)


def build_tables(report: Report) -> list[Table]:
    """Return the tables that have rows, with titles for names."""
    titled = with_titles(report)
    return [table for make in TABLES if (table := make(titled)).rows]
