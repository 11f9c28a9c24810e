"""A result: a folder of `results/store/`, complete once it holds `result.json`.

Every script makes its results inside `making`. The graph tells it, as JSON, what a result is made
from, see `MadeFrom`. A script that is called by hand without it leaves no `result.json`.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from workflow.scripts.common.codehash import code_version
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import write_json
from workflow.scripts.common.manifest import git_commit, versions

FORMAT = 1
RESULT = "result.json"
# Lives only as long as the job: what a killed job goes on from.
STATE = "state"
NO_FILES = {RESULT, STATE, "log.txt", "timing.tsv"}


class MadeFrom(TypedDict):
    """What a result is made from, as the graph tells the script that makes it."""

    name: str  # such as models/lrm/tiny/seed1
    rule: str
    key: str
    spec: dict[str, Any]  # all that can change it but its inputs, see `Result.spec`
    inputs: dict[str, str]  # their keys by name; none for a report
    log: str
    link: NotRequired[str]  # where the view of the experiment shows it


class Adopted(TypedDict):
    """Who has taken an earlier result for today's, when and why, and the key it was made under."""

    key: str
    by: str
    at: str  # in UTC
    reason: str


class ResultRecord(MadeFrom):
    """A result's `result.json`."""

    format: int
    files: dict[str, int]  # bytes by name, relative to the folder
    seconds: float
    finished: str  # when, in UTC
    versions: dict[str, str]  # of packages
    git_commit: str | None
    adopted: NotRequired[Adopted]


def is_complete(folder: Path) -> bool:
    """Tell whether a folder of the store holds a complete result."""
    return (folder / RESULT).exists()


def read_result(folder: Path) -> ResultRecord | None:
    """Return a result's record; None where it is absent or not readable."""
    try:
        found = json.loads((folder / RESULT).read_bytes())
    except (OSError, ValueError):
        return None
    return cast(ResultRecord, found) if isinstance(found, dict) else None


@contextmanager
def making(folder: Path, result: MadeFrom | None, started: float | None = None) -> Iterator[None]:
    """Make a result in the block: `result.json` is written when it has ended well.

    Args:
        folder: The result's folder. What the job would go on from after a kill is in `state/`,
            which is removed at the end.
        result: What it is made from; None for a script that is called by hand.
        started: When its work began, of `time.monotonic`; default, now.

    Raises:
        InputError: The code is no longer that from which the result gets its key.
    """
    if result is not None:
        check_code(result)
    started = time.monotonic() if started is None else started
    yield
    shutil.rmtree(folder / STATE, ignore_errors=True)
    if result is not None:
        record: ResultRecord = {
            **result,
            "format": FORMAT,
            "files": _sizes(folder),
            "seconds": round(time.monotonic() - started, 1),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "git_commit": git_commit(),
        }
        write_json(folder / RESULT, record)
        if "link" in result:
            link(Path(result["link"]), folder)


def link(path: Path, folder: Path) -> None:
    """Let `path` be a relative link to a folder of the store.

    It takes the place of another link, and of a copy of a result, which `cp -r` makes of a link.
    """
    target = os.path.relpath(folder, path.parent)
    if path.is_symlink() and os.readlink(path) == target:
        return
    if not path.is_symlink() and is_complete(path):
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.symlink_to(target)
    os.replace(new, path)


def check_code(result: MadeFrom) -> None:
    """Make sure that the code has not changed since the run was planned."""
    for module, version in result["spec"].get("code", {}).items():
        if code_version(module) != version:
            raise InputError(
                f"{result['name']}: the code of {module} changed while the run went on, "
                "expected it as it was at the start; start the run again"
            )


def _sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each file of a result, by its relative name."""
    paths = (path.relative_to(folder) for path in sorted(folder.rglob("*")))
    return {
        str(path): (folder / path).stat().st_size
        for path in paths
        if path.parts[0] not in NO_FILES
        and not path.name.startswith(".")
        and (folder / path).is_file()
    }
