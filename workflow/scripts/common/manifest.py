"""Manifests: what stands in a model run's folder, and how it came to be.

A manifest is written after everything it names. Whoever reads a model goes through
`load_checkpoint`, which compares sizes and hashes first.
"""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, sha256_file, write_json

FORMAT = 1
PACKAGES = (
    "torch transformers trl accelerate peft datasets lm_eval vllm math-verify openai numpy scipy "
    "scikit-learn statsmodels pandas tokenizers safetensors"
).split()


def describe_files(folder: str | Path) -> dict[str, dict[str, Any]]:
    """Return {relative name: {"sha256", "bytes"}} of every file below `folder`."""
    folder = Path(folder)
    return {
        str(path.relative_to(folder)): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def write_manifest(run_folder: str | Path, checkpoints: list[str], **fields: Any) -> None:
    """Hash the checkpoints of a finished run and write `manifest.json` beside them.

    Args:
        run_folder: The run's folder.
        checkpoints: Names of its checkpoint folders, the final one last.
        **fields: The other fields of the manifest (see the formats in the README).
    """
    run_folder = Path(run_folder)
    files = {name: describe_files(run_folder / name) for name in checkpoints}
    write_json(
        run_folder / "manifest.json",
        {
            "format": FORMAT,
            "checkpoints": files,
            "final": checkpoints[-1],
            "versions": versions(),
            "git_commit": git_commit(),
            **fields,
        },
    )


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Read a run's manifest, given as the file or its folder.

    Raises:
        InputError: There is no manifest, or it is of another format.
    """
    path = Path(path)
    path = path if path.name == "manifest.json" else path / "manifest.json"
    if not path.exists():
        raise InputError(f"{path.parent}: no manifest.json, expected a complete model run")
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{path}: expected a manifest of format {FORMAT}")
    return manifest


def load_checkpoint(path: str | Path, checkpoint: str | None = None, checked: bool = False) -> Path:
    """Return the folder of a checkpoint (default: the final one) after checking every file.

    Args:
        path: The run's folder, or its manifest.
        checkpoint: Its name.
        checked: The process that started this one has checked the content: it is large.

    Raises:
        InputError: Naming the first file that is missing or differs from the manifest.
    """
    manifest = read_manifest(path)
    run_folder = Path(path).parent if Path(path).name == "manifest.json" else Path(path)
    name = checkpoint or manifest["final"]
    if name not in manifest["checkpoints"]:
        known = ", ".join(manifest["checkpoints"])
        raise InputError(f"{run_folder}: no checkpoint {name!r}, expected one of {known}")
    for file, expected in manifest["checkpoints"][name].items():
        where = run_folder / name / file
        if not where.exists():
            raise InputError(f"{where}: missing, though the manifest names it")
        whole = where.stat().st_size == expected["bytes"]
        if not whole or not (checked or sha256_file(where) == expected["sha256"]):
            raise InputError(
                f"{where}: differs from the manifest, expected sha256 {expected['sha256']}"
            )
    return run_folder / name


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that can change a result."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Return the checked-out commit, with `-dirty` when files differ; None outside git."""
    try:
        text = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return text.stdout.strip()
