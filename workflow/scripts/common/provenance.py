"""Stamp a result with what it was made from, so that staleness never depends on file times.

The last step of every rule. Into the rule's JSON result goes `provenance`: the job's spec and key
and a digest of the files that belong to the result.

    python -m workflow.scripts.common.provenance --result results/micro/data/overlap.json \
        --provenance '{"key": "…", "spec": {…}}' [--files FILE …]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import read_json, sha256_file, write_json


def read_provenance(path: Path) -> dict[str, Any] | None:
    """Return a result's provenance; None when the result or the stamp is absent or unreadable."""
    try:
        found = json.loads(path.read_bytes())["provenance"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def is_current(provenance: dict[str, Any] | None, key: str) -> bool:
    """Tell whether a result was made under this key, or accepted for it."""
    if provenance is None:
        return False
    return key in (provenance.get("key"), provenance.get("accepted", {}).get("key"))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--result", required=True, type=Path, help="the rule's JSON result")
    parser.add_argument("--provenance", required=True, help="the job's spec and key, as JSON")
    parser.add_argument("--files", nargs="*", default=[], type=Path, help="files that belong to it")
    arguments = parser.parse_args(argv)
    result = read_json(arguments.result) if arguments.result.exists() else {}
    if not isinstance(result, dict):
        raise InputError(f"{arguments.result}: expected a JSON object")
    files = {path.name: sha256_file(path) for path in arguments.files}
    write_json(
        arguments.result,
        {**result, "provenance": {**json.loads(arguments.provenance), "files": files}},
    )


if __name__ == "__main__":
    run(main)
