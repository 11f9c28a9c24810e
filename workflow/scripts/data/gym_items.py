"""The items of a benchmark that is a task of reasoning-gym.

Loaded by name by `prepare_benchmark`, so that reasoning-gym is no part of other benchmarks' code.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Literal

from workflow.scripts.config.gym_task import GymTask
from workflow.scripts.config.section import Section, parse_section
from workflow.scripts.data.gym import DRAWS, describe, draw, open_task

if TYPE_CHECKING:
    from workflow.scripts.data.prepare_benchmark import BenchmarkItem
    from workflow.scripts.data.rows import DataReport
    from workflow.scripts.data.task_items import TaskRow

NO_TARGET = "-"  # of a task with many right answers


class GymBenchmark(Section):
    """What of a benchmark decides its items."""

    reasoning_gym: GymTask
    split: Literal["test", "development"] = "test"


def read_items(text: str, name: str) -> tuple[list[BenchmarkItem], list[TaskRow], DataReport]:
    """Return (items, no rows, report) of a section.

    The end of an item's id is its place in the task's data set, by which it is scored.

    Args:
        text: The section, as JSON.
        name: The benchmark's name.

    Raises:
        InputError: The task has too few different questions.
    """
    section = parse_section(GymBenchmark, text, name)
    task = section.reasoning_gym
    found = draw(open_task(task), section.split, DRAWS * task.n)
    items: list[BenchmarkItem] = [
        {
            "item_id": f"{name}-{place}",
            "prompt": entry["question"],
            "target": str(entry["answer"] or NO_TARGET),
            "category": "",
        }
        for place, entry in islice(found, task.n)
    ]
    return items, [], describe(name, task, section, len(items))
