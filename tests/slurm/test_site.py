"""A site with partitions of their own for jobs with and without GPUs, where GPUs are asked for with
--gres, jobs are preempted and not started again, and a retry has little room to grow.

One run of the base model's part of `tiny`, with an extractor behind an API.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import yaml

from tests.score.test_llm_judge import Endpoint
from tests.slurm.cluster import Cluster
from tests.slurm.conftest import edit_profile
from tests.slurm.observe import (
    Run,
    SlurmJob,
    hold,
    list_slurm_jobs,
    processes_of,
    slurm,
)
from tests.slurm.test_cluster import COMMAND

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

PARTITIONS = {
    "cpu": {"max_threads": 16},
    "spot": {"max_threads": 64, "max_gpu": 8, "max_runtime": "7d"},
}
PROFILE = {
    "default-resources": {"gres": "gpu", "gpu_model": "h100"},
    "slurm-partition-config": "slurm/partitions.yaml",
}
SAMPLES = "results/tiny/generate/base/tiny/seed1/clock_sums/manifest.json"
SCORED = "score/base/tiny/seed1/clock_sums/math"


@dataclass
class Site:
    """The run: its folder, its jobs, and what was seen of those that were ended."""

    folder: Path
    jobs: list[SlurmJob]
    preempted: SlurmJob
    restarted: SlurmJob
    variables: dict[str, str]
    asked: list[dict[str, str]]
    scored_on_a_node: list[SlurmJob] = field(default_factory=list)

    def attempts(self, rule: str) -> list[SlurmJob]:
        return [job for job in self.jobs if job.rule == rule]


@pytest.fixture(scope="module")
def site(
    cluster: Cluster, copy_with_base: Callable[[str], Path], environment: dict[str, str]
) -> Iterator[Site]:
    folder, endpoint = copy_with_base("site"), Endpoint()
    endpoint.reply = lambda messages: '{"answer": "5"}'
    experiment = folder / "experiments" / "tiny.yaml"
    sections = yaml.safe_load(experiment.read_text())
    sections["scorers"]["math"]["extractor"] = endpoint.section()
    experiment.write_text(yaml.safe_dump(sections))
    (folder / "slurm" / "partitions.yaml").write_text(yaml.safe_dump({"partitions": PARTITIONS}))
    edit_profile(folder, PROFILE)
    shell = {**environment, "JUDGE_KEY": "x"}
    run = Run.start(folder, [*COMMAND, f"only={SCORED} score/judges/ngram"], shell)
    try:
        found = disturb(run, endpoint)
        shutil.rmtree((folder / "results" / "tiny" / SCORED).resolve())
        command = [*COMMAND, f"only={SCORED}", "network_on_nodes=True"]
        run = Run.start(folder, command, shell)
        assert run.driver.wait(timeout=300) == 0, run.printed()[-3000:]
        yield replace(found, scored_on_a_node=list_slurm_jobs(folder)[len(found.jobs) :])
    finally:
        run.end()
        endpoint.server.shutdown()


def disturb(run: Run, endpoint: Endpoint) -> Site:
    (judging,) = run.wait_for_jobs("train_judge")
    hold(run, judging)
    (generating,) = run.wait_for_jobs("generate_samples")
    hold(run, generating)
    # a job of higher priority wants the whole node
    preempter = f"--chdir={run.folder.parent}"
    slurm("sbatch", preempter, "--partition=gpu", "--nodelist=node02", "--exclusive", "--wrap=true")
    (preempted,) = run.wait_for_jobs("generate_samples", "PREEMPTED")
    # the driver puts it back; its second life is ended too, for the sizes of a second attempt
    (restarted,) = run.wait_for_jobs("generate_samples")
    slurm("scancel", restarted.id)
    read = (Path("/proc") / str(processes_of(judging)[0]) / "environ").read_bytes().split(b"\0")
    slurm("scancel", judging.id)
    assert run.driver.wait(timeout=400) == 0, run.printed()[-3000:]
    return Site(
        run.folder,
        list_slurm_jobs(run.folder),
        preempted,
        restarted,
        dict(line.decode().split("=", 1) for line in read if b"=" in line),
        endpoint.requests,
    )


def test_jobs_go_to_the_partition_that_is_there_for_their_kind(site: Site) -> None:
    found = {(job.rule, job.fields["Partition"]) for job in site.jobs}
    assert found == {("train_judge", "cpu"), ("generate_samples", "spot")}


def test_gpus_are_asked_for_by_gres(site: Site) -> None:
    job = site.attempts("generate_samples")[-1]
    assert job.fields["TresPerNode"] == "gres:gpu:h100:1" and "TresPerJob" not in job.fields
    given = json.loads((site.folder / SAMPLES).read_text())["hardware"]["slurm"]["gpus"]
    assert len(given) == 1
    assert not any(job.gpus() for job in site.attempts("train_judge"))


def test_gpus_per_node_is_the_same_to_slurm_as_gres(cluster: Cluster, tmp_path: Path) -> None:
    for flag in ("--gres=gpu:h100:8", "--gpus-per-node=h100:8"):
        hidden = ["--hold", "--partition=gpu", f"--chdir={tmp_path}", "--wrap=true"]
        slurm("sbatch", *hidden, "--comment=rule_x", flag)
    one, other = list_slurm_jobs(tmp_path)
    slurm("scancel", one.id, other.id)
    assert one.fields["TresPerNode"] == other.fields["TresPerNode"] == "gres:gpu:h100:8"


def test_a_job_that_slurm_only_cancels_for_another_goes_back_into_the_queue(site: Site) -> None:
    assert site.preempted.fields["Restarts"] == "0"
    assert (site.restarted.id, site.restarted.fields["Restarts"]) == (site.preempted.id, "1")
    states = [(job.id, job.state) for job in site.attempts("generate_samples")]
    assert states[0] == (site.preempted.id, "CANCELLED")  # by the test, see `disturb`
    assert [state for _, state in states[1:]] == ["COMPLETED"]


def test_a_retry_grows_up_to_what_its_partition_has(site: Site) -> None:
    asked = [
        (job.fields["MinMemoryNode"], job.fields["TimeLimit"])
        for job in site.attempts("train_judge")
    ]
    # half on top would be 6000 MB and 90 minutes; cluster.py gives the partition less
    assert asked == [("4000M", "01:00:00"), ("5000M", "01:10:00")]
    # in the other partition there is room
    sizes = [job.fields["MinMemoryNode"] for job in site.attempts("generate_samples")]
    assert sizes == ["2000M", "3000M"]


def test_scoring_through_an_api_runs_beside_the_driver(site: Site) -> None:
    assert site.asked
    assert not site.attempts("score_samples_api")
    result = json.loads((site.folder / "results" / "tiny" / SCORED / "result.json").read_text())
    # and on a node, where nodes have a network
    found = [(job.rule, job.state, job.fields["Partition"]) for job in site.scored_on_a_node]
    assert found == [("score_samples_api", "COMPLETED", "cpu")]
    assert result["spec"]["scorer"]["extractor"]["model"] == "judge-2025-01-01"


def test_jobs_find_fetched_files_without_an_exported_variable(site: Site) -> None:
    assert site.variables["HF_HOME"] == str(site.folder / ".cache" / "huggingface")
    assert site.variables["HF_HUB_OFFLINE"] == "1"
