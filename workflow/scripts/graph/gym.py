"""Whether reasoning-gym has the tasks that an experiment names, told before any job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow.scripts.common.errors import InputError
from workflow.scripts.data.gym import open_task
from workflow.scripts.data.worked_solutions import WRITERS

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment


def check_gym_tasks(experiment: Experiment) -> None:
    """Open the tasks of an experiment with their settings; training sets need worked solutions.

    Raises:
        InputError: In one line.
    """
    for section in ("data", "benchmarks"):
        for name, entry in getattr(experiment, section).items():
            if (task := entry.reasoning_gym) is None:
                continue
            where = f"{section}.{name}.reasoning_gym"
            try:
                open_task(task)
            except InputError as error:
                raise InputError(f"{where}: {error}") from None
            if section == "data" and task.task not in WRITERS:
                raise InputError(
                    f"{where}: {task.task!r} has no worked solutions to train on, expected one of "
                    f"{', '.join(WRITERS)}"
                )
