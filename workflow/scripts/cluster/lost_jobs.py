"""While a run goes on: jobs that Slurm has taken back and does not start again by itself."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from workflow.scripts.cluster.slurm import ask_slurm, list_jobs
from workflow.scripts.common.errors import InputError

LOOK_S = 10.0  # between two looks


class LostJobs:
    """Puts a run's jobs that were preempted or lost their node back into Slurm's queue.

    The plugin waits for such a job, since Slurm may start it again (2.8.0, `check_active_jobs`).
    Where Slurm does not (`PreemptMode=CANCEL`), it would wait for ever.

    Args:
        experiment: The experiment, after which the jobs are named.
        folder: Where they were submitted.
        say: Told what happens to a job.
        nodes_too: Whether to start jobs whose node failed; without `slurm-requeue` the plugin
            submits those again itself.
    """

    def __init__(
        self, experiment: str, folder: Path, say: Callable[[str], object], nodes_too: bool = True
    ) -> None:
        self.experiment, self.folder, self.say = experiment, folder, say
        self.states = "PREEMPTED,NODE_FAIL" if nodes_too else "PREEMPTED"
        self.earlier = self._list()  # lost by earlier runs
        self.seen: set[str] = set()
        self.refused: Counter[str] = Counter()
        self.ended = threading.Event()

    def watch(self) -> None:
        """Look every few seconds, in a thread, until `ended` is set."""

        def looks() -> None:
            while not self.ended.wait(LOOK_S):
                with suppress(InputError):  # a controller that is too busy is asked again
                    self.look()

        threading.Thread(target=looks, name="lost jobs", daemon=True).start()

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
            if self.refused[job] == 2:  # at the first time, Slurm may just be doing it
                self.say(
                    f"Slurm job {job} was preempted or lost its node and cannot go back into the "
                    f"queue ({error}): when the others are done, stop this run and start it again"
                )
        else:
            self.say(f"Slurm job {job} was preempted or lost its node: back in the queue")

    def _list(self) -> set[str]:
        listed = list_jobs(self.folder, f"--states={self.states}")
        return {job for job, experiment in listed if experiment == self.experiment}
