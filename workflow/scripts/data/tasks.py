"""lm-eval's tasks: what is known of one by its name, before anything is fetched.

Importing lm-eval and reading its 14,000 task files takes seconds, so what was found is kept in
`.cache/`: by lm-eval's version, and for a folder of task files by their content, too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from workflow.scripts.common.codehash import ROOT
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import (
    canonical_json,
    read_json,
    sha256_file,
    sha256_text,
    write_json,
)
from workflow.scripts.config.source import ENDINGS
from workflow.scripts.data.packages import package_version
from workflow.scripts.data.task_files import (
    imported_packages,
    list_task_files,
    list_texts,
    shown_path,
)

KEPT = ".cache/lm_eval_tasks.json"
MOST_KEPT = 1000  # tasks
SHOWN = 10  # names that an error lists
GENERATED = "generate_until"
FILE_FORMATS = ("arrow", "csv", "json", "parquet", "text", "xml")  # a dataset_path of local files
# What of a task's file has no part in its prompts.
SCORING = (
    *("filter_list", "generation_kwargs", "metadata", "metric_list", "process_results", "tag"),
    "task_alias",
)


class Metric(TypedDict):
    """A metric of a task, as it is kept."""

    name: str
    per_sample: bool  # it is the mean of a value of each sample
    higher_is_better: bool


class Known(TypedDict):
    """What lm-eval knows of a name, as it is kept: a group's members, or the rest, of a task."""

    members: NotRequired[list[str]]
    folder: NotRequired[str]  # relative to the folder of task files, or to lm-eval's
    config: NotRequired[dict[str, Any]]  # as of `Task`
    metrics: NotRequired[list[Metric]]


@dataclass(frozen=True)
class Task:
    """A task of lm-eval that can be a benchmark here.

    Attributes:
        name: Its name.
        folder: Where its file is.
        local: Whether it comes from a folder of task files, not from lm-eval.
        config: Its file with all that it includes; functions are texts.
        metrics: In its own order.
        code: The Python modules beside the files of a local task.
        imports: What of the pinned packages the modules beside its files import.
    """

    name: str
    folder: Path
    local: bool
    config: Mapping[str, Any]
    metrics: tuple[Metric, ...]
    code: tuple[str, ...]
    imports: frozenset[str]

    @property
    def values(self) -> tuple[str, ...]:
        """Its metrics that samples are compared by, as `METRIC,FILTER`; the first is its main."""
        chosen = [
            one["name"] for one in self.metrics if one["per_sample"] and one["higher_is_better"]
        ]
        return tuple(f"{metric},{name}" for name in self.filters for metric in chosen)

    @property
    def filters(self) -> tuple[str, ...]:
        """The names of its filters, as lm-eval has them."""
        return tuple(one["name"] for one in self.config.get("filter_list") or ({"name": "none"},))

    @property
    def asks(self) -> dict[str, Any]:
        """What of a local task's files decides its prompts; lm-eval's version says it of others."""
        return {key: value for key, value in self.scores.items() if key not in SCORING}

    @property
    def scores(self) -> dict[str, Any]:
        """What of a local task's files decides its scores; lm-eval's version says it of others."""
        return dict(self.config) if self.local else {}

    @property
    def source(self) -> dict[str, str]:
        """Where its rows come from, as `config/source.py` says it; empty for several files."""
        path, settings = self.config["dataset_path"], self.config.get("dataset_kwargs") or {}
        if _is_local(path):
            files = self.data_files
            return {"path": files[0]} if len(files) == 1 and files[0].endswith(ENDINGS) else {}
        found = {
            "hub": path,
            "revision": settings.get("revision"),
            "config": self.config.get("dataset_name"),
            "split": self.split,
        }
        return {key: value for key, value in found.items() if value is not None}

    @property
    def split(self) -> str:
        """The split that is asked."""
        return str(self.config.get("test_split") or self.config.get("validation_split"))

    @property
    def data_files(self) -> tuple[str, ...]:
        """The local files that its rows come from, relative to the clone."""
        path, settings = self.config["dataset_path"], self.config.get("dataset_kwargs") or {}
        if not _is_local(path):
            return ()
        named = list(list_texts(settings.get("data_files")))
        folders = [settings.get("data_dir"), None if path in FILE_FORMATS else path]
        named += [f"{folder}/**/*" for folder in folders if folder]
        found = (sorted(ROOT.glob(one)) if "*" in one else [ROOT / one] for one in named)
        return tuple(shown_path(path) for paths in found for path in paths if not path.is_dir())


@cache
def find_task(name: str, include_path: str | None = None) -> Task:
    """Return a task that can be a benchmark.

    Args:
        name: Its name.
        include_path: A folder of task files, relative to the clone, in place of lm-eval's own.

    Raises:
        InputError: One line: no such task, a group of tasks, or one that cannot be asked here.
    """
    version = package_version("lm_eval")
    if version is None:
        raise InputError("lm_eval is not installed, expected the packages of envs/train.txt")
    folder, files, code = None, [], []
    if include_path is not None:
        folder = (ROOT / include_path).resolve()
        files = list_task_files(folder)
        places = {path.parent for path in files}
        code = sorted({*folder.rglob("*.py"), *(one for at in places for one in at.glob("*.py"))})
    content = {str(path): sha256_file(path) for path in files}
    key = sha256_text(canonical_json([version, name, include_path, content]))
    kept = _read_kept()
    found = kept.get(key) or _look_up(name, folder)
    if key not in kept:
        with suppress(OSError):  # a clone that cannot be written to
            write_json(ROOT / KEPT, {**(kept if len(kept) < MOST_KEPT else {}), key: found})
    _check(name, found)
    place = (folder or _package()) / found["folder"]
    if folder is None:  # tasks/NAME/…, of which a task's file may name any module
        own = _package() / "tasks" / place.relative_to(_package() / "tasks").parts[0]
        code = sorted(own.rglob("*.py"))
    return Task(
        name,
        place,
        folder is not None,
        found["config"],
        tuple(found["metrics"]),
        tuple(map(shown_path, code if folder else ())),
        frozenset(imported_packages(code)),
    )


def open_task(task: Task, **settings: Any) -> Any:
    """Return a task as lm-eval opens it, with its rows.

    Args:
        task: The task.
        settings: Of its file, in place of its own.
    """
    manager = _manager(task.folder)
    # A group is lm-eval's way to open a known task with other settings.
    entry = {"task": task.name, **settings}
    loaded = manager.load([{"group": "benchmark", "task": [entry]}])
    return loaded["tasks"][task.name]


def _manager(folder: Path) -> Any:
    """Return lm-eval's task manager of one folder."""
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    return TaskManager(include_path=str(folder), include_defaults=False)


@cache
def _own_manager() -> Any:
    """Return lm-eval's task manager of all its own tasks."""
    return _manager(_package() / "tasks")


def _look_up(name: str, folder: Path | None) -> Known:
    """Return what lm-eval knows of a name, as JSON values."""
    import lm_eval

    manager = _manager(folder) if folder else _own_manager()
    if name not in manager.all_tasks:
        known = manager.all_tasks
        close = get_close_matches(name, known, n=3) or known[:SHOWN] * (folder is not None)
        hint = f", expected something like {', '.join(close)}" if close else ""
        where = shown_path(folder) if folder else f"lm-eval {lm_eval.__version__}"
        raise InputError(f"{name!r} is no task of {where}{hint}")
    entry = manager.task_index[name]
    if name in manager.all_tags:
        return {"members": sorted(entry.tags)}
    if name in manager.all_groups:
        members = [one if isinstance(one, str) else _name_of(one) for one in entry.cfg["task"]]
        return {"members": members}
    config = json.loads(json.dumps(entry.cfg, default=str))
    rows = config.pop("dataset_kwargs", None)
    for above in filter(None, (folder, _package())):  # functions have whole paths in front
        config = _without(f"{above}/", config)
    config |= {"dataset_kwargs": rows} if rows else {}
    metrics = [] if "class" in config else _metrics(entry.cfg)
    place = entry.yaml_path.parent.relative_to(folder or _package())
    return {"folder": str(place), "config": config, "metrics": metrics}


def _package() -> Path:
    """Return the folder of lm-eval, which is not imported for it."""
    spec = find_spec("lm_eval")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def _metrics(config: Mapping[str, Any]) -> list[Metric]:
    """Return what is known of a task's metrics, in its own order."""
    from lm_eval.api import metrics, registry

    means = (metrics.mean, metrics.nanmean)
    listed = config.get("metric_list")
    if listed is None:
        listed = [{"metric": name} for name in registry.DEFAULT_METRIC_REGISTRY[GENERATED]]
    found: list[Metric] = []
    for one in listed:
        name = str(one["metric"])
        is_function = "/" in name
        name = name.rpartition(".")[2] if is_function else name
        computed = is_function or config.get("process_results") is not None
        if one.get("hf_evaluate") or not (computed or name in registry.METRIC_REGISTRY):
            raise InputError(
                f"{config['task']!r} takes the metric {name} from the hub, as code that would run "
                "here; expected lm-eval's own metrics"
            )
        if "aggregation" in one:
            per_sample = one["aggregation"] in ("mean", "nanmean")
        else:
            per_sample = registry.get_metric_aggregation(name) in means
        higher = one.get("higher_is_better", registry.is_higher_better(name))
        found.append({"name": name, "per_sample": per_sample, "higher_is_better": bool(higher)})
    return found


def _check(name: str, found: Known) -> None:
    """Raise `InputError` for what cannot be a benchmark here."""
    if members := found.get("members"):
        rest = f" and {len(members) - SHOWN} more" if len(members) > SHOWN else ""
        raise InputError(
            f"{name!r} is a group of {len(members)} tasks, expected one task for a benchmark: "
            f"{', '.join(members[:SHOWN])}{rest}"
        )
    config = found["config"]
    kind = config.get("output_type", GENERATED)
    settings = config.get("dataset_kwargs") or {}
    images = config.get("doc_to_image") or config.get("doc_to_audio")
    urls = [one for one in list_texts(settings.get("data_files")) if "://" in one]
    rows_by_code = config.get("custom_dataset") or "dataset_path" not in config
    splits = config.get("test_split") or config.get("validation_split")
    problems = {
        "is a Python class, expected a task that is all YAML": "class" in config,
        f"compares likelihoods (output_type: {kind}), expected a task whose answers are generated "
        f"({GENERATED})": kind != GENERATED,
        "asks about images or sounds, expected text": images,
        "runs code that the model wrote (unsafe_code), expected a task that does not": config.get(
            "unsafe_code"
        ),
        "makes its rows by code (custom_dataset), which no revision pins; expected a data set of "
        "the hub or files": rows_by_code,
        f"reads {urls[:1]}, which no revision pins; expected a data set of the hub or files": urls,
        "has neither test_split nor validation_split, expected one of them": not splits,
        f"scores {config.get('repeats')} samples of an item together (repeats), expected 1": (
            config.get("repeats", 1) != 1
        ),
    }
    for problem, applies in problems.items():
        if applies:
            raise InputError(f"{name!r} {problem}")


def _read_kept() -> dict[str, Known]:
    try:
        return dict(read_json(ROOT / KEPT))
    except (InputError, OSError, ValueError):
        return {}


def _is_local(path: str) -> bool:
    return path in FILE_FORMATS or (ROOT / path).is_dir()


def _name_of(member: Mapping[str, Any]) -> str:
    return str(member.get("task") or member.get("group"))


def _without(start: str, value: Any) -> Any:
    """Return parsed JSON whose texts do not begin with `start`."""
    if isinstance(value, dict):
        return {key: _without(start, one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without(start, one) for one in value]
    return value.removeprefix(start) if isinstance(value, str) else value
