"""The models of an experiment, by the names of their runs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from workflow.scripts.common.errors import InputError


@dataclass(frozen=True)
class Model:
    """A trained or ready-made model of one seed. `seed` None is a ready-made one."""

    role: str
    name: str
    alignment: str | None
    seed: int | None

    @property
    def seed_label(self) -> str:
        """The seed as the tables call it."""
        return "hub" if self.seed is None else str(self.seed)


@dataclass(frozen=True)
class Group:
    """The models of one kind, one per seed, as they are shown beside an LRM."""

    lrm: str
    role: str
    name: str
    alignment: str | None
    models: list[Model]


def parse_run(run: str) -> tuple[Model, int | None]:
    """Return the model of a run's name, and its epochs where each epoch count is its own run."""
    parts = run.split("/")
    match = re.fullmatch(r"hub|seed(\d+)(?:-epochs(\d+))?", parts[-1])
    if match is None or {"base": 3, "lrm": 3, "aligned": 4}.get(parts[0]) != len(parts):
        raise InputError(f"run {run!r}: expected base/NAME/seedK, lrm/NAME/hub or the like")
    seed = int(match[1]) if match[1] else None
    alignment = parts[2] if parts[0] == "aligned" else None
    return Model(parts[0], parts[1], alignment, seed), int(match[2]) if match[2] else None


def epoch_of(checkpoint: str) -> int | None:
    """Return the epoch of a checkpoint's name; None for `final` and other names."""
    match = re.fullmatch(r"epoch(\d+)", checkpoint)
    return int(match[1]) if match else None


def by_epoch(checkpoint: str) -> tuple[int, str]:
    """Sort key of checkpoints: epochs in order, others last."""
    return epoch_of(checkpoint) or 10**9, checkpoint
