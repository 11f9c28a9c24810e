"""Jobs that Slurm took back; its commands are stand-ins, tests/slurm/test_site.py has real ones."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from workflow.scripts.cluster.lost_jobs import LostJobs
from workflow.scripts.cluster.slurm import check_requeue
from workflow.scripts.common.errors import InputError

UUID = "0b0e8a3c-1111-2222-3333-444455556666"


class Slurm:
    """Commands on the PATH: squeue lists `lost`, scontrol requeue obeys, or refuses."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.lost, self.asked = folder, folder / "lost", folder / "asked"
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        self.command("squeue", f"echo squeue $* >> {self.asked}; cat {self.lost}")
        self.command("scontrol", f"echo $* >> {self.asked}")
        self.list_lost()

    def command(self, name: str, body: str) -> None:
        (self.folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.folder / name).chmod(0o755)

    def list_lost(self, *jobs: str, experiment: str = "paper", place: str = "/clone") -> None:
        lines = [f"{job}|{experiment}_{UUID}|{place}\n" for job in jobs]
        self.lost.write_text("".join(lines))

    def put_back(self) -> list[str]:
        lines = self.asked.read_text().splitlines()
        return [line.split()[1] for line in lines if line.startswith("requeue")]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    return Slurm(tmp_path, monkeypatch)


def watcher(said: list[str]) -> LostJobs:
    return LostJobs("paper", Path("/clone"), said.append)


def test_a_job_that_stays_lost_goes_back_into_the_queue(slurm: Slurm) -> None:
    said: list[str] = []
    jobs = watcher(said)
    slurm.list_lost("7", "12")
    jobs.look()
    assert slurm.put_back() == [] and not said  # Slurm may do it
    slurm.list_lost("12")
    jobs.look()
    assert slurm.put_back() == ["12"]
    assert said == ["Slurm job 12 was preempted or lost its node: back in the queue"]


@pytest.mark.parametrize(
    "other", [{"experiment": "careful"}, {"place": "/other/clone"}], ids=["experiment", "clone"]
)
def test_other_runs_jobs_are_left_alone(slurm: Slurm, other: dict[str, str]) -> None:
    jobs = watcher([])
    slurm.list_lost("7", **other)
    assert put_back_by(jobs, slurm) == []


def test_what_an_earlier_run_lost_stays_lost(slurm: Slurm) -> None:
    slurm.list_lost("7")
    assert put_back_by(watcher([]), slurm) == []


def put_back_by(jobs: LostJobs, slurm: Slurm) -> list[str]:
    jobs.look()
    jobs.look()
    return slurm.put_back()


def test_a_refusal_is_said_once_with_its_reason_and_what_to_do(slurm: Slurm) -> None:
    said: list[str] = []
    jobs = watcher(said)
    slurm.list_lost("7")
    slurm.command("scontrol", "echo 'Requested operation is presently disabled' >&2; exit 1")
    for _ in range(4):
        jobs.look()
    (line,) = said
    assert "Slurm job 7 was preempted" in line and "presently disabled" in line
    assert "stop this run and start it again" in line


def test_a_refusal_that_passes_is_not_said(slurm: Slurm) -> None:
    said: list[str] = []
    jobs = watcher(said)
    slurm.list_lost("7")
    slurm.command("scontrol", "echo 'Job/step already completing' >&2; exit 1")
    for _ in range(3):
        jobs.look()
    slurm.command("scontrol", f"echo $* >> {slurm.asked}")
    jobs.look()
    assert slurm.put_back() == ["7"]
    assert said == ["Slurm job 7 was preempted or lost its node: back in the queue"]


def test_a_stopped_run_cancels_what_it_put_back(slurm: Slurm) -> None:
    jobs = watcher([])
    slurm.command("scancel", f"echo scancel $* >> {slurm.asked}")
    slurm.list_lost("7", "12")
    jobs.start()
    jobs.look()
    jobs.look()
    slurm.list_lost("12", "13")  # 7 has ended, 13 is another's
    jobs.stop(cancel=True)
    assert "scancel 12" in slurm.asked.read_text().splitlines()


def test_a_cluster_that_forgets_soon_is_said_at_the_start(slurm: Slurm) -> None:
    slurm.command("scontrol", "echo 'MinJobAge               = 10 sec'")
    said: list[str] = []
    watcher(said)
    assert said and said[0].startswith("MinJobAge of this cluster is 10 s: a job that is preempted")


def test_a_profile_without_requeue_is_refused() -> None:
    check_requeue(True)
    with pytest.raises(InputError, match="slurm-requeue is off, expected slurm-requeue: true in"):
        check_requeue(False)


def test_a_busy_controller_is_asked_again(slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow.scripts.cluster.lost_jobs.LOOK_S", 0.05)
    said: list[str] = []
    jobs = watcher(said)
    slurm.command("squeue", "exit 1")
    jobs.start()
    try:
        deadline = time.monotonic() + 20
        time.sleep(0.2)
        slurm.list_lost("7")
        slurm.command("squeue", f"cat {slurm.lost}")
        while not said and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        jobs.stop()
    assert said and "job 7" in said[0]
