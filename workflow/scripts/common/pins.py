"""The package versions that an environment pins."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from workflow.scripts.common.errors import InputError

ENVS = Path(__file__).parents[3] / "envs"


@cache
def _lock(environment: str) -> dict[str, str]:
    lines = (ENVS / f"{environment}.txt").read_text().splitlines()
    pins = (re.match(r"([A-Za-z0-9._-]+)==(\S+)", line) for line in lines)
    return {_normalised(pin[1]): pin[2] for pin in pins if pin}


def pinned_versions(packages: tuple[str, ...], environment: str = "train") -> dict[str, str]:
    """Return the pinned versions of `packages` in `envs/<environment>.txt`.

    Raises:
        InputError: A package is not pinned there.
    """
    lock = _lock(environment)
    missing = [package for package in packages if _normalised(package) not in lock]
    if missing:
        raise InputError(f"envs/{environment}.txt: no pin of {', '.join(missing)}")
    return {package: lock[_normalised(package)] for package in packages}


def _normalised(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()
