"""Files of lm-eval's tasks: what they include, and what the modules beside them import."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from workflow.scripts.common.codehash import ROOT
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.pins import package_of, read_lock


def list_task_files(folder: Path) -> list[Path]:
    """Return the YAML files of a folder, and those that they include."""
    if not folder.is_dir():
        raise InputError(
            f"include_path {shown_path(folder)}: no such folder, expected one of task files"
        )
    found: list[Path] = []
    waiting = sorted(folder.rglob("*.yaml"))
    while waiting:
        path = waiting.pop(0).resolve()
        if path not in found and path.is_file():
            found.append(path)
            waiting += [path.parent / one for one in list_texts(_read_plainly(path).get("include"))]
    return found


def _read_plainly(path: Path) -> dict[str, Any]:
    """Return a task's file without what it names by `!function`."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda *_: None)
    try:
        found = yaml.load(path.read_bytes(), Loader)
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise InputError(f"{shown_path(path)}: not YAML ({said})") from None
    return found if isinstance(found, dict) else {}


def imported_packages(files: Iterable[Path]) -> Iterator[str]:
    """Yield the packages that modules import, as far as `envs/train.txt` pins them."""
    for path in files:
        try:
            nodes = list(ast.walk(ast.parse(path.read_bytes())))
        except SyntaxError as error:
            raise InputError(f"{shown_path(path)}:{error.lineno}: {error.msg}") from None
        names = [one.name for node in nodes if isinstance(node, ast.Import) for one in node.names]
        names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        for name in {name.partition(".")[0] for name in names}:
            if package_of(name) in read_lock("train"):
                yield name


def list_texts(value: Any) -> Iterator[str]:
    """Yield the texts of a text, a list or a mapping."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from list_texts(one)


def shown_path(path: Path) -> str:
    """Return a path relative to the clone, where it is in it."""
    above = next((root for root in (ROOT, ROOT.resolve()) if path.is_relative_to(root)), None)
    return str(path.relative_to(above) if above else path)
