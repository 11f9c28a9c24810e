"""The models of an experiment, by the names of their runs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.run_id import RunId


@dataclass(frozen=True)
class Model:
    """A trained or ready-made model of one seed. `seed` None is a ready-made one.

    `attack` is the entry of durability by which an aligned model was tuned on.
    """

    role: str
    name: str
    alignment: str | None
    seed: int | None
    attack: str | None = None

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
    try:
        found = RunId.parse(run)
    except ValueError as error:
        raise InputError(f"run {error}") from None
    model = Model(found.role, found.model, found.alignment, found.seed, found.attack)
    return model, found.epochs


def epoch_of(checkpoint: str) -> int | None:
    """Return the epoch of a checkpoint's name; None for `final` and other names."""
    match = re.fullmatch(r"epoch(\d+)", checkpoint)
    return int(match[1]) if match else None


def step_of(checkpoint: str) -> int | None:
    """Return the optimizer step of a checkpoint's name; None for other names."""
    match = re.fullmatch(r"step(\d+)", checkpoint)
    return int(match[1]) if match else None


def by_epoch(checkpoint: str) -> tuple[int, str]:
    """Sort key of checkpoints: epochs or steps in order, others last."""
    return epoch_of(checkpoint) or step_of(checkpoint) or 10**9, checkpoint
