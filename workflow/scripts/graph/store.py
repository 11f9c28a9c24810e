"""The store: `results/store/<stage>/<name>-<key>/`, one folder per result.

The key is a hash of all that can change the result, so a folder is complete and right or absent,
never stale. A job that makes several results has a receipt, `results/store/jobs/<rule>/…json`, as
its output for Snakemake: it says that all of them are complete.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from workflow.scripts.common.result import RESULT, ResultRecord, read_result

if TYPE_CHECKING:
    from workflow.scripts.graph.jobs import Graph

STORE = "results/store"
KEY = r"[0-9a-f]{16}"


def folder_of(name: str, key: str) -> str:
    """Return the folder of a result such as `models/lrm/tiny/seed1`, relative to the clone."""
    return f"{STORE}/{name}-{key}"


def marker_of(name: str, key: str) -> str:
    """Return the file that says that a result is complete."""
    return f"{folder_of(name, key)}/{RESULT}"


def receipt_of(rule: str, name: str, key: str) -> str:
    """Return the file that says that all results of a job are complete."""
    return f"{STORE}/jobs/{rule}/{name}-{key}.json"


def earlier_results(name: str, root: Path) -> list[tuple[str, ResultRecord]]:
    """Return (key, record) of the complete results of this name, the latest first."""
    found = []
    parent, last = os.path.split(f"{STORE}/{name}")
    for entry in _entries(root / parent):
        key = entry[len(last) + 1 :]
        if entry.startswith(f"{last}-") and re.fullmatch(KEY, key):
            record = read_result(root / parent / entry)
            if record is not None:
                found.append((key, record))
    return sorted(found, key=lambda pair: _time_of(pair[1]), reverse=True)


def _time_of(record: ResultRecord) -> str:
    """Return when a result was finished, or adopted."""
    return str(record.get("adopted", {}).get("at") or record.get("finished", ""))


@cache
def _entries(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(os.listdir(folder))
    except OSError:
        return ()


def forget_listings() -> None:
    """Read the folders of the store again from here on."""
    _entries.cache_clear()


def remove_false_receipts(graph: Graph) -> None:
    """Remove the receipts of jobs whose results are not all in the store any more."""
    for job in graph.jobs.values():
        if not all(result.name in graph.complete for result in job.results):
            (graph.root / job.output).unlink(missing_ok=True)
