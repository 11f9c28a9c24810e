"""The items of a task of lm-eval: its prompts, word for word, and the rows that it scores by.

Loaded by name by `prepare_benchmark`, so that lm-eval is no part of the code of other benchmarks.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypedDict

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.section import Section, parse_section
from workflow.scripts.config.source import Source
from workflow.scripts.data.hub import check_revision, find_commit, hub_errors, hub_token
from workflow.scripts.data.sources import describe_source
from workflow.scripts.data.tasks import Task, find_task, open_task

if TYPE_CHECKING:
    from workflow.scripts.data.prepare_benchmark import BenchmarkItem
    from workflow.scripts.data.rows import DataReport


class TaskRow(TypedDict):
    """A row of rows.jsonl: a task's own row, by which answers to its item are scored."""

    item_id: str
    doc: dict[str, Any]  # as the task has it


class TaskSelection(Section):
    """A task of lm-eval as the items of a benchmark."""

    task: str
    """Its name"""
    include_path: str | None = None
    """A folder of task files, in place of lm-eval's own"""
    source: Source | None = None
    """Where its rows come from, as the task says; a data set of the hub has its revision"""


def read_items(text: str, name: str) -> tuple[list[BenchmarkItem], list[TaskRow], DataReport]:
    """Return (items, their rows, report) of a section.

    An item's prompt is what lm-eval would send to a model without a chat template: description,
    few-shot examples drawn from its own seed, question, and the beginning of the answer.

    Args:
        text: The section, as JSON.
        name: The benchmark's name.

    Raises:
        InputError: The task cannot be had, has no rows, or a row that is more than text, numbers
            and lists.
    """
    from lm_eval.defaults import DEFAULT_OTHER_SEED

    section = parse_section(TaskSelection, text, name)
    found = find_task(section.task, section.include_path)
    items: list[BenchmarkItem] = []
    rows: list[TaskRow] = []
    with _open(found, section.source, name) as task:
        task.set_fewshot_seed(DEFAULT_OTHER_SEED)
        task.build_all_requests()
        for number, instance in enumerate(task.instances):
            item_id = f"{name}-{number}"
            target = _text(task, instance.doc)
            prompt = instance.args[0]
            items.append({"item_id": item_id, "prompt": prompt, "target": target, "category": ""})
            rows.append(
                {"item_id": item_id, "doc": _as_json(instance.doc, f"{name}: row {number}")}
            )
        version, shots = task.VERSION, task.config.num_fewshot
    report: DataReport = {
        "format": 1,
        "name": name,
        "source": describe_source(section.source) if section.source else found.name,
        "section": section.without_defaults(),
        "task": {"name": found.name, "version": version, "num_fewshot": shots or 0},
        "n": len(items),
    }
    return items, rows, report


@contextmanager
def _open(found: Task, source: Source | None, name: str) -> Iterator[Any]:
    """Open a task with its rows, those of the hub at the revision of the experiment's lock."""
    from datasets import disable_progress_bars
    from huggingface_hub.constants import is_offline_mode

    disable_progress_bars()
    own = found.config.get("dataset_kwargs") or {}
    with tempfile.TemporaryDirectory(prefix="datasets-") as cache:
        try:
            if source is None or source.hub is None:
                yield open_task(found, dataset_kwargs={**own, "cache_dir": cache})
                return
            revision = check_revision(source.hub, source.revision)
            if not is_offline_mode():  # offline, a copy in the cache serves
                find_commit(source.hub, "dataset", revision)  # datasets hides why it finds nothing
            hub = {"revision": revision, "token": hub_token()}
            with hub_errors(source.hub, "dataset", revision):
                yield open_task(found, dataset_kwargs={**own, **hub})
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"{name}: task {found.name}: {type(error).__name__}: {error}"
            ) from error


def _text(task: Any, row: dict[str, Any]) -> str:
    """Return a row's target as text: that of a choice, and several as a JSON list."""
    target = task.doc_to_target(row)
    if isinstance(target, int) and task.config.doc_to_choice is not None:
        target = task.doc_to_choice(row)[target]
    return json.dumps(target, ensure_ascii=False) if isinstance(target, list) else str(target)


def _as_json(row: dict[str, Any], where: str) -> dict[str, Any]:
    try:
        return dict(json.loads(json.dumps(row, allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {error}, expected text, numbers, lists and mappings") from None
