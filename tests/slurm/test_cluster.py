"""Runs on a real Slurm controller with two pretended nodes of eight pretended GPUs.

The experiment `tiny`, from its base model on, runs once through `snakemake --profile slurm`, and
meets a requeue, a scancel, a node that goes down, a time limit and the sudden death of the driver.
Then its tables are compared with those of a plain local run.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.conftest import SITE, edit_profile
from tests.slurm.observe import ACTIVE, Run, SlurmJob, hold, list_slurm_jobs, slurm
from tests.workflow.driving import without_times

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

COMMAND = ["snakemake", "--profile", "slurm", "--config", "experiment=tiny"]
TABLES = ("tradeoff.csv", "tradeoff.md", "tradeoff.tex")


@dataclass
class Disturbed:
    """The run with faults: its folder, jobs as they were when disturbed, and what was printed."""

    folder: Path
    requeued: SlurmJob
    cancelled: SlurmJob
    trainings: list[SlurmJob]
    on_lost_node: SlurmJob
    timed_out: SlurmJob
    finished: dict[Path, int]
    unfinished: SlurmJob
    held: SlurmJob
    orphans: list[SlurmJob]
    refused: subprocess.CompletedProcess[str]
    second_output: str
    jobs: list[SlurmJob]


@pytest.fixture(scope="module")
def disturbed(
    cluster: Cluster,
    copy_with_base: Callable[[str], Path],
    environment: dict[str, str],
) -> Iterator[Disturbed]:
    folder = copy_with_base("slurm")
    first = Run.start(folder, COMMAND, environment)
    try:
        yield disturb(first, cluster, environment)
    finally:
        first.end()


def disturb(first: Run, cluster: Cluster, environment: dict[str, str]) -> Disturbed:
    folder = first.folder

    # the LRM's training is cancelled, the base model's generation goes back into the queue
    (cancelled,) = first.wait_for_jobs("reasoning_sft")
    slurm("scancel", cancelled.id)
    (requeued,) = first.wait_for_jobs("generate_samples")
    slurm("scontrol", "requeue", requeued.id)

    # meanwhile the same command, given a second time
    refused = subprocess.run(COMMAND, cwd=folder, env=environment, capture_output=True, text=True)

    faults = Faults(first, cluster)
    first.wait_until("all faults", faults.go_on)
    trainings, on_lost_node, timed_out = faults.trainings, faults.trainings[0], faults.timed_out
    # The driver dies when this training has begun again. It has met all else: it knows that
    # the other training is done, and has submitted the job again that was over its time limit.
    unfinished, held = faults.unfinished, faults.held
    assert timed_out and unfinished and held
    first.driver.kill()
    first.driver.wait()
    orphans = [job for job in list_slurm_jobs(folder) if job.state in ACTIVE]
    finished = finished_trainings(folder)

    second = Run.start(folder, COMMAND, environment)
    try:
        assert second.driver.wait(timeout=900) == 0, second.printed()[-3000:]
    finally:
        second.end()
    return Disturbed(
        folder,
        requeued,
        cancelled,
        trainings,
        on_lost_node,
        timed_out,
        finished,
        unfinished,
        held,
        orphans,
        refused,
        second.printed(),
        list_slurm_jobs(folder),
    )


@dataclass
class Faults:
    """What happens to a run once there is an LRM, in whatever order its jobs get their nodes.

    Attributes:
        trainings: Both safety trainings; the first is held until the second runs too, and loses its
            node then.
        timed_out: The LRM's generation, which meets its time limit.
        unfinished: The second attempt of the first training, held.
        held: The generation by the model of the second training, held.
    """

    run: Run
    cluster: Cluster
    trainings: list[SlurmJob] = field(default_factory=list)
    timed_out: SlurmJob | None = None
    unfinished: SlurmJob | None = None
    held: SlurmJob | None = None

    def go_on(self) -> bool:
        """Do what can be done now; tell whether all is done."""
        for job in list_slurm_jobs(self.run.folder):
            if job.state == "RUNNING" and job.rule == "safety_sft":
                self.meet_training(job)
            elif job.state == "RUNNING" and job.rule == "generate_samples":
                self.meet_generation(job)
        return bool(self.retried() and self.unfinished and self.held)

    def retried(self) -> bool:
        """Tell whether the driver has submitted the job again that met its time limit."""
        late = self.timed_out
        return late is not None and any(
            (job.rule, job.wildcards) == (late.rule, late.wildcards) and job.id != late.id
            for job in list_slurm_jobs(self.run.folder)
        )

    def meet_training(self, job: SlurmJob) -> None:
        if not self.trainings:
            hold(self.run, job)
            self.trainings.append(job)
        elif len(self.trainings) == 1 and job.id != self.trainings[0].id:
            self.trainings.append(job)
            lost = self.trainings[0]
            slurm("scontrol", "update", f"NodeName={lost.node}", "State=DOWN", "Reason=test")
            self.run.wait_until("end of the job", lambda: not self.run.is_running(lost))
            self.cluster.resume(lost.node)
        elif len(self.trainings) == 2 and job.wildcards == self.trainings[0].wildcards:
            if self.unfinished is None:
                hold(self.run, job)
                self.unfinished = job

    def meet_generation(self, job: SlurmJob) -> None:
        if job.wildcards.startswith("lrm_") and self.timed_out is None:
            hold(self.run, job)
            slurm("scontrol", "update", f"JobId={job.id}", "EndTime=now")
            self.timed_out = job
        if len(self.trainings) == 2 and self.held is None:
            model = self.trainings[1].wildcards.rpartition("_")[0]
            if job.wildcards.startswith(f"aligned_{model}_"):
                hold(self.run, job)
                self.held = job


def finished_trainings(folder: Path) -> dict[Path, int]:
    """Return {the file that each finished safety training has written last: when, in ns}."""
    results = folder / "results"
    trainings = (results / "store" / "models" / "aligned").rglob("result.json")
    return {path: path.stat().st_mtime_ns for path in trainings}


def test_tables_are_those_of_a_local_run_byte_for_byte(
    disturbed: Disturbed, request: pytest.FixtureRequest
) -> None:
    finished_run = request.getfixturevalue("finished_run")  # after the run on Slurm, not before
    for name in TABLES:
        found, expected = (
            folder / "results" / "tiny" / "report" / name
            for folder in (disturbed.folder, finished_run)
        )
        assert without_times(found) == without_times(expected)


def test_no_output_was_written_by_two_jobs_at_once(disturbed: Disturbed) -> None:
    def output(job: SlurmJob) -> tuple[str, str]:
        return job.rule, job.wildcards

    started = [job for job in disturbed.jobs if job.node not in ("", "(null)")]
    groups = itertools.groupby(sorted(started, key=output), key=output)
    for name, jobs in ((name, list(jobs)) for name, jobs in groups):
        for one, other in itertools.combinations(jobs, 2):
            assert not one.overlaps(other), (name, one.fields, other.fields)
    assert len(started) > 12  # the faults made some jobs run again


def test_a_training_job_owns_all_of_one_node(disturbed: Disturbed) -> None:
    for job in disturbed.trainings:
        assert job.gpus() == 8
        assert job.fields["NumNodes"] == "1"
        assert job.fields["NumCPUs"] == "64"
        others = [o for o in disturbed.jobs if o.node == job.node and o.id != job.id]
        assert not any(job.overlaps(other) for other in others if job.state == "COMPLETED")
    models = disturbed.folder / "results" / "store" / "models" / "aligned"
    manifests = list(models.rglob("manifest.json"))
    assert manifests
    for manifest in manifests:
        given = json.loads(manifest.read_text())["hardware"]["slurm"]
        assert given["gpus"] == [str(i) for i in range(8)]
        assert given["node"] in ("node01", "node02")


def test_two_trainings_run_side_by_side_on_two_nodes(disturbed: Disturbed) -> None:
    assert {job.node for job in disturbed.trainings} == {"node01", "node02"}


def test_jobs_take_either_partition_of_a_list(disturbed: Disturbed) -> None:
    assert {job.fields["Partition"] for job in disturbed.jobs} <= {"gpu", "gpu-large"}


def test_small_jobs_share_a_node_and_cpu_jobs_ask_for_no_gpu(disturbed: Disturbed) -> None:
    generations = [job for job in disturbed.jobs if job.rule == "generate_samples"]
    assert {job.gpus() for job in generations} == {1}
    small = [job for job in disturbed.jobs if job.rule in ("generate_samples", "score_samples")]
    assert any(
        one.node == other.node and one.overlaps(other)
        for one, other in itertools.combinations(small, 2)
    )
    for job in disturbed.jobs:
        if job.rule not in ("generate_samples", "reasoning_sft", "safety_sft"):
            assert job.gpus() == 0, job.fields


def test_squeue_tells_experiment_rule_and_model(disturbed: Disturbed) -> None:
    for job in disturbed.jobs:
        assert re.fullmatch(r"tiny_[0-9a-f-]{36}", job.name)
    trained = {job.wildcards for job in disturbed.jobs if job.rule == "safety_sft"}
    assert any(re.fullmatch(r"tiny_directrefusal_seed1_[0-9a-f]{16}", name) for name in trained)


def test_a_requeued_job_ran_again_under_its_own_id(disturbed: Disturbed) -> None:
    name = disturbed.requeued.rule, disturbed.requeued.wildcards
    (job,) = [job for job in disturbed.jobs if (job.rule, job.wildcards) == name]
    assert (job.id, job.fields["Restarts"], job.state) == (disturbed.requeued.id, "1", "COMPLETED")


def test_a_cancelled_job_was_submitted_again_and_its_log_is_kept(disturbed: Disturbed) -> None:
    states = [job.state for job in disturbed.jobs if job.rule == "reasoning_sft"]
    assert states == ["CANCELLED", "COMPLETED"]
    logs = disturbed.folder / "results" / "tiny" / "logs" / "slurm" / "rule_reasoning_sft"
    kept = {path.stem for path in logs.glob("tiny_seed1_*/*.log")}
    assert kept == {job.id for job in disturbed.jobs if job.rule == "reasoning_sft"}


def test_a_job_whose_node_went_down_ran_again_elsewhere_or_later(disturbed: Disturbed) -> None:
    lost = disturbed.on_lost_node
    attempts = [j for j in disturbed.jobs if (j.rule, j.wildcards) == (lost.rule, lost.wildcards)]
    assert attempts[-1].state == "COMPLETED"
    assert len(attempts) > 1 or attempts[-1].fields["Restarts"] != "0"


def test_a_job_over_its_time_limit_is_retried_with_more_time_and_memory(
    disturbed: Disturbed,
) -> None:
    late = disturbed.timed_out
    attempts = [j for j in disturbed.jobs if (j.rule, j.wildcards) == (late.rule, late.wildcards)]
    first, second = attempts[:2]
    assert first.state == "TIMEOUT"
    # 2000 MB and 30 minutes for a first attempt of tiny, half as much on top for the second
    assert (second.fields["MinMemoryNode"], second.fields["TimeLimit"]) == ("3000M", "00:45:00")
    assert first.fields["MinMemoryNode"] == "2000M"


def test_the_same_command_is_refused_while_its_driver_lives(disturbed: Disturbed) -> None:
    assert disturbed.refused.returncode != 0
    assert "cannot be locked" in disturbed.refused.stderr
    assert "Cancelled jobs" not in disturbed.refused.stderr


def test_after_the_drivers_sudden_death_the_same_command_ends_its_jobs_and_goes_on(
    disturbed: Disturbed,
) -> None:
    found = re.search("Cancelled jobs of an earlier run: (.*)", disturbed.second_output)
    assert found
    cancelled = set(found[1].split(", "))
    # some may have ended by themselves meanwhile, but not those that are held
    held = {disturbed.held.id, disturbed.unfinished.id}
    assert held <= cancelled <= {job.id for job in disturbed.orphans}
    second_run = [job for job in disturbed.jobs if job.name != disturbed.requeued.name]
    later = {"generate_samples", "score_samples", "make_report"}
    assert {job.rule for job in second_run} <= {*later, "safety_sft"}


def test_after_the_drivers_sudden_death_no_finished_training_is_repeated(
    disturbed: Disturbed,
) -> None:
    now = finished_trainings(disturbed.folder)
    assert (len(disturbed.finished), len(now)) == (1, 2)
    assert disturbed.finished.items() <= now.items()
    # which leaves the training that was held when the driver died
    second_run = [job for job in disturbed.jobs if job.name != disturbed.requeued.name]
    trained = [job.wildcards for job in second_run if job.rule in ("reasoning_sft", "safety_sft")]
    assert trained == [disturbed.unfinished.wildcards]


@pytest.fixture(scope="module")
def spare(cluster: Cluster, workflow_copy: Callable[[str], Path]) -> Path:
    """A copy for runs that fail."""
    return workflow_copy("spare")


def fail(folder: Path, environment: dict[str, str], *options: str) -> tuple[str, str]:
    """Run; return the one line that says why it failed, and all that was shown."""
    result = subprocess.run(
        [*COMMAND, *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode != 0
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in result.stderr
    return error, result.stderr


def test_an_unknown_partition_is_one_clear_line(spare: Path, environment: dict[str, str]) -> None:
    edit_profile(spare, {"default-resources": {"slurm_partition": "gpu,nope"}})
    try:
        error, _ = fail(spare, environment)
    finally:
        edit_profile(spare, SITE)
    assert (
        "'nope' is no partition of this cluster, expected one of cpu, gpu, gpu-large, sp" in error
    )
    assert not list_slurm_jobs(spare)


def test_more_gpus_than_a_node_has_is_one_clear_line(
    spare: Path, environment: dict[str, str]
) -> None:
    experiment = spare / "experiments" / "tiny.yaml"
    before = experiment.read_text()
    experiment.write_text(f"{before}\nresources: {{safety_sft: {{gpu: 16}}}}\n")
    try:
        assert "safety_sft asks for 16 GPUs" in fail(spare, environment)[0]
    finally:
        experiment.write_text(before)
    assert not list_slurm_jobs(spare)


def test_a_failure_is_one_clear_line_and_each_attempt_keeps_its_log(
    spare: Path, environment: dict[str, str]
) -> None:
    script = spare / "workflow" / "scripts" / "data" / "make_micro_data.py"
    before = script.read_text()
    # it takes its time to end, so that even on a busy machine the view sees each attempt's error
    said, end = "print('error: the disk is full', file=sys.stderr, flush=True)", "sys.exit(1)"
    fails = "; ".join(["import sys, time", said, "time.sleep(20)", end])
    script.write_text(before.replace("run(main)", fails))
    try:
        error, shown = fail(spare, environment, "--retries", "1", "--until", "make_micro_data")
    finally:
        script.write_text(before)
    assert re.fullmatch(r"error: make_micro_data micro: the disk is full", error)
    logs = list((spare / "results/tiny/logs/slurm/rule_make_micro_data").glob("micro_*/*.log"))
    assert len(logs) == 2
    said = re.findall(
        r"(waiting for retry|failed): make_micro_data.*: error: the disk is full", shown
    )
    assert said == ["waiting for retry", "failed"]
    assert all("error: the disk is full" in log.read_text() for log in logs)


def test_an_environment_that_the_compute_node_lacks_is_one_clear_line(
    spare: Path, environment: dict[str, str], root: Path
) -> None:
    # the environment is seen by the driver alone: bound into its own mount namespace
    (spare / ".venv").unlink()
    (spare / ".venv").mkdir()
    python = spare / ".venv" / "bin" / "python"
    inside = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        f"mount --bind '{root / '.venv'}' .venv && '{python}' -m {' '.join(COMMAND)} "
        "--retries 0 --until make_micro_data",
    ]
    result = subprocess.run(
        inside, cwd=spare, env=environment, capture_output=True, text=True, timeout=120
    )
    (spare / ".venv").rmdir()
    (spare / ".venv").symlink_to(root / ".venv")
    assert result.returncode != 0
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert f"the compute node has no {python}" in error


def test_a_controller_that_forgets_jobs_early_is_one_clear_line(
    spare: Path, environment: dict[str, str], cluster: Cluster
) -> None:
    try:
        with cluster.configured("MinJobAge=3600", "MinJobAge=120"):
            cluster.reconfigure()
            assert "MinJobAge of this cluster is 120 s" in fail(spare, environment)[0]
    finally:
        cluster.reconfigure()


def test_sacct_without_accounting_is_one_clear_line(
    spare: Path, environment: dict[str, str]
) -> None:
    edit_profile(spare, {"slurm-status-command": "sacct"})
    try:
        error, _ = fail(spare, environment)
    finally:
        edit_profile(spare, SITE)
    assert "accounting storage is disabled" in error and "slurm-status-command: squeue" in error


def test_a_dead_controller_is_one_clear_line(
    spare: Path, environment: dict[str, str], cluster: Cluster
) -> None:
    cluster.stop("slurmctld")
    try:
        # the seconds for which each of Slurm's commands tries
        with cluster.configured("MessageTimeout=10", "MessageTimeout=2"):
            assert "Slurm does not answer" in fail(spare, environment)[0]
    finally:
        cluster.start_controller()
