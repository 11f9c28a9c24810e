"""A training job on two nodes: what is submitted, and that its ranks find each other."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.observe import Run, list_slurm_jobs, slurm
from tests.slurm.test_cluster import COMMAND

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

# Where nodes meet comes from the project; the rendezvous and the sum are torch's own.
SUM_OVER_RANKS = """
import os, sys, torch, torch.distributed as dist
from workflow.scripts.cluster.node import given_gpus, rendezvous
meet = rendezvous(os.environ)
dist.init_process_group(
    "gloo",
    init_method=f"tcp://{meet['main_process_ip']}:{meet['main_process_port']}",
    rank=meet["machine_rank"],
    world_size=meet["num_machines"],
)
total = torch.tensor([meet["machine_rank"] + 1.0])
dist.all_reduce(total)
print(os.environ["SLURMD_NODENAME"], len(given_gpus(os.environ)), total.item(), flush=True)
"""


def test_one_task_starts_on_each_node_and_they_meet(
    cluster: Cluster, root: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "sum.py"
    script.write_text(SUM_OVER_RANKS)
    # the flags of `launch_prefix` in rules/cluster.smk and of the plugin for `nodes: 2`
    srun = "srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --gpus-per-node=8 --cpus-per-task=1"
    log = tmp_path / "log"
    sbatch = ["sbatch", "--partition=gpu", "--wait", "--nodes=2", "--ntasks=2", "--gpus=16"]
    subprocess.run(
        [*sbatch, "--time=5", "--exclusive", f"--output={log}", f"--wrap={srun} python {script}"],
        cwd=root,
        env={**environment, "PYTHONPATH": str(root)},
        timeout=180,
        check=True,
        capture_output=True,
    )
    lines = sorted(line for line in log.read_text().splitlines() if line.startswith("node"))
    assert lines == ["node01 8 3.0", "node02 8 3.0"]


def test_a_training_job_of_two_nodes_holds_both_and_its_driver_may_be_a_job(
    cluster: Cluster,
    copy_with_base: Callable[[str], Path],
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    folder, log = copy_with_base("two-nodes"), tmp_path / "log"
    with open(folder / "experiments" / "tiny.yaml", "a") as experiment:
        experiment.write("\nresources: {reasoning_sft: {nodes: 2}}\n")
    command = f"cd {folder} && {' '.join(COMMAND)} --until reasoning_sft"
    sbatch = ["sbatch", "--wait", "--partition=cpu", "--mem=1G", "--job-name=driver"]
    submit = [*sbatch, f"--chdir={tmp_path}", f"--output={log}", f"--wrap={command}"]
    run = Run.start(folder, submit, environment)
    try:
        (job,) = run.wait_for_jobs("reasoning_sft")
        assert (job.fields["NumNodes"], job.gpus()) == ("2", 16)
        assert run.driver.wait(timeout=300) == 0, log.read_text()[-3000:]
    finally:
        run.end()
        slurm("scancel", "--name=driver")
    (job,) = [job for job in list_slurm_jobs(folder) if job.rule == "reasoning_sft"]
    assert job.state == "COMPLETED"
    assert not slurm("squeue", "--noheader").strip()
