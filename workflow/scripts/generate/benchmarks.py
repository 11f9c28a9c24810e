"""A benchmark's items, as lm-eval reads them from a task."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_jsonl, sha256_file, sha256_text
from workflow.scripts.generate.turns import Decoding

TASKS = Path(__file__).parents[2] / "tasks"
LOADERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
KINDS = ("reasoning", "harmful", "benign")
REQUIRED = {"task", "kind", "decoding"}
OPTIONAL = {"data", "revision", "n", "repeats", "choice_order", "unique_prompts"}


@dataclass(frozen=True)
class Item:
    """One question of a benchmark."""

    item_id: str
    prompt: str
    target: str
    category: str
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Benchmark:
    """A benchmark section with its items.

    Attributes:
        section: As given in the experiment.
        task: {"name", "version", "sha256"} of the lm-eval task.
        data_sha256: Of the local data file; None for a hub data set, which its revision pins.
    """

    section: dict[str, Any]
    decoding: Decoding
    task: dict[str, Any]
    data_sha256: str | None
    items: list[Item]

    @property
    def repeats(self) -> int:
        return self.section.get("repeats", 1)


def load_benchmark(section: dict[str, Any], name: str) -> Benchmark:
    """Check a benchmark section and load its items through lm-eval.

    Raises:
        InputError: For an unknown or missing key, a missing, empty or ill data file, an unknown
            task, a hub data set without a commit, or a row without a prompt.
    """
    where = f"benchmark {name}"
    _check(section, where)
    decoding = Decoding.from_section(section["decoding"], f"{where}: decoding")
    data = section.get("data")
    with tempfile.TemporaryDirectory(prefix="datasets-") as cache:
        task, yaml = _load_task(section, where, cache)
        docs = task.task_docs
        if "choice_order" in section:
            split = task.dataset[task.config.test_split]
            docs = task.config.process_docs(split, choice_order=section["choice_order"])
        items = _items(task, docs, section, f"{data or where}")
    return Benchmark(
        section,
        decoding,
        {"name": section["task"], "version": task.VERSION, "sha256": _task_digest(yaml)},
        sha256_file(data) if data else None,
        items,
    )


def _check(section: dict[str, Any], where: str) -> None:
    known = REQUIRED | OPTIONAL
    if unknown := sorted(set(section) - known):
        raise InputError(
            f"{where}: unknown key {', '.join(unknown)}; "
            f"expected some of {', '.join(sorted(known))}"
        )
    if missing := sorted(REQUIRED - set(section)):
        raise InputError(f"{where}: {', '.join(missing)} missing")
    if section["kind"] not in KINDS:
        raise InputError(
            f"{where}: kind is {section['kind']!r}, expected one of {', '.join(KINDS)}"
        )
    for key in ("n", "repeats"):
        if not isinstance(section.get(key, 1), int) or section.get(key, 1) < 1:
            raise InputError(f"{where}: {key} is {section[key]!r}, expected a positive number")
    if section.get("choice_order", "hash") not in ("hash", "random"):
        raise InputError(
            f"{where}: choice_order is {section['choice_order']!r}, expected hash or random"
        )
    if data := section.get("data"):
        if Path(data).suffix not in LOADERS:
            raise InputError(f"{data}: expected a file of {', '.join(LOADERS)}")
        if Path(data).suffix == ".jsonl":
            for _ in read_jsonl(data):
                pass
        elif not Path(data).is_file():
            raise InputError(f"{data}: no such file")


def _load_task(section: dict[str, Any], where: str, cache: str) -> tuple[Any, Path | None]:
    """Return the lm-eval task and its YAML file."""
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    import datasets
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    name = section["task"]
    # Indexing lm-eval's own tasks takes seconds, so they are looked at last.
    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    if name not in manager.all_subtasks:
        manager = TaskManager(include_path=str(TASKS))
    if name not in manager.all_subtasks:
        raise InputError(
            f"{where}: task {name!r} is unknown, expected one of {TASKS.parent.name}/{TASKS.name} "
            "or of lm-eval"
        )
    entry = manager.task_index[name]
    overrides: dict[str, Any] = {}
    config = entry.cfg or {}
    if data := section.get("data"):
        overrides = {
            "dataset_path": LOADERS[Path(data).suffix],
            "dataset_name": None,
            **dict.fromkeys(("training_split", "validation_split", "fewshot_split")),
            "test_split": "test",
            "dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": cache},
        }
    elif config.get("dataset_path") in LOADERS.values():
        raise InputError(f"{where}: task {name} reads a local file, expected the key data")
    else:
        given = dict(config.get("dataset_kwargs") or {})
        revision = str(section.get("revision") or given.get("revision") or "")
        if len(revision) != 40 or set(revision) - set("0123456789abcdef"):
            raise InputError(
                f"{where}: revision is {revision!r}, expected the commit (40 hex digits) of "
                f"{config.get('dataset_path')}, or data with a local file"
            )
        overrides = {"dataset_kwargs": {**given, "revision": revision}}
    try:
        # A group is lm-eval's way to load a known task with other settings.
        loaded = manager.load([{"group": "benchmark", "task": [{"task": name, **overrides}]}])
    except Exception as error:
        raise InputError(
            f"{where}: task {name} did not load: {type(error).__name__}: {error}"
        ) from error
    return loaded["tasks"][name], entry.yaml_path


def _items(task: Any, docs: Any, section: dict[str, Any], where: str) -> list[Item]:
    asked = _columns(task.config.doc_to_text, task.features)
    used = asked | _columns(task.config.doc_to_target, task.features)
    items: dict[str, Item] = {}
    prompts = set()
    for number, doc in enumerate(docs, 1):
        for name in sorted(asked):
            if not str(doc.get(name) or "").strip():
                raise InputError(f"{where}: row {number} has no {name}, expected text")
        prompt = task.doc_to_text(doc)
        if section.get("unique_prompts") and prompt in prompts:
            continue
        prompts.add(prompt)
        ids = (doc.get(key) for key in ("item_id", "id", "unique_id"))
        item_id = str(next((value for value in ids if value is not None), number - 1))
        if item_id in items:
            raise InputError(f"{where}: row {number}: id {item_id!r} stands twice")
        category = doc.get("category")
        left_out = used | {"item_id", "id", "unique_id", "category"}
        items[item_id] = Item(
            item_id,
            prompt,
            str(task.doc_to_target(doc)),
            category if isinstance(category, str) else "",
            {k: v for k, v in doc.items() if k not in left_out and v is not None},
        )
        if len(items) == section.get("n"):
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


def _task_digest(yaml: Path | None) -> str | None:
    """Hash the task's YAML file and the Python modules beside it."""
    if yaml is None:
        return None
    texts = [yaml.read_text(), *(path.read_text() for path in sorted(yaml.parent.glob("*.py")))]
    return sha256_text("\0".join(texts))
