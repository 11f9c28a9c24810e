"""While a run goes on: jobs that Slurm has taken back and does not start again by itself."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from workflow.scripts.cluster.slurm import ask_slurm, list_jobs, min_job_age
from workflow.scripts.common.errors import InputError

LOOK_S = 10.0  # between two looks
PATIENCE = 3  # refusals before a word
FORGOTTEN_S = 60  # two looks, and slow answers


class LostJobs:
    """Puts a run's jobs that were preempted or lost their node back into Slurm's queue.

    The plugin waits for such a job, since Slurm may start it again (2.8.0, `check_active_jobs`).
    Where Slurm does not (`PreemptMode=CANCEL`), it would wait for ever.

    Args:
        experiment: The experiment, after which the jobs are named.
        folder: Where they were submitted.
        say: Told what happens to a job.
    """

    def __init__(self, experiment: str, folder: Path, say: Callable[[str], object]) -> None:
        self.experiment, self.folder, self.say = experiment, folder, say
        self.earlier = self._list()  # lost by earlier runs
        self.seen: set[str] = set()
        self.refused: Counter[str] = Counter()
        self.put_back: set[str] = set()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, name="lost jobs", daemon=True)
        age = min_job_age()
        if age is not None and age < FORGOTTEN_S:
            say(
                f"MinJobAge of this cluster is {age} s: a job that is preempted and cancelled may "
                "be forgotten before it is put back; if the run waits for it, stop it and start "
                "it again"
            )

    def start(self) -> None:
        """Look every few seconds, until `stop`."""
        self.thread.start()

    def stop(self, cancel: bool = False) -> None:
        """Look no more; cancel what was put back and is still there, where the run was stopped."""
        self.ended.set()
        self.thread.join()
        if cancel and self.put_back:
            with suppress(InputError):
                there = {job for job, _ in list_jobs(self.folder)}
                if left := sorted(there & self.put_back):
                    ask_slurm("scancel", *left)

    def _watch(self) -> None:
        while not self.ended.wait(LOOK_S):
            # a controller that is too busy is asked again, and a wrong line must not end the watch
            with suppress(Exception):
                self.look()

    def look(self) -> None:
        """Put back what is lost now and was at the look before: Slurm had the time to do it."""
        lost = self._list() - self.earlier
        for job in sorted(lost & self.seen, key=int):
            self._put_back(job)
        self.seen = lost

    def _put_back(self, job: str) -> None:
        try:
            ask_slurm("scontrol", "requeue", job)
        except InputError as error:
            self.refused[job] += 1
            if self.refused[job] == PATIENCE:  # before, Slurm may just be doing it
                self.say(
                    f"Slurm job {job} was preempted or lost its node and cannot go back into the "
                    f"queue ({error}): when the others are done, stop this run and start it again"
                )
        else:
            del self.refused[job]
            self.put_back.add(job)
            self.say(f"Slurm job {job} was preempted or lost its node: back in the queue")

    def _list(self) -> set[str]:
        listed = list_jobs(self.folder, "--states=PREEMPTED,NODE_FAIL")
        return {job for job, experiment in listed if experiment == self.experiment}
