"""The previous version of a stale result, kept aside until the new one stands.

Snakemake deletes a job's outputs before the job starts, and a training replaces checkpoints. So a
run first puts a second name (a hard link) on the files of every result that it makes anew, below
`results/<experiment>/previous/`. Large files are never written in place here, so a link suffices;
small ones are copied.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from workflow.scripts.common.provenance import read_provenance

# Results that have a folder of their own; the others share one with files of the same stem.
OWN_FOLDER = ("manifest.json", "score.json", "judge.json")
LINKED_BYTES = 1 << 20


def result_files(folder: Path, path: str) -> list[Path]:
    """Return the files that belong to a result, its JSON file last.

    Args:
        folder: `results/<experiment>` or the folder that holds previous results.
        path: The result's JSON file below it.
    """
    result = folder / path
    if path.startswith("report/"):
        found = result.parent.glob("*")
    elif result.name in OWN_FOLDER:
        found = result.parent.rglob("*")
    else:
        found = result.parent.glob(f"{result.stem}.*")
    kept = [file for file in found if file.is_file() and file != result]
    return [*sorted(file for file in kept if not file.name.startswith(".")), result]


def keep_previous(folder: Path, paths: Iterable[str]) -> list[str]:
    """Keep the complete results among `paths` aside; return those that were kept."""
    kept = []
    for path in paths:
        if read_provenance(folder / path) is None:
            continue  # absent or incomplete; an earlier good one may lie aside already
        drop_previous(folder, path)
        for file in result_files(folder, path):
            copy = folder / "previous" / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            _second_name(file, copy)
        kept.append(path)
    return kept


def settle_previous(folder: Path) -> list[str]:
    """Put previous results back where none stands now, and forget the others.

    Returns:
        The results that were put back. They are as stale as before: the next run tries again.
    """
    aside = folder / "previous"
    restored = []
    for stored in sorted(aside.rglob("*.json")):
        path = str(stored.relative_to(aside))
        if not stored.exists() or read_provenance(stored) is None:
            continue  # a part of a result, or its folder is dealt with
        if read_provenance(folder / path) is None:
            _put_back(folder, path)
            restored.append(path)
        drop_previous(folder, path)
    shutil.rmtree(aside, ignore_errors=True)
    return restored


def drop_previous(folder: Path, path: str) -> None:
    """Remove the version of a result that lies aside, if any."""
    for file in result_files(folder / "previous", path):
        file.unlink(missing_ok=True)


def _put_back(folder: Path, path: str) -> None:
    for file in result_files(folder, path):  # what the failed job left
        file.unlink(missing_ok=True)
    for file in result_files(folder / "previous", path):
        target = folder / file.relative_to(folder / "previous")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)


def _second_name(file: Path, copy: Path) -> None:
    if file.stat().st_size >= LINKED_BYTES:
        try:
            os.link(file, copy)
            return
        except OSError:
            pass  # a file system without hard links
    shutil.copy2(file, copy)
