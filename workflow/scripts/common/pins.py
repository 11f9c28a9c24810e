"""The package versions that an environment pins."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from workflow.scripts.common.errors import InputError

ENVS = Path(__file__).parents[3] / "envs"
LOCKS = {"train": ("train", "smollm"), "vllm": ("vllm",)}  # files of envs/
# Imported under another name than the package's own.
NAMES = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "PyYAML"}
# Packages that only show progress or carry files, whose hashes are compared: they change no result.
CHANGE_NOTHING = {"rich", "huggingface_hub", "httpx2"}


@cache
def read_lock(environment: str) -> dict[str, str]:
    """Return {package: version} of an environment, names normalised."""
    text = "".join((ENVS / f"{name}.txt").read_text() for name in LOCKS[environment])
    pins = (re.match(r"([A-Za-z0-9._-]+)==(\S+)", line) for line in text.splitlines())
    return {_normalised(pin[1]): pin[2] for pin in pins if pin}


def pinned_versions(imports: Iterable[str], environment: str = "train") -> dict[str, str]:
    """Return the pinned versions of the packages that compute something, by package.

    Args:
        imports: Names as they are imported.
        environment: The lock of `envs/` that pins them.

    Raises:
        InputError: A package is not pinned there.
    """
    lock = read_lock(environment)
    packages = [package_of(name) for name in sorted(set(imports) - CHANGE_NOTHING)]
    if missing := [package for package in packages if package not in lock]:
        raise InputError(f"envs/{environment}.txt: no pin of {', '.join(missing)}")
    return {package: lock[package] for package in packages}


def package_of(name: str) -> str:
    """Return the package of a top-level import."""
    return _normalised(NAMES.get(name, name))


def _normalised(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()
