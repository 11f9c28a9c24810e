"""Read an experiment's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.mixtures import expand_mixtures
from workflow.scripts.config.read_yaml import read_yaml
from workflow.scripts.config.section import read_section
from workflow.scripts.config.sweeps import expand_sweeps

ROOT = Path(__file__).parents[3]


def load_experiment(name: str, root: Path = ROOT) -> dict[str, Any]:
    """Load `experiments/<name>.yaml`, checked by the classes of `workflow/scripts/config/`.

    Returns:
        The experiment as plain values, without those that equal their default: to write a default
        down makes nothing stale.

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


def check_experiment(value: Any, where: str) -> dict[str, Any]:
    """Return an experiment as `load_experiment` does, from its file's value."""
    from workflow.scripts.config.experiment import Experiment

    sweeps = expand_sweeps(value, where)
    try:
        experiment = read_section(Experiment, sweeps.value, where)
    except InputError as error:
        raise InputError(sweeps.name_place(str(error))) from None
    return expand_mixtures(experiment.without_defaults())
