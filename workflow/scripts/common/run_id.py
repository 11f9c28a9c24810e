"""The name of a run, as an object with parts: formatted and parsed here only.

>>> RunId("aligned", "tiny", "directrefusal", seed=1, epochs=3)
aligned/tiny/directrefusal/seed1-epochs3
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(
    r"(?P<role>base|lrm|aligned|attacked)/(?P<model>[^/]+)(?:/(?P<alignment>[^/]+))?"
    r"(?:/(?P<attack>[^/]+))?/(?:hub|seed(?P<seed>\d+)(?:-epochs(?P<epochs>\d+))?)"
)
# How many names a run's has, by its role.
_NAMES = {"base": 1, "lrm": 1, "aligned": 2, "attacked": 3}


@dataclass(frozen=True)
class RunId:
    """Which run of an experiment.

    Attributes:
        role: `base`, `lrm`, `aligned` or `attacked`.
        model: Name of the base or, for the others, of the LRM.
        alignment: Name of the alignment; None for a base or an LRM.
        seed: Training seed; None for a ready-made model.
        epochs: Epochs of this run, where an alignment trains a model for each number of them.
        attack: Name of the entry of durability; None unless attacked.
    """

    role: str
    model: str
    alignment: str | None = None
    seed: int | None = None
    epochs: int | None = None
    attack: str | None = None

    def __str__(self) -> str:
        last = "hub" if self.seed is None else f"seed{self.seed}"
        last += f"-epochs{self.epochs}" if self.epochs else ""
        return "/".join(filter(None, (self.role, self.model, self.alignment, self.attack, last)))

    @classmethod
    def parse(cls, name: str) -> RunId:
        """Return the parts of a run's name.

        Raises:
            ValueError: The text is not a run's name.
        """
        found = _NAME.fullmatch(name)
        names = found and [found[part] for part in ("model", "alignment", "attack") if found[part]]
        if not (found and names and len(names) == _NAMES[found["role"]]):
            raise ValueError(f"{name!r}: expected base/NAME/seedK, lrm/NAME/hub or the like")
        seed, epochs = (int(found[part]) if found[part] else None for part in ("seed", "epochs"))
        return cls(found["role"], found["model"], found["alignment"], seed, epochs, found["attack"])
