"""Adopt earlier results under the keys of today: after a change of code that changes no figure.

A missing result whose name matches a pattern gets the files of the latest earlier result of that
name; its `result.json` says under which key it was made, who adopted it, when and why. What was
made from an adopted result, and differs in nothing else from what it would be made from today, is
adopted with it. Reports never are: they are made again and list what was adopted. `--dry-run` shows
what would be adopted.

    python -m workflow.scripts.graph.adopt --experiment micro \
        --reason "trainer: a function moved" 'models/*'
"""

from __future__ import annotations

import argparse
import getpass
import os
import shutil
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from workflow.scripts.cluster.driver import Work, claim_experiment, declare_work
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import canonical_json, write_json
from workflow.scripts.common.result import (
    NO_FILES,
    RESULT,
    Adopted,
    ResultRecord,
    link,
    read_result,
)
from workflow.scripts.graph.jobs import Graph, read_graph
from workflow.scripts.graph.results import Result
from workflow.scripts.graph.store import earlier_results, folder_of


@dataclass(frozen=True)
class Adoption:
    """An earlier result that is taken for the one of today: the key it has, and its record."""

    name: str
    key: str
    record: ResultRecord


def choose(graph: Graph, patterns: Collection[str]) -> list[Adoption]:
    """Return the earlier results to adopt, inputs before what is made from them.

    Args:
        graph: The experiment.
        patterns: Names of results, with `*` for anything.

    Raises:
        InputError: A pattern matches nothing that can be adopted, or a result is made from another
            that will be made again.
    """
    chosen: dict[str, Adoption] = {}
    unused = list(patterns)
    for name, result in graph.results.items():
        if name in graph.complete or result.stage == "report":
            continue
        earlier = [Adoption(name, *found) for found in earlier_results(name, graph.root)]
        matching = [pattern for pattern in patterns if fnmatchcase(name, pattern)]
        following = [one for one in earlier if _follows(graph, result, one, chosen)]
        if following:
            chosen[name] = following[0]
        elif matching and earlier:
            _expect_inputs(graph, result, earlier[0], chosen)
            chosen[name] = earlier[0]
        if earlier:
            unused = [pattern for pattern in unused if pattern not in matching]
    if unused:
        raise InputError(
            f"{unused[0]}: no missing result of {graph.name} with an earlier one in the store has "
            "such a name, expected one (see make plan)"
        )
    return list(chosen.values())


def _follows(graph: Graph, result: Result, earlier: Adoption, chosen: dict[str, Adoption]) -> bool:
    """Tell whether a result differs from its earlier one in nothing but adopted inputs."""
    if canonical_json(earlier.record["spec"]) != canonical_json(result.spec(graph.root)):
        return False
    inputs = earlier.record["inputs"]
    return set(inputs) == set(result.made_from) and all(
        key in _keys_of(graph, name, chosen) for name, key in inputs.items()
    )


def _keys_of(graph: Graph, name: str, chosen: dict[str, Adoption]) -> set[str]:
    """Return the keys under which an input, as it is today, was made or adopted."""
    keys = {graph.keys[name]}
    key = chosen[name].key if name in chosen else graph.keys[name]
    while key:
        keys.add(key)
        record = read_result(graph.root / folder_of(name, key))
        key = record.get("adopted", {}).get("key", "") if record else ""
    return keys


def _expect_inputs(
    graph: Graph, result: Result, earlier: Adoption, chosen: dict[str, Adoption]
) -> None:
    for name in result.made_from:
        unchanged = earlier.record["inputs"].get(name) == graph.keys[name]  # and deleted since
        if name not in graph.complete and name not in chosen and not unchanged:
            raise InputError(
                f"{result.name}: is made from {name}, which will be made again, expected that one "
                "to be adopted too"
            )


def adopt(graph: Graph, adoption: Adoption, by: str, reason: str) -> None:
    """Give the result of today the files of an earlier one, and then its record."""
    old = graph.root / folder_of(adoption.name, adoption.key)
    new = graph.root / graph.folder(adoption.name)
    shutil.rmtree(new, ignore_errors=True)  # what a killed job has left
    shutil.copytree(
        old, new, symlinks=True, copy_function=_copy, ignore=shutil.ignore_patterns(RESULT)
    )
    record = adoption.record
    today = graph.record(graph.results[adoption.name])
    if not today["log"].startswith(graph.folder(adoption.name)):  # of a job that makes several
        today["log"] = record["log"]
    at = datetime.now(UTC).isoformat(timespec="seconds")
    entry: Adopted = {"key": adoption.key, "by": by, "at": at, "reason": reason}
    write_json(new / RESULT, {**record, **today, "adopted": entry})
    link(graph.root / graph.link(adoption.name), new)


def _copy(old: str, new: str) -> None:
    """Link a file, which takes no space; copy it where that fails, or where jobs write in place."""
    if Path(old).name not in NO_FILES:
        try:
            os.link(old, new)
            return
        except OSError:  # another file system, or one without hard links
            pass
    shutil.copy2(old, new)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"user {os.getuid()}"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--reason", required=True, help="what changed, and why no figure does")
    parser.add_argument("--by", default=_user(), help="who says so (default: you)")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be adopted")
    parser.add_argument("patterns", nargs="+", metavar="PATTERN", help="results, as models/lrm/*")
    arguments = parser.parse_args(argv)
    if not arguments.reason.strip():
        raise InputError("--reason is empty, expected the one that the report will show")
    root = Path.cwd()
    with closing(claim_experiment(arguments.experiment, root)) as driver:
        graph = read_graph(arguments.experiment, root)
        chosen = choose(graph, arguments.patterns)
        if not arguments.dry_run:
            folders = tuple(graph.folder(one.name) for one in chosen)
            earlier = tuple(folder_of(one.name, one.key) for one in chosen)
            declare_work(driver, root, Work(folders, earlier))
            for one in chosen:
                adopt(graph, one, arguments.by, arguments.reason.strip())
    for one in chosen:
        print(f"{'would adopt' if arguments.dry_run else 'adopted'}: {one.name} (from {one.key})")


if __name__ == "__main__":
    run(main)
