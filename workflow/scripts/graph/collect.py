"""Delete what no experiment refers to from the store: old results, their logs, dangling links.

Shows each folder with its size and what would be freed, and asks before it deletes. Kept is what
any file of `experiments/` asks for, what a running driver refers to, what `keep` in config.yaml
names, the report that a view still shows, and unfinished results younger than `--older-than` days.

    python -m workflow.scripts.graph.collect --dry-run
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from workflow.scripts.cluster.driver import running_work, store_lock
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import canonical_json
from workflow.scripts.common.result import RESULT, is_complete, read_result
from workflow.scripts.config.experiment import Config
from workflow.scripts.config.load import load_experiment
from workflow.scripts.config.read_yaml import read_yaml
from workflow.scripts.config.section import read_section
from workflow.scripts.data.resolve_pins import pin, read_lock
from workflow.scripts.graph.jobs import Graph
from workflow.scripts.graph.results import Result, list_keys, list_results
from workflow.scripts.graph.runs import list_runs
from workflow.scripts.graph.store import KEY, STORE, earlier_results, folder_of

JOBS = f"{STORE}/jobs"
UNFINISHED_DAYS = 7.0
DAY_S = 86400


@dataclass(frozen=True)
class Garbage:
    """What nothing refers to, paths relative to the clone.

    Attributes:
        folders: Folders of results, complete or not.
        files: Receipts, logs and timings of jobs.
        links: Links of the views, to these folders or to nothing.
    """

    folders: tuple[str, ...]
    files: tuple[str, ...]
    links: tuple[str, ...]


def find_garbage(root: Path, older_than_days: float = UNFINISHED_DAYS) -> Garbage:
    """Find what nothing refers to.

    Args:
        root: The clone.
        older_than_days: Days after which an unfinished result that nobody asks for is garbage.

    Raises:
        InputError: An experiment or config.yaml cannot be read.
    """
    referred = find_references(root)
    patterns = read_keep(root)
    youngest = time.time() - older_than_days * DAY_S
    folders: list[str] = []
    kept: list[str] = []
    for folder in list_folders(root, referred):
        young = not is_complete(root / folder) and last_written(root / folder) > youngest
        named = any(fnmatchcase(plain_name(folder), pattern) for pattern in patterns)
        (kept if folder in referred or named or young else folders).append(folder)
    files = _find_files(root, referred, kept)
    return Garbage(tuple(folders), tuple(files), tuple(_find_links(root, set(folders))))


def find_references(root: Path) -> set[str]:
    """Return the folders and files of the store that experiments, drivers and views refer to."""
    found: set[str] = set()
    for path in sorted((root / "experiments").glob("*.yaml")):
        try:
            found |= _references_of(path.stem, root)
        except InputError as error:
            raise InputError(
                f"{error}; nothing was deleted, expected every experiment to be readable"
            ) from None
        shown = root / "results" / path.stem / "report"
        if shown.is_symlink() and shown.exists():  # until the next one is complete
            found.add(os.path.relpath(shown.resolve(), root.resolve()))
    for work in running_work(root).values():
        found |= {*work.makes, *work.refers}
    return {path for path in found if PurePosixPath(path).name != RESULT}  # folders, receipts


def _references_of(name: str, root: Path) -> set[str]:
    lock = read_lock(root / "experiments" / f"{name}.lock.json")
    experiment = pin(load_experiment(name, root), lock)
    results = list_results(experiment, name)
    known = _with_key(results, root)
    graph = Graph(
        name, root, experiment, list_runs(experiment), known, list_keys(known, root), {}, ()
    )
    found = {graph.folder(result) for result in known}
    found |= {job.output for job in graph.jobs.values()}
    for result in results.values():
        if result.name not in known:
            found |= _possible(result, graph)
    return found


def _with_key(results: dict[str, Result], root: Path) -> dict[str, Result]:
    """Return the results whose key can be told: every file that they depend on is here."""
    known: dict[str, Result] = {}
    for name, result in results.items():
        try:
            result.spec(root)
        except InputError:
            replace(result, outside=()).spec(root)  # any other error is for the user
            continue
        if all(one in known for one in result.made_from):
            known[name] = result
    return known


def _possible(result: Result, graph: Graph) -> set[str]:
    """Return the folders that may be a result's, where a file that it depends on is absent."""
    expected = canonical_json(replace(result, outside=()).spec(graph.root))
    found = set()
    for key, record in earlier_results(result.name, graph.root):
        spec = {part: value for part, value in record["spec"].items() if part[:5] != "file "}
        same = all(graph.keys.get(name, made) == made for name, made in record["inputs"].items())
        if same and canonical_json(spec) == expected:
            found.add(folder_of(result.name, key))
    return found


def read_keep(root: Path) -> tuple[str, ...]:
    """Return the patterns of `keep` in config.yaml."""
    value = read_yaml(root / "config.yaml", "config.yaml")
    return read_section(Config, value, "config.yaml").keep


def list_folders(root: Path, referred: Iterable[str]) -> list[str]:
    """Return the folders of results, complete or not, relative to the clone.

    A name may end like a key itself, so a folder that holds one that is referred to is none.
    """
    holding = {str(above) for path in referred for above in PurePosixPath(path).parents}
    found = []
    for above, folders, _ in os.walk(root / STORE):
        paths = [os.path.relpath(Path(above, name), root) for name in folders]
        keyed = [
            path
            for path in paths
            if re.fullmatch(f".+-{KEY}", path)
            and path not in holding
            and not (root / path).is_symlink()
        ]
        found += keyed
        folders[:] = [Path(path).name for path in paths if path not in keyed and path != JOBS]
    return sorted(found)


def plain_name(folder: str) -> str:
    """Return the name of a folder's result."""
    return re.sub(f"-{KEY}$", "", folder.removeprefix(f"{STORE}/"))


def last_written(folder: Path) -> float:
    """Return when anything in a folder was written last, in seconds since 1970."""
    return max(status.st_mtime for status in (folder.stat(), *_statuses(folder)))


def _find_files(root: Path, referred: set[str], kept: Iterable[str]) -> list[str]:
    """Return what is below `results/store/jobs` of neither a job of today nor a kept result."""
    stems = {path.removesuffix(".json") for path in referred if path.startswith(f"{JOBS}/")}
    for folder in kept:
        if record := read_result(root / folder):
            stems.add(str(record.get("log", "")).removesuffix(".log"))
    found = []
    for path in sorted((root / JOBS).rglob("*")):
        file = str(path.relative_to(root))
        named = re.fullmatch(rf"(.+-{KEY})\.(json|log|tsv)", file)
        if named and named[1] not in stems and path.is_file():
            found.append(file)
    return found


def _find_links(root: Path, folders: set[str]) -> list[str]:
    """Return the links of views to some folders of the store, or to such that are gone."""
    found = []
    store = os.path.realpath(root / STORE)
    for above, names, files in os.walk(root / "results"):
        if Path(above) == root / "results" and "store" in names:
            names.remove("store")
        for path in (Path(above, name) for name in sorted([*names, *files])):
            target = os.path.realpath(path)
            if not path.is_symlink() or not target.startswith(f"{store}/"):
                continue
            if not os.path.exists(target) or os.path.relpath(target, root.resolve()) in folders:
                found.append(str(path.relative_to(root)))
    return sorted(found)


def size_of(folder: Path) -> int:
    """Return the bytes of a folder's files."""
    return sum(status.st_size for status in _statuses(folder))


def freed_bytes(root: Path, garbage: Garbage) -> int:
    """Return what deleting would free: a file that is linked from elsewhere too frees nothing."""
    links: Counter[tuple[int, int]] = Counter()
    files: dict[tuple[int, int], os.stat_result] = {}
    for path in (*garbage.folders, *garbage.files):
        for status in _statuses(root / path):
            file = status.st_dev, status.st_ino
            links[file] += 1
            files[file] = status
    return sum(status.st_size for file, status in files.items() if links[file] >= status.st_nlink)


def _statuses(path: Path) -> Iterator[os.stat_result]:
    """Yield the status of a file, or of all files of a folder."""
    if not path.is_dir():
        yield path.lstat()
    for above, _, names in os.walk(path):
        for name in names:
            yield os.lstat(Path(above, name))


def delete(root: Path, garbage: Garbage) -> None:
    """Delete garbage, and the folders that it leaves empty."""
    for folder in garbage.folders:
        (root / folder / RESULT).unlink(missing_ok=True)  # never complete without its files
        shutil.rmtree(root / folder)
    for path in (*garbage.files, *garbage.links):
        (root / path).unlink(missing_ok=True)
    for path in (*garbage.folders, *garbage.files, *garbage.links):
        for above in PurePosixPath(path).parents[:-3]:  # down to results/STORE-OR-VIEW/
            try:
                (root / above).rmdir()
            except OSError:  # holds something
                break


def describe(root: Path, garbage: Garbage) -> Iterator[str]:
    """Yield a line for each thing that is garbage, and the sum."""
    for folder in garbage.folders:
        record = read_result(root / folder)
        if record is None:
            days = (time.time() - last_written(root / folder)) / DAY_S
            state = f"unfinished, written {days:.0f} days ago"
        else:
            state = f"finished {str(record.get('finished', ''))[:10]}"
        yield f"{_human(size_of(root / folder)):>9}  {folder}  ({state})"
    for file in garbage.files:
        yield f"{_human((root / file).stat().st_size):>9}  {file}  (a job that no experiment has)"
    for link in garbage.links:
        yield f"{'link':>9}  {link}"
    yield f"{_human(freed_bytes(root, garbage)):>9}  in all"


def _human(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--dry-run", action="store_true", help="only show what would be deleted")
    parser.add_argument("--yes", action="store_true", help="delete without a question")
    parser.add_argument(
        "--older-than",
        type=float,
        default=UNFINISHED_DAYS,
        metavar="DAYS",
        help="keep unfinished results that are younger (default: %(default)g)",
    )
    arguments = parser.parse_args(argv)
    root = Path.cwd()
    with store_lock(root):
        garbage = find_garbage(root, arguments.older_than)
        if garbage == Garbage((), (), ()):
            print("nothing to collect")
            return
        print(*describe(root, garbage), sep="\n")
        if arguments.dry_run:
            return
        if not arguments.yes and not _agreed():
            print("kept")
            return
        delete(root, garbage)
        print("deleted")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise InputError("standard input is no terminal to ask at, expected --yes or --dry-run")
    return input("Delete all this? Type yes: ") == "yes"


if __name__ == "__main__":
    run(main)
