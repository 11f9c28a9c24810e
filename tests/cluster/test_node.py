"""What a Slurm job sets and checks on its node. The variables are those of real jobs."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from workflow.scripts.cluster.node import (
    Rendezvous,
    check_compiler,
    check_gpus,
    describe_allocation,
    job_environment,
    rendezvous,
)
from workflow.scripts.common.errors import InputError

BATCH = {
    "SLURM_JOB_ID": "71",
    "SLURM_GPUS": "h100:8",
    "SLURM_JOB_GPUS": "0,1,2,3,4,5,6,7",
    "SLURM_NNODES": "1",
    "SLURMD_NODENAME": "node02",
}
STEP = {
    "SLURM_JOB_ID": "71",
    "SLURM_STEP_GPUS": "4,5",
    "SLURMD_NODENAME": "node02",
    "SLURM_JOB_NODELIST": "node02",
}


def test_a_job_that_gets_fewer_gpus_than_asked_for_says_so_and_stops() -> None:
    check_gpus(BATCH)
    with pytest.raises(InputError, match=r"job 71 asked for 8 GPUs .* given GPUs 0,1,2 on node02"):
        check_gpus({**BATCH, "SLURM_JOB_GPUS": "0,1,2"})


@pytest.mark.parametrize("environ", [{}, {"SLURM_JOB_ID": "71"}, {**BATCH, "SLURM_JOB_GPUS": ""}])
def test_what_slurm_does_not_say_is_no_error(environ: dict[str, str]) -> None:
    check_gpus(environ)


def test_gpus_on_two_nodes_count_together() -> None:
    check_gpus({**BATCH, "SLURM_GPUS": "16", "SLURM_NNODES": "2"})
    with pytest.raises(InputError, match="asked for 16 GPUs on 2 node"):
        check_gpus({**BATCH, "SLURM_GPUS": "16", "SLURM_NNODES": "2", "SLURM_JOB_GPUS": "0,1"})


def test_compute_jobs_are_offline() -> None:
    found = job_environment({})
    assert found["HF_HUB_OFFLINE"] == found["HF_DATASETS_OFFLINE"] == "1"


def test_what_the_user_set_stays() -> None:
    assert "NCCL_DEBUG" not in job_environment({"NCCL_DEBUG": "INFO"})


def test_caches_and_temporary_files_go_to_the_nodes_disk_where_there_is_one(tmp_path: Path) -> None:
    found = job_environment({"SLURM_TMPDIR": str(tmp_path), "TMPDIR": "/elsewhere"})
    assert found["TMPDIR"] == str(tmp_path)
    assert Path(found["TRITON_CACHE_DIR"]).parent == tmp_path
    assert found["APPTAINER_BIND"] == str(tmp_path)  # a container sees it, beside what it is told
    bound = job_environment({"SLURM_TMPDIR": str(tmp_path), "APPTAINER_BIND": "/data"})
    assert bound["APPTAINER_BIND"] == f"/data,{tmp_path}"
    again = job_environment({"SLURM_TMPDIR": str(tmp_path)} | bound)
    assert again["APPTAINER_BIND"] == f"/data,{tmp_path}"
    assert "TMPDIR" not in job_environment({})
    assert "TMPDIR" not in job_environment({"SLURM_TMPDIR": str(tmp_path / "absent")})


def test_one_node_takes_any_free_port() -> None:
    assert rendezvous({**STEP, "SLURM_NNODES": "1"}) == {"num_machines": 1, "main_process_port": 0}


def test_nodes_of_a_job_meet_at_one_port_and_jobs_on_a_node_at_different_ones() -> None:
    def meet(node: int, job: int) -> Rendezvous:
        return rendezvous(
            {
                "SLURM_JOB_ID": str(job),
                "SLURM_STEP_NUM_NODES": "2",
                "SLURM_NODEID": str(node),
                "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.7",
            }
        )

    first, second, other = meet(0, 71), meet(1, 71), meet(0, 72)
    assert (first["machine_rank"], second["machine_rank"]) == (0, 1)
    assert first["main_process_ip"] == second["main_process_ip"] == "10.0.0.7"
    assert first["main_process_port"] == second["main_process_port"] != other["main_process_port"]
    assert 1024 < first["main_process_port"] < 32768  # outside the ephemeral range


def test_a_manifest_names_job_node_and_gpus() -> None:
    assert describe_allocation(STEP) == {
        "job_id": "71",
        "node": "node02",
        "nodes": "node02",
        "gpus": ["4", "5"],
    }
    assert describe_allocation({}) is None


def test_a_node_without_a_compiler_or_headers_is_an_input_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Triton looks for CC, gcc and clang, and for the Python.h of sysconfig."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    with pytest.raises(InputError, match=r"no C compiler .* expected one"):
        check_compiler({})
    with pytest.raises(InputError, match="no C compiler"):
        check_compiler({"CC": "/nowhere/cc"})
    (tmp_path / "clang").write_text("#!/bin/sh\n")
    (tmp_path / "clang").chmod(0o755)
    with pytest.raises(InputError, match=r"Python\.h: missing"):
        check_compiler({})
    (tmp_path / "Python.h").touch()
    check_compiler({})
    check_compiler({"CC": sys.executable})
