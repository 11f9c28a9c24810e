"""One driver per experiment: the lock follows the process, not a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from workflow.scripts.common.driver import claim_experiment, remove_stale_locks
from workflow.scripts.common.errors import InputError

HOLD = """
import sys, time
from pathlib import Path
from workflow.scripts.common.driver import claim_experiment
held = claim_experiment("micro", Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    """Snakemake's locks as a killed driver of `micro` leaves them, and those of another one."""
    folder = tmp_path / ".snakemake" / "locks"
    folder.mkdir(parents=True)
    (folder / "0.input.lock").write_text(".snakemake/stale\nresults/micro/data/overlap.json\n")
    (folder / "0.output.lock").write_text("results/micro/report/tradeoff.json\n")
    (folder / "1.output.lock").write_text("results/paper/report/tradeoff.json\n")
    return folder


def start_driver(root: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(folder)]
    driver = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    assert driver.stdout and driver.stdout.readline() == "held\n"
    return driver


def test_while_a_driver_lives_a_second_one_is_refused_and_its_locks_stay(
    root: Path, tmp_path: Path, locks: Path
) -> None:
    driver = start_driver(root, tmp_path)
    try:
        with pytest.raises(
            InputError, match=f"'micro' is already being run by process {driver.pid}"
        ):
            claim_experiment("micro", tmp_path)
        remove_stale_locks("micro", tmp_path)
        assert len(list(locks.iterdir())) == 3
        claim_experiment("paper", tmp_path).close()
    finally:
        driver.kill()
        driver.wait()


def test_after_sigkill_the_same_command_works_and_other_experiments_keep_their_locks(
    root: Path, tmp_path: Path, locks: Path
) -> None:
    driver = start_driver(root, tmp_path)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    remove_stale_locks("micro", tmp_path)
    assert [path.name for path in locks.iterdir()] == ["1.output.lock"]
    claim_experiment("micro", tmp_path).close()


def test_locks_of_a_driver_that_was_never_seen_stay(tmp_path: Path, locks: Path) -> None:
    remove_stale_locks("micro", tmp_path)
    assert len(list(locks.iterdir())) == 3
