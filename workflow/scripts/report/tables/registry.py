"""The report's tables, in the order that they are read."""

from __future__ import annotations

from collections.abc import Callable

from workflow.scripts.report.tables import (
    alignments,
    benchmarks,
    detectable,
    durability,
    frontier,
    judges,
    origins,
    overlap,
    published,
    samples,
    tradeoff,
    variance,
)
from workflow.scripts.report.tables.table import Row, Table

TABLES: tuple[Callable[[Row], Table], ...] = (
    tradeoff.main,
    tradeoff.without_failed,
    frontier.methods,
    frontier.dominance,
    frontier.volume,
    durability.durability,
    benchmarks.by_benchmark,
    alignments.alignments,
    tradeoff.by_seed,
    tradeoff.by_epoch,
    variance.variance,
    published.published,
    judges.judges,
    judges.agreement,
    overlap.overlap,
    overlap.clean,
    samples.lengths,
    samples.states,
    detectable.detectable,
    origins.models,
    origins.data,
    origins.recipes,
    origins.adopted,
)


def build_tables(report: Row) -> list[Table]:
    """Return the tables that have rows."""
    return [table for make in TABLES if (table := make(report)).rows]
