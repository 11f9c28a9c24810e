"""One driver per experiment, and one maker per result, even after a driver was killed.

The driver is the Snakemake process that a user starts. It holds a file lock on
`results/<experiment>/.driver` for as long as it lives. The kernel frees the lock when the process
ends, however it ends: if we get it, no other run of this experiment is alive. The file says
who the driver is (first line), and as JSON what it makes and refers to, since code and experiment
may change while it runs, and which lock files of Snakemake are its own.

Snakemake's own locks are files that a killed driver leaves behind and that any other driver deletes
when it ends, and two jobs of different experiments may make the same result under different
outputs. So drivers compare what they make.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from workflow.scripts.common.errors import InputError

LOCKS = ".snakemake/locks"
PATIENCE_S = 1  # others look at a lock for a moment, to see whether its driver lives


@dataclass(frozen=True)
class Work:
    """What a driver works on, paths relative to the clone.

    Attributes:
        makes: Folders of the results that it makes.
        refers: Folders and files of the store that its graph refers to.
        locks: Snakemake's lock files that it took, with their times in ns.
        at_once: Jobs without a GPU that it runs at a time; 0 where that is not known.
        gpus: GPUs that its running jobs hold together at most; 0 where that is not known.
        retries: How often a job that has failed is submitted again.
    """

    makes: tuple[str, ...] = ()
    refers: tuple[str, ...] = ()
    locks: dict[str, int] = field(default_factory=dict)
    at_once: int = 0
    gpus: int = 0
    retries: int = 0


def claim_experiment(experiment: str, folder: Path) -> IO[str]:
    """Take the lock of an experiment; it is held while the returned file is open.

    Args:
        experiment: The experiment's name.
        folder: The clone.

    Raises:
        InputError: Another driver has it; the message names its host and process.
    """
    path = _path(experiment, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a+")
    end = time.monotonic() + PATIENCE_S
    while _lock(file) is False:
        if time.monotonic() > end:
            raise InputError(
                f"experiment {experiment!r} is already being run by {_who(path)}, expected one "
                "run at a time"
            )
        time.sleep(PATIENCE_S / 5)
    _write(file, Work())
    return file


def declare_work(driver: IO[str], folder: Path, work: Work) -> None:
    """Say what a driver works on.

    Args:
        driver: As `claim_experiment` returned it.
        folder: The clone.
        work: What it makes and refers to.

    Raises:
        InputError: Another driver makes some of the same results.
    """
    own = Path(driver.name).parent.name
    with store_lock(folder):
        for other in _experiments(folder):
            path = _path(other, folder)
            if other == own or not _is_held(path, unknown=False):
                continue
            if both := sorted(set(work.makes) & set(read_work(other, folder).makes)):
                more = f" and {len(both) - 1} more" if both[1:] else ""
                raise InputError(
                    f"{both[0]}{more}: experiment {other!r} is making it ({_who(path)}), expected "
                    f"{own!r} to be started when that has ended"
                )
        _write(driver, work)


def own_locks(folder: Path, inputs: Collection[str], outputs: Collection[str]) -> dict[str, int]:
    """Return Snakemake's lock files on just these files, with their times in ns.

    Args:
        folder: The clone.
        inputs: Input files of all jobs of this driver.
        outputs: Output files of the jobs that it will run.
    """
    wanted = {"input": set(inputs), "output": set(outputs)}
    found = {}
    for lock in (folder / LOCKS).glob("*.lock"):
        kind = lock.name.split(".")[1]
        try:
            time_ns, files = lock.stat().st_mtime_ns, set(lock.read_text().splitlines())
        except FileNotFoundError:  # of a driver that just ended
            continue
        if files == wanted.get(kind):
            found[lock.name] = time_ns
    return found


def remove_stale_locks(folder: Path) -> None:
    """Remove the lock files of Snakemake that dead drivers have left; those of living ones stay."""
    for experiment in _experiments(folder):
        if is_running(experiment, folder):
            continue
        for name, time_ns in read_work(experiment, folder).locks.items():
            lock = folder / LOCKS / name
            # another driver may have taken the name since
            if lock.exists() and lock.stat().st_mtime_ns == time_ns:
                lock.unlink(missing_ok=True)


def is_running(experiment: str, folder: Path) -> bool:
    """Tell whether an experiment's driver lives; where the file system has no locks, it may."""
    return _is_held(_path(experiment, folder), unknown=True)


def running_work(folder: Path) -> dict[str, Work]:
    """Return what living drivers work on, by experiment."""
    return {
        name: read_work(name, folder) for name in _experiments(folder) if is_running(name, folder)
    }


def read_work(experiment: str, folder: Path) -> Work:
    """Return what an experiment's last driver worked on."""
    text = _path(experiment, folder).read_text()
    _, _, work = text.partition("\n")
    if not work.strip():  # it has just started, or an older version wrote it
        return Work()
    found = json.loads(work)
    # not of an older version
    room = [found.get(name, 0) for name in ("at_once", "gpus", "retries")]
    return Work(tuple(found["makes"]), tuple(found["refers"]), found["locks"], *room)


@contextmanager
def store_lock(folder: Path) -> Iterator[None]:
    """Hold the store in the block: no driver starts its jobs, and nobody else collects."""
    path = folder / "results" / ".store.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        if _lock(file) is False:
            print(f"waiting for {path}: the store is being collected", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _path(experiment: str, folder: Path) -> Path:
    return folder / "results" / experiment / ".driver"


def _experiments(folder: Path) -> Iterable[str]:
    """Return the experiments that have been run in a clone."""
    return sorted(path.parent.name for path in (folder / "results").glob("*/.driver"))


def _who(path: Path) -> str:
    return path.read_text().partition("\n")[0]


def _write(file: IO[str], work: Work) -> None:
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n{json.dumps(asdict(work))}\n")
    file.flush()


def _is_held(path: Path, unknown: bool) -> bool:
    """Tell whether a driver holds a file; `unknown` is the answer where there are no locks."""
    try:
        with open(path) as file:
            free = _lock(file, fcntl.LOCK_SH)
    except FileNotFoundError:  # never run here
        return False
    except OSError:  # somebody else's results
        return unknown
    return unknown if free is None else not free


def _lock(file: IO[str], kind: int = fcntl.LOCK_EX) -> bool | None:
    """Take a file's lock; return whether it could be had, None where there are no locks."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
            return False
        # a file system without locks: Snakemake's own have to do
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        return None
    return True
