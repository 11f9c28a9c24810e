"""The name of a run, as an object with parts: formatted and parsed here only.

>>> RunId("aligned", "tiny", "directrefusal", seed=1, epochs=3)
aligned/tiny/directrefusal/seed1-epochs3
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(
    r"(?P<role>base|lrm|aligned)/(?P<model>[^/]+)(?:/(?P<alignment>[^/]+))?/"
    r"(?:hub|seed(?P<seed>\d+)(?:-epochs(?P<epochs>\d+))?)"
)


@dataclass(frozen=True)
class RunId:
    """Which run of an experiment.

    Attributes:
        role: `base`, `lrm` or `aligned`.
        model: Name of the base or, for the other two, of the LRM.
        alignment: Name of the alignment; None unless aligned.
        seed: Training seed; None for a ready-made model.
        epochs: Epochs of this run, where an alignment trains a model for each number of them.
    """

    role: str
    model: str
    alignment: str | None = None
    seed: int | None = None
    epochs: int | None = None

    def __str__(self) -> str:
        last = "hub" if self.seed is None else f"seed{self.seed}"
        last += f"-epochs{self.epochs}" if self.epochs else ""
        return "/".join(filter(None, (self.role, self.model, self.alignment, last)))

    @classmethod
    def parse(cls, name: str) -> RunId:
        """Return the parts of a run's name.

        Raises:
            ValueError: The text is not a run's name.
        """
        found = _NAME.fullmatch(name)
        if found is None or (found["role"] == "aligned") != bool(found["alignment"]):
            raise ValueError(f"{name!r}: expected base/NAME/seedK, lrm/NAME/hub or the like")
        seed, epochs = (int(found[part]) if found[part] else None for part in ("seed", "epochs"))
        return cls(found["role"], found["model"], found["alignment"], seed, epochs)
