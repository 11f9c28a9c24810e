"""One driver per experiment, even after one was killed.

The driver is the Snakemake process that a user starts. It holds a file lock on
`results/<experiment>/.driver` for as long as it lives: the kernel lets go of it whatever ends the
process, so a lock that can be had means that nobody else works on the experiment. Snakemake's own
locks are files that a killed driver leaves behind.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path
from typing import IO

from workflow.scripts.common.errors import InputError


def claim_experiment(experiment: str, folder: Path) -> IO[str]:
    """Take the lock of an experiment; it is held while the returned file is open.

    Args:
        experiment: The experiment's name.
        folder: The clone.

    Raises:
        InputError: Another driver has it; the message names its host and process.
    """
    path = folder / "results" / experiment / ".driver"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a+")
    if not _lock(file):
        file.seek(0)
        raise InputError(
            f"experiment {experiment!r} is already being run by {file.read().strip()}, expected "
            "one run at a time"
        )
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file


def remove_stale_locks(experiment: str, folder: Path) -> None:
    """Remove Snakemake's locks on an experiment whose driver is dead; nothing while it lives."""
    path = folder / "results" / experiment / ".driver"
    try:
        file = open(path, "r+")
    except OSError:  # never run here, or somebody else's results
        return
    with file:
        if not _lock(file):
            return
        for lock in (folder / ".snakemake" / "locks").glob("*.lock"):
            if f"results/{experiment}/" in lock.read_text():
                lock.unlink()


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
            return False
        # a file system without locks: Snakemake's own have to do
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    return True
