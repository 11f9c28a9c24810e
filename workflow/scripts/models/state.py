"""Trainer state: what a preempted training goes on from, saved by time."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from accelerate.utils import wait_for_everyone
from transformers import TrainerCallback

from workflow.scripts.models.sharding import agree

SAVE_MINUTES = 10.0  # of training that a kill may cost
PAYS = 10  # how many times longer than a save the training before it takes, at least
COMPLETE = "complete"  # the file that says that every process has written its part


class SaveByTime(TrainerCallback):
    """Has the trainer save its state when enough training would be lost without it.

    The next save is due `SAVE_MINUTES` after the last one, or `PAYS` times the duration of the
    last one where that is more. So saving takes a tenth of the time at most, and a kill costs the
    longer of the two, and the step it fell into. Nothing is saved after the last step.

    Args of `__init__`:
        steps_per_epoch: The weights after an epoch are written before a state that is past it.
        every_s: Seconds in place of `SAVE_MINUTES`; None saves never.
    """

    def __init__(self, steps_per_epoch: int, every_s: float | None) -> None:
        self.steps_per_epoch, self.every_s = steps_per_epoch, every_s
        self.since, self.begun, self.cost = time.monotonic(), 0.0, 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.since = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self.steps_per_epoch and state.global_step < state.max_steps:
            self._save_when_due(args, control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step < state.max_steps:
            self._save_when_due(args, control)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        wait_for_everyone()  # has written its part
        folder = Path(args.output_dir)
        if args.process_index == 0:
            newest = folder / f"checkpoint-{state.global_step}"
            (newest / COMPLETE).touch()
            for old in set(folder.glob("checkpoint-*")) - {newest}:
                shutil.rmtree(old, ignore_errors=True)
        self.since = time.monotonic()
        self.cost = self.since - self.begun

    def _save_when_due(self, args: Any, control: Any) -> None:
        if self.every_s is None:
            return
        now = time.monotonic()
        due = now - self.since >= max(self.every_s, PAYS * self.cost)
        if agree(due, args.device):
            control.should_save, self.begun = True, now


class AtSteps(TrainerCallback):
    """Calls a function after chosen optimizer steps, with the step; before state is saved there."""

    def __init__(self, steps: Collection[int], after: Callable[[int], None]) -> None:
        self.steps, self.after = steps, after

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step in self.steps:
            self.after(state.global_step)


def last_state(folder: Path) -> Path | None:
    """Return the newest complete trainer state of a folder, if any."""
    complete = [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
