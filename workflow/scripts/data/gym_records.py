"""The records of a training set that is a task of reasoning-gym, with worked solutions.

Loaded by name by `prepare_records`, so that reasoning-gym is no part of other training sets' code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow.scripts.common.records import Record
from workflow.scripts.config.gym_task import GymTask
from workflow.scripts.config.section import Section, parse_section
from workflow.scripts.data.gym import DRAWS, TRAINING, describe, draw, open_task
from workflow.scripts.data.worked_solutions import WRITERS

if TYPE_CHECKING:
    from workflow.scripts.data.rows import DataReport


class GymRecords(Section):
    """What of a training set decides its records."""

    reasoning_gym: GymTask


def read_records(text: str, name: str) -> tuple[list[Record], DataReport]:
    """Return (records, report) of a section.

    The package's own verifier reads every solution; a question whose solution it refuses, because
    the package's own answer is wrong, is left out and counted.

    Args:
        text: The section, as JSON.
        name: The training set's name.

    Raises:
        InputError: The task has too few different questions.
    """
    section = parse_section(GymRecords, text, name)
    task = section.reasoning_gym
    dataset, write = open_task(task), WRITERS[task.task]
    records: list[Record] = []
    refused = 0
    for place, entry in draw(dataset, TRAINING, DRAWS * task.n):
        thinking, answer = write(entry)
        if dataset.score_answer(answer, entry) != 1:
            refused += 1
            continue
        source = f"reasoning-gym {task.task} item {place}"
        records.append(Record(f"{name}-{place}", entry["question"], thinking, answer, source))
        if len(records) == task.n:
            break
    report = describe(name, task, section, len(records))
    report["refused"] = refused
    return records, report
