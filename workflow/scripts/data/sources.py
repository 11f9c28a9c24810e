"""Where rows come from: a pinned hub data set, a local file, or a file of an installed package."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, read_jsonl
from workflow.scripts.config.source import Source
from workflow.scripts.data.hub import check_revision, find_commit, hub_errors, hub_token
from workflow.scripts.data.packages import package_file


def read_rows(source: Source) -> list[dict[str, Any]]:
    """Return every row of a source, in its own order; files are .jsonl, .json, .csv or .parquet."""
    if source.path is not None:
        return read_file(Path(source.path))
    if source.package is not None and source.file is not None:
        return read_file(package_file(source.package, source.file))
    return _read_hub(source)


def describe_source(source: Source) -> str:
    """Return the source's short name, the same on every machine."""
    name = source.hub or source.package or Path(str(source.path)).name
    return f"{name}@{source.revision[:12]}" if source.revision else name


def read_file(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a .jsonl, .json (a list of objects), .csv or .parquet file."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix == ".jsonl":
        return list(read_jsonl(path))
    if path.suffix == ".json":
        rows = read_json(path)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InputError(f"{path}: expected a JSON list of objects")
        return rows
    if path.suffix == ".csv":
        with open(path, newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".parquet":
        from pyarrow import ArrowException, parquet

        try:
            return parquet.read_table(path).to_pylist()
        except ArrowException as error:
            raise InputError(f"{path}: not Parquet ({error})") from None
    raise InputError(f"{path}: ends in {path.suffix!r}, expected .jsonl, .json, .csv or .parquet")


def _read_hub(source: Source) -> list[dict[str, Any]]:
    name = str(source.hub)
    revision = check_revision(name, source.revision)
    from huggingface_hub.constants import is_offline_mode

    if not is_offline_mode():  # offline, a copy in the cache serves
        find_commit(name, "dataset", revision)  # datasets hides why it finds nothing
    with hub_errors(name, "dataset", revision):
        if source.file is not None:
            from huggingface_hub import hf_hub_download

            path = hf_hub_download(
                name, source.file, repo_type="dataset", revision=revision, token=hub_token()
            )
            return read_file(Path(path))
        from datasets import load_dataset

        try:
            data = load_dataset(
                name,
                source.config,
                split=source.split,
                revision=revision,
                token=hub_token(),
            )
        except ValueError as error:  # an unknown split or config; the message lists the known ones
            raise InputError(f"source: hub {name}: {error}") from None
    return list(data)
