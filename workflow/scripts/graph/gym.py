"""Whether reasoning-gym has the tasks that an experiment names, told before any job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.gym_task import GymTask
from workflow.scripts.config.section import read_section
from workflow.scripts.data.gym import open_task
from workflow.scripts.data.worked_solutions import WRITERS


def check_gym_tasks(experiment: Mapping[str, Any]) -> None:
    """Open the tasks of an experiment with their settings; training sets need worked solutions.

    Raises:
        InputError: In one line.
    """
    for section in ("data", "benchmarks"):
        for name, entry in experiment[section].items():
            if "reasoning_gym" not in entry:
                continue
            where = f"{section}.{name}.reasoning_gym"
            task = read_section(GymTask, entry["reasoning_gym"], where)
            try:
                open_task(task)
            except InputError as error:
                raise InputError(f"{where}: {error}") from None
            if section == "data" and task.task not in WRITERS:
                raise InputError(
                    f"{where}: {task.task!r} has no worked solutions to train on, expected one of "
                    f"{', '.join(WRITERS)}"
                )
