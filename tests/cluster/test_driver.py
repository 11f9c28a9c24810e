"""One driver per experiment, one maker per result: locks follow the process, not a file."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workflow.scripts.cluster.driver import (
    Work,
    claim_experiment,
    declare_work,
    is_running,
    own_locks,
    read_work,
    remove_stale_locks,
    running_work,
)
from workflow.scripts.common.errors import InputError

HOLD = """
import sys, time
from pathlib import Path
from workflow.scripts.cluster.driver import Work, claim_experiment, declare_work, own_locks
folder, name, makes = Path(sys.argv[1]), sys.argv[2], tuple(sys.argv[3:])
held = claim_experiment(name, folder)
locks = own_locks(folder, {f"{name}/in"}, makes)
declare_work(held, folder, Work(makes, (*makes, f"{name}/in"), locks))
print("held", flush=True)
time.sleep(60)
"""
Driver = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(root: Path, tmp_path: Path) -> Iterator[Driver]:
    """Return a function that starts a driver of an experiment, which makes some results."""
    started = []

    def start(experiment: str, *makes: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(tmp_path), experiment, *makes]
        driver = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
        started.append(driver)
        assert driver.stdout and driver.stdout.readline() == "held\n"
        return driver

    yield start
    for driver in started:
        kill(driver)


def kill(driver: subprocess.Popen[str]) -> None:
    driver.kill()  # SIGKILL
    driver.wait()


def take_locks(clone: Path, number: int, experiment: str, *outputs: str) -> None:
    """Write Snakemake's locks as a driver does before it starts."""
    folder = clone / ".snakemake" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{number}.input.lock").write_text(f"{experiment}/in\n")
    (folder / f"{number}.output.lock").write_text("\n".join(outputs) + "\n")


def locks_of(clone: Path) -> set[str]:
    return {path.name for path in (clone / ".snakemake" / "locks").iterdir()}


def test_while_a_driver_lives_a_second_one_is_refused(tmp_path: Path, start: Driver) -> None:
    driver = start("micro", "a")
    with pytest.raises(InputError, match=f"'micro' is already being run by process {driver.pid}"):
        claim_experiment("micro", tmp_path)
    claim_experiment("paper", tmp_path).close()
    kill(driver)
    claim_experiment("micro", tmp_path).close()


def test_a_driver_says_what_it_makes_and_refers_to_while_it_lives(
    tmp_path: Path, start: Driver
) -> None:
    driver = start("micro", "a", "b")
    assert is_running("micro", tmp_path)
    assert running_work(tmp_path) == {"micro": Work(("a", "b"), ("a", "b", "micro/in"))}
    kill(driver)
    assert not is_running("micro", tmp_path)
    assert running_work(tmp_path) == {}


def test_two_experiments_do_not_make_the_same_result_at_once(tmp_path: Path, start: Driver) -> None:
    driver = start("paper", "x", "store/lrm-1", "store/lrm-2")
    mine = claim_experiment("careful", tmp_path)
    message = (
        f"^store/lrm-1 and 1 more: experiment 'paper' is making it .process {driver.pid} on .*, "
        "expected 'careful' to be started when that has ended"
    )
    with pytest.raises(InputError, match=message):
        declare_work(mine, tmp_path, Work(("store/lrm-1", "store/lrm-2", "y")))
    declare_work(mine, tmp_path, Work(("y",), ("store/lrm-1",)))
    kill(driver)
    declare_work(mine, tmp_path, Work(("store/lrm-1", "y")))
    mine.close()


def test_locks_of_a_killed_driver_go_and_those_of_living_ones_stay(
    tmp_path: Path, start: Driver
) -> None:
    take_locks(tmp_path, 0, "micro", "a")
    micro = start("micro", "a")
    take_locks(tmp_path, 1, "paper", "b")
    start("paper", "b")
    remove_stale_locks(tmp_path)
    assert len(locks_of(tmp_path)) == 4
    kill(micro)
    remove_stale_locks(tmp_path)
    assert locks_of(tmp_path) == {"1.input.lock", "1.output.lock"}
    take_locks(tmp_path, 0, "other", "c")  # takes the names, and has not said so yet
    remove_stale_locks(tmp_path)
    assert len(locks_of(tmp_path)) == 4


def test_locks_of_a_driver_that_was_never_seen_stay(tmp_path: Path) -> None:
    take_locks(tmp_path, 0, "micro", "a")
    claim_experiment("micro", tmp_path).close()  # ended before it declared its work
    remove_stale_locks(tmp_path)
    assert len(locks_of(tmp_path)) == 2


def test_files_of_an_older_version_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "results/old").mkdir(parents=True)
    (tmp_path / "results/old/.driver").write_text("process 1 on node\n")
    assert read_work("old", tmp_path) == Work()
    remove_stale_locks(tmp_path)


def test_snakemakes_lock_files_are_known_by_the_files_that_they_lock(tmp_path: Path) -> None:
    """With the real Snakemake: what it locks is what a workflow's `onstart` can list."""
    (tmp_path / "Snakefile").write_text(
        textwrap.dedent(
            """
            from pathlib import Path
            from workflow.scripts.cluster.driver import own_locks

            rule all:
                input: "a", "b"

            rule make:
                input: ancient("c")
                output: "{name}", "{name}.log"
                wildcard_constraints: name="a|b"
                shell: "touch {output}"

            onstart:
                jobs = list(workflow.dag.needrun_jobs())
                inputs = {str(file) for job in workflow.dag.jobs for file in job.input}
                outputs = {str(file) for job in jobs for file in job.output}
                print("own:", *sorted(own_locks(Path.cwd(), inputs, outputs)))
            """
        )
    )
    (tmp_path / "c").touch()
    take_locks(tmp_path, 0, "somebody", "else")
    command = [sys.executable, "-m", "snakemake", "--cores", "1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "own: 1.input.lock 1.output.lock" in done.stdout
    assert own_locks(tmp_path, set(), set()) == {}
