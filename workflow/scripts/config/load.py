"""Read an experiment's file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.mixtures import expand_mixtures
from workflow.scripts.config.read_yaml import read_yaml
from workflow.scripts.config.section import read_section
from workflow.scripts.config.sweeps import expand_sweeps

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment

ROOT = Path(__file__).parents[3]


def load_experiment(name: str, root: Path = ROOT) -> Experiment:
    """Load `experiments/<name>.yaml`, with a name for each mixture.

    Raises:
        InputError: For an unknown experiment, or one line on what is wrong in it.
    """
    path = root / "experiments" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml")))
        raise InputError(
            f"experiment {name!r}: no experiments/{name}.yaml, expected one of {known}"
        )
    where = str(path.relative_to(root))
    return check_experiment(read_yaml(path, where), where)


def check_experiment(value: Any, where: str) -> Experiment:
    """Return an experiment as `load_experiment` does, from its file's value."""
    from workflow.scripts.config.experiment import Experiment

    sweeps = expand_sweeps(value, where)
    try:
        experiment = read_section(Experiment, sweeps.value, where)
    except InputError as error:
        raise InputError(sweeps.name_place(str(error))) from None
    return expand_mixtures(experiment)
