"""Whether the sets of mixtures have the rows that are asked for, told before any job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow.scripts.cluster.resources import PinnedRows, generated_rows, most_rows
from workflow.scripts.config.mixtures import parts_of
from workflow.scripts.data.mixing import check_part, count_part

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment


def check_mixtures(experiment: Experiment, pinned: PinnedRows | None = None) -> None:
    """Compare the rows that mixtures ask for with what is known of their sets.

    A set whose size is known as a limit alone (rows may not parse) is checked against it; a ratio
    only where the rows of the first set are known exactly. The job that mixes checks all.

    Args:
        experiment: The checked experiment.
        pinned: The row counts of its lock.

    Raises:
        InputError: A set has too few rows.
    """
    data = experiment.data
    for name, entry in data.items():
        parts = parts_of(entry)
        first = None
        for part in parts:
            exact = generated_rows(experiment, data[part.set])
            most = exact or most_rows(data[part.set], pinned)
            if part is parts[0]:
                first = part.n or exact
            if most and (part.n or (part.ratio and first)):
                check_part(part, most, count_part(part, most, first or 0), f"data.{name}")
