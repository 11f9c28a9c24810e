"""What the controller knows of jobs, and waiting until it does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")
ACTIVE = ("PENDING", "RUNNING", "COMPLETING")


@dataclass(frozen=True)
class SlurmJob:
    """One job as `scontrol show job` gives it; `fields` has all of it."""

    id: str
    name: str
    rule: str
    wildcards: str
    state: str
    node: str
    fields: dict[str, str]

    def gpus(self) -> int:
        """Return the GPUs of all its nodes, or of each where they were asked for with --gres."""
        asked = self.fields.get("TresPerJob") or self.fields.get("TresPerNode", "")
        found = re.search(r"gpu(?::[a-z]\w*)?:(\d+)", asked)
        return int(found[1]) if found else 0

    def seconds(self) -> tuple[datetime, datetime]:
        """Return start and end; the end of a running job is its time limit's."""
        return tuple(datetime.fromisoformat(self.fields[key]) for key in ("StartTime", "EndTime"))

    def overlaps(self, other: SlurmJob) -> bool:
        return self.seconds()[0] < other.seconds()[1] and other.seconds()[0] < self.seconds()[1]


def slurm(*command: str) -> str:
    """Run one of Slurm's commands, again while the controller is too busy to answer."""
    for _ in range(10):
        result = subprocess.run(command, capture_output=True, text=True)
        if not re.search("timed out|Unable to contact|Zero Bytes", result.stderr):
            break
        time.sleep(3)
    assert result.returncode == 0, f"{' '.join(command)}: {result.stderr}"
    return result.stdout


def list_slurm_jobs(folder: Path) -> list[SlurmJob]:
    """Return every job that was submitted from a folder, finished ones too, oldest first."""
    jobs = []
    for line in slurm("scontrol", "show", "job", "--oneliner", "--details").splitlines():
        fields = dict(re.findall(r"(\S+?)=(.*?)(?=\s\S+?=|\s*$)", line))
        if fields.get("WorkDir") != str(folder):
            continue
        rule, _, wildcards = (
            fields["Comment"].strip().removeprefix("rule_").partition("_wildcards_")
        )
        jobs.append(
            SlurmJob(
                fields["JobId"],
                fields["JobName"],
                rule,
                wildcards,
                fields["JobState"],
                fields.get("NodeList", ""),
                fields,
            )
        )
    return jobs


@dataclass
class Run:
    """A driver that was started in a folder, and the jobs that come from there."""

    folder: Path
    driver: subprocess.Popen[bytes]

    @classmethod
    def start(cls, folder: Path, command: list[str], environment: dict[str, str]) -> Run:
        with open(folder / "output.txt", "w") as output:
            driver = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        return cls(folder, driver)

    def end(self) -> None:
        """Leave neither driver nor jobs behind."""
        self.driver.kill()
        self.driver.wait()
        left = [job.id for job in list_slurm_jobs(self.folder) if job.state in ACTIVE]
        if left:
            slurm("scancel", *left)

    def printed(self) -> str:
        return (self.folder / "output.txt").read_text()

    def wait_until(self, what: str, done: Callable[[], Found], seconds: float = 600) -> Found:
        """Return the first true value of a function; the driver has to live for as long."""
        end = time.monotonic() + seconds
        while not (found := done()):
            assert self.driver.poll() is None, f"{what}: the driver ended\n{self.printed()[-3000:]}"
            jobs = ", ".join(f"{job.rule} {job.state}" for job in list_slurm_jobs(self.folder))
            assert time.monotonic() < end, f"{what}: not within {seconds:g} s; there were {jobs}"
            time.sleep(0.2)
        return found

    def wait_for_jobs(
        self,
        rule: str,
        state: str = "RUNNING",
        after: str = "0",
        count: int = 1,
        wildcards: str | None = None,
    ) -> list[SlurmJob]:
        """Return `count` jobs of a rule that are in a state at once, with ids above `after`."""

        def jobs() -> list[SlurmJob]:
            found = [
                job
                for job in list_slurm_jobs(self.folder)
                if (job.rule, job.state) == (rule, state)
                and int(job.id) > int(after)
                and wildcards in (None, job.wildcards)
            ]
            return found if len(found) >= count else []

        return self.wait_until(f"{count} {state} job of {rule}", jobs)

    def is_running(self, job: SlurmJob) -> bool:
        found = list_slurm_jobs(self.folder)
        return any(other.id == job.id and other.state == "RUNNING" for other in found)


def hold(run: Run, job: SlurmJob) -> None:
    """Stop a job's processes, so that it takes as long as the test needs."""
    for process in run.wait_until(f"process of {job.rule}", lambda: processes_of(job)):
        os.kill(process, signal.SIGSTOP)


def processes_of(job: SlurmJob) -> list[int]:
    """Return the processes that run the script of a job."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environ = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if f"SLURM_JOB_ID={job.id}\0".encode() in environ and b"workflow.scripts." in command:
            found.append(int(folder.name))
    return found
