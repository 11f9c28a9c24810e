"""Resolve the hub names of an experiment to commit hashes, once, into its lock file.

Every `{"hub": name}` of the experiment that gives no revision of its own, and every data set that a
task of lm-eval reads, gets an entry in `experiments/<name>.lock.json`, which is committed beside
the experiment. Entries that exist are kept; `--update NAME` renews one. A gated repository is
checked for access at once, not on the cluster. The rows that a data set's page states go with its
pin, so that a plan knows them before anything is fetched.

HF_TOKEN=... python -m workflow.scripts.data.resolve_pins --experiment experiments/paper.yaml
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import read_json, write_json
from workflow.scripts.config.experiment import Benchmark, Experiment
from workflow.scripts.config.load import check_experiment
from workflow.scripts.config.read_yaml import read_yaml
from workflow.scripts.config.section import Section
from workflow.scripts.data.hub import Kind, check_revision, find_commit, hub_errors, hub_token

FORMAT = 1
SECTIONS: dict[Kind, Literal["models", "datasets"]] = {"model": "models", "dataset": "datasets"}
# The sections of an experiment whose hub names are data sets; elsewhere they are models.
DATASET_SECTIONS = ("data", "benchmarks")


class Lock(TypedDict):
    """An experiment's lock file: the commit of each hub name."""

    format: int
    models: dict[str, str]
    datasets: dict[str, str]
    rows: NotRequired[dict[str, dict[str, int]]]  # of a data set, by "CONFIG/SPLIT"


def lock_path(experiment: str | Path) -> Path:
    """Return the lock file that belongs to an experiment file."""
    return Path(experiment).with_suffix(".lock.json")


def read_lock(path: str | Path) -> Lock:
    """Read a lock file; one that does not exist yet is an empty lock."""
    if not Path(path).exists():
        return {"format": FORMAT, "models": {}, "datasets": {}}
    lock: Lock = read_json(path)
    if not isinstance(lock, dict) or lock.get("format") != FORMAT:
        raise InputError(f"{path}: expected a lock file of format {FORMAT}")
    return lock


def pinned(lock: Lock, name: str, kind: Kind | None = None) -> str:
    """Return the commit hash that a lock holds for a hub name.

    Args:
        lock: What `read_lock` returned.
        name: The hub name, owner/name.
        kind: Model or dataset; needed only where both have that name.

    Raises:
        InputError: There is no entry (it says which command makes it), or there are two.
    """
    sections = [SECTIONS[kind]] if kind else list(SECTIONS.values())
    found = {lock[section][name] for section in sections if name in lock[section]}
    if not found:
        raise InputError(
            f"{name}: not pinned; run python -m workflow.scripts.data.resolve_pins --experiment "
            "experiments/<name>.yaml where there is network"
        )
    if len(found) > 1:
        raise InputError(f"{name}: pinned as a model and as a data set, expected a kind")
    return check_revision(name, found.pop())


def find_rows(name: str) -> dict[str, int]:
    """Return "CONFIG/SPLIT" -> rows, as a data set's page states them; empty where it does not."""
    from huggingface_hub import HfApi

    with hub_errors(name, "dataset", None):
        card = HfApi(token=hub_token()).dataset_info(name, timeout=30).card_data
    stated = (card.to_dict() if card else {}).get("dataset_info") or []
    found = {}
    for config in stated if isinstance(stated, list) else [stated]:
        for split in config.get("splits") or []:
            if "num_examples" in split:
                key = f"{config.get('config_name', 'default')}/{split['name']}"
                found[key] = int(split["num_examples"])
    return found


def find_hub_names(value: Any, kind: Kind = "model", where: str = "") -> Iterator[tuple[Kind, str]]:
    """Yield (kind, name) of every `{"hub": name}` without a revision, in order of appearance.

    Raises:
        InputError: A revision is given that is no commit hash.
    """
    if isinstance(value, list):
        for item in value:
            yield from find_hub_names(item, kind, where)
    if not isinstance(value, dict):
        return
    if isinstance(value.get("hub"), str):
        if "revision" not in value:
            yield kind, value["hub"]
        elif check_revision(f"{where}.hub {value['hub']}", value["revision"]):
            pass
    for key, item in value.items():
        inner: Kind = kind if where else _kind_in(key)
        yield from find_hub_names(item, inner, f"{where}.{key}".lstrip("."))


def pin(experiment: Experiment, lock: Lock) -> Experiment:
    """Return the experiment with the lock's revisions; names that it lacks stay without one."""

    def pinned_in(value: Any, kind: Kind) -> Any:
        """Return a value with revisions; the same object where there is none to add."""
        if isinstance(value, tuple):
            found = tuple(pinned_in(one, kind) for one in value)
            return found if any(a is not b for a, b in zip(found, value, strict=True)) else value
        if isinstance(value, dict):
            entries = {key: pinned_in(one, kind) for key, one in value.items()}
            return entries if any(entries[key] is not value[key] for key in value) else value
        if not isinstance(value, Section):
            return value
        before = {key: getattr(value, key) for key in type(value).model_fields}
        after = {key: pinned_in(one, kind) for key, one in before.items()}
        changed = {key: one for key, one in after.items() if one is not before[key]}
        if before.get("hub") and not before["revision"]:
            if revision := lock[SECTIONS[kind]].get(before["hub"]):
                changed["revision"] = revision
        if changed:
            value = value.model_copy(update=changed)
        if isinstance(value, Benchmark) and value.task and value.source:
            value = value.of_source(pinned_in(value.source, kind))
        return value

    return experiment.model_copy(
        update={
            key: pinned_in(getattr(experiment, key), _kind_in(key))
            for key in type(experiment).model_fields
        }
    )


def _kind_in(section: str) -> Kind:
    return "dataset" if section in DATASET_SECTIONS else "model"


def check_pins(experiment: Experiment, name: str) -> None:
    """Raise `InputError` when a hub name of a pinned experiment has no revision."""
    missing = [hub for _, hub in dict.fromkeys(find_hub_names(experiment.with_sources()))]
    if missing:
        raise InputError(
            f"experiments/{name}.lock.json: no revision of {', '.join(missing)}; run python -m "
            f"workflow.scripts.data.resolve_pins --experiment experiments/{name}.yaml where there "
            "is network"
        )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--experiment", type=Path, required=True, help="experiments/<name>.yaml")
    parser.add_argument("--update", action="append", default=[], metavar="NAME", help="renew it")
    args = parser.parse_args(argv)
    if not args.experiment.is_file():
        raise InputError(f"{args.experiment}: no such file")
    experiment = check_experiment(
        read_yaml(args.experiment, str(args.experiment)), str(args.experiment)
    )
    names = list(dict.fromkeys(find_hub_names(experiment.with_sources())))
    strangers = set(args.update) - {name for _, name in names}
    if strangers:
        raise InputError(f"--update: {sorted(strangers)} are nowhere in {args.experiment}")
    path = lock_path(args.experiment)
    lock, failures = read_lock(path), []
    for kind, name in names:
        section = lock[SECTIONS[kind]]
        if name in section and name not in args.update:
            continue
        try:
            commit = find_commit(name, kind)
            if kind == "dataset" and (rows := find_rows(name)):
                lock.setdefault("rows", {})[name] = rows
            section[name] = commit
        except InputError as error:
            failures.append(error)
            continue
        print(f"{kind} {name}: {section[name]}")
    write_json(path, lock)
    for failure in failures[:-1]:
        print(f"error: {failure}", file=sys.stderr)
    if failures:
        raise failures[-1]


if __name__ == "__main__":
    run(main)
