"""A benchmark's items, as lm-eval reads them from a task."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_jsonl, sha256_file, sha256_text
from workflow.scripts.config.ask import fill
from workflow.scripts.config.generation import PromptFile
from workflow.scripts.config.section import Name, Section, read_section

TASKS = Path(__file__).parents[2] / "tasks"


@dataclass(frozen=True)
class Item:
    """One question of a benchmark.

    Attributes:
        asked: What is asked in place of the prompt; empty: the prompt.
    """

    item_id: str
    prompt: str
    target: str
    category: str
    meta: dict[str, Any] = field(default_factory=dict)
    asked: str = ""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark with its items.

    Attributes:
        section: What decides its samples.
        task: {"name", "version", "sha256"} of the lm-eval task.
        data_sha256: Of the data file.
    """

    section: PromptFile
    task: dict[str, Any]
    data_sha256: str
    items: list[Item]


class Request(Section):
    """One benchmark that is asked of a run."""

    name: Name
    """As the experiment calls it"""
    section: PromptFile
    """What decides its samples"""
    out: Path
    """The folder of the result"""
    result: dict[str, Any] | None = None
    """What the result is made from, see common/result.py; null when called by hand"""


def read_requests(text: str) -> list[Request]:
    """Return the benchmarks of a JSON list.

    Raises:
        InputError: It is no list of benchmarks, or two have the same name.
    """
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise InputError(f"--benchmarks: not JSON ({error})") from None
    if not isinstance(entries, list):
        raise InputError(f"--benchmarks: {type(entries).__name__}, expected a list")
    requests = [
        read_section(Request, entry, f"--benchmarks: entry {number}")
        for number, entry in enumerate(entries, 1)
    ]
    names = [request.name for request in requests]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"--benchmarks: {twice[0]!r} is there twice, expected each name once")
    return requests


def load_benchmark(section: PromptFile, name: str) -> Benchmark:
    """Load a benchmark's items through lm-eval.

    Raises:
        InputError: For a missing, empty or invalid data file, an unknown task, a row without a
            prompt, or one of a reasoning benchmark without a target.
    """
    where = f"benchmark {name}"
    for _ in read_jsonl(section.data):  # its errors name file and line
        pass
    with tempfile.TemporaryDirectory(prefix="datasets-") as cache:
        task, yaml = _load_task(section, where, cache)
        items = _items(task, section)
    return Benchmark(
        section,
        {"name": task.config.task, "version": task.VERSION, "sha256": _task_digest(yaml)},
        sha256_file(section.data),
        items,
    )


def _load_task(section: PromptFile, where: str, cache: str) -> tuple[Any, Path]:
    """Return the lm-eval task over the benchmark's data, and its YAML file."""
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    import datasets
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    name = section.task
    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    if name not in manager.all_subtasks:
        raise InputError(
            f"{where}: task {name!r} is unknown, expected one of {TASKS.parent.name}/{TASKS.name}: "
            f"{', '.join(manager.all_subtasks)}"
        )
    files = {"data_files": {"test": section.data}, "cache_dir": cache}
    try:
        # A group is lm-eval's way to load a known task with other settings.
        entry = {"task": name, "dataset_kwargs": files}
        loaded = manager.load([{"group": "benchmark", "task": [entry]}])
    except Exception as error:
        raise InputError(
            f"{where}: task {name} did not load: {type(error).__name__}: {error}"
        ) from error
    return loaded["tasks"][name], manager.task_index[name].yaml_path


def _items(task: Any, section: PromptFile) -> list[Item]:
    where = section.data
    asked = _columns(task.config.doc_to_text, task.features)
    used = asked | _columns(task.config.doc_to_target, task.features)
    items: dict[str, Item] = {}
    for number, doc in enumerate(task.task_docs, 1):
        for name in sorted(asked):
            if not str(doc.get(name) or "").strip():
                raise InputError(f"{where}: row {number} has no {name}, expected text")
        if section.kind == "reasoning" and not str(task.doc_to_target(doc)).strip():
            raise InputError(f"{where}: row {number} has no target, expected a gold answer")
        item_id = str(doc.get("item_id", number - 1))
        if item_id in items:
            raise InputError(f"{where}: row {number}: id {item_id!r} appears twice")
        category = doc.get("category")
        left_out = used | {"item_id", "category"}
        items[item_id] = Item(
            item_id,
            task.doc_to_text(doc),
            str(task.doc_to_target(doc)),
            category if isinstance(category, str) else "",
            {k: v for k, v in doc.items() if k not in left_out and v is not None},
            fill(section.ask, doc) if section.ask else "",
        )
        if len(items) == section.n:
            break
    if not items:
        raise InputError(f"{where}: no items, expected at least one")
    return list(items.values())


def _columns(template: Any, features: list[str]) -> set[str]:
    """Return the columns that a task's text template reads; none for a function."""
    from jinja2 import meta
    from lm_eval.utils import env

    if not isinstance(template, str):
        return set()
    return (
        {template} if template in features else meta.find_undeclared_variables(env.parse(template))
    )


def _task_digest(yaml: Path) -> str:
    """Hash the task's YAML file and the Python modules beside it."""
    texts = [yaml.read_text(), *(path.read_text() for path in sorted(yaml.parent.glob("*.py")))]
    return sha256_text("\0".join(texts))
