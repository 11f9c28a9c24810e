"""What a job finds on its node, and what it sets there for what it starts.

`rules/cluster.smk` calls `check_gpus` and applies `job_environment` in every Slurm job before the
command of its rule starts.
"""

from __future__ import annotations

import os
import re
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import NotRequired, TypedDict

from workflow.scripts.common.errors import InputError

# Where clusters say that a job's own folder on the node's disk is, most telling name first.
SCRATCH = ("SLURM_TMPDIR", "LOCAL_SCRATCH", "SCRATCH_LOCAL")
# Caches that many processes write at once, and that a shared file system makes slow.
CACHES = {
    "TRITON_CACHE_DIR": "triton",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "HF_DATASETS_CACHE": "datasets",
    "MPLCONFIGDIR": "matplotlib",
    "CUDA_CACHE_PATH": "cuda",
}
FIRST_PORT, PORTS = 20_000, 12_000  # below Linux's ephemeral ports, which start at 32768


class Rendezvous(TypedDict):
    """Where the ranks of a job meet, as flags of `accelerate launch`."""

    num_machines: int
    machine_rank: NotRequired[int]  # this and the next only on several nodes
    main_process_ip: NotRequired[str]
    main_process_port: int


class Allocation(TypedDict):
    """What Slurm gave to a process, as manifests have it."""

    job_id: str
    node: str | None  # the one that it is on
    nodes: str | None  # those of the job, in Slurm's short form
    gpus: list[str]  # of this node


def job_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to set in a job, given those it has; what is set stays as it is.

    Compute jobs are offline: models and data were fetched before, by rules of their own. Ranks of
    NCCL report what went wrong, GPUs are counted in the same order by every tool. Caches go to the
    node's own disk where the cluster names a folder for that; a container sees it there, too.
    """
    wanted = {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "NCCL_DEBUG": "WARN",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }
    if scratch := scratch_folder(environ):
        wanted["TMPDIR"] = str(scratch)
        wanted |= {key: str(scratch / name) for key, name in CACHES.items()}
        bound = filter(None, environ.get("APPTAINER_BIND", "").split(","))
        wanted["APPTAINER_BIND"] = ",".join(dict.fromkeys((*bound, str(scratch))))
    extended = ("TMPDIR", "APPTAINER_BIND")
    return {key: value for key, value in wanted.items() if key not in environ or key in extended}


def scratch_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the job's folder on the node's own disk, where the cluster gives one."""
    for name in SCRATCH:
        if environ.get(name) and Path(environ[name]).is_dir():
            return Path(environ[name])
    return None


def given_gpus(environ: Mapping[str, str]) -> list[str]:
    """Return the GPUs that Slurm gave to this job on this node, as it numbers them."""
    given = environ.get("SLURM_STEP_GPUS") or environ.get("SLURM_JOB_GPUS") or ""
    return [gpu for gpu in given.split(",") if gpu]


def check_gpus(environ: Mapping[str, str] = os.environ) -> None:
    """Make sure that a Slurm job has the GPUs that it asked for.

    Raises:
        InputError: Slurm gave fewer. Where Slurm does not say what it gave, nothing is checked;
            the trainer counts its GPUs again, as torch sees them.
    """
    given = given_gpus(environ)
    asked = int(re.sub(r".*:", "", environ.get("SLURM_GPUS", "0")))
    nodes = int(environ.get("SLURM_NNODES", "1"))
    if given and len(given) * nodes < asked:
        raise InputError(
            f"Slurm job {environ.get('SLURM_JOB_ID')} asked for {asked} GPUs on {nodes} node(s), "
            f"was given GPUs {','.join(given)} on {environ.get('SLURMD_NODENAME', 'its node')}"
        )


def check_compiler(environ: Mapping[str, str]) -> None:
    """Make sure that Triton can build its bridge to the GPU's driver, which it does in C.

    No CUDA toolkit is needed: Triton brings its own assembler.

    Raises:
        InputError: There is no C compiler, or Python's headers are missing.
    """
    compiler = environ.get("CC") or next(filter(None, map(shutil.which, ("gcc", "clang"))), None)
    if not compiler or not shutil.which(compiler):
        raise InputError(
            "no C compiler on this node's PATH (gcc or clang, or CC), which Triton needs on "
            "GPUs: expected one, such as `module load gcc`"
        )
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    if not header.exists():
        raise InputError(
            f"{header}: missing, though Triton needs it on GPUs: expected Python's "
            "headers (python3-dev, or a Python of conda or uv)"
        )


def rendezvous(environ: Mapping[str, str]) -> Rendezvous:
    """Return where the ranks of a job on several nodes meet.

    One task runs on each node (`srun --ntasks-per-node=1`). The port follows from the job's id, so
    that the nodes agree on it without talking, and two jobs on a node differ. On one node it is 0:
    the launcher takes a port that is free, without a race.
    """
    nodes = int(environ.get("SLURM_STEP_NUM_NODES") or environ.get("SLURM_NNODES") or 1)
    if nodes == 1:
        return {"num_machines": 1, "main_process_port": 0}
    return {
        "num_machines": nodes,
        "machine_rank": int(environ["SLURM_NODEID"]),
        "main_process_ip": environ["SLURM_LAUNCH_NODE_IPADDR"],
        "main_process_port": FIRST_PORT + int(environ["SLURM_JOB_ID"]) % PORTS,
    }


def describe_allocation(environ: Mapping[str, str] = os.environ) -> Allocation | None:
    """Return the Slurm job, node and GPUs of this process for a manifest; None outside Slurm."""
    if "SLURM_JOB_ID" not in environ:
        return None
    return {
        "job_id": environ["SLURM_JOB_ID"],
        "node": environ.get("SLURMD_NODENAME"),
        "nodes": environ.get("SLURM_JOB_NODELIST"),
        "gpus": given_gpus(environ),
    }
