"""Running a training script on several GPUs: `accelerate launch` with FSDP2."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from workflow.scripts.cluster.node import rendezvous
from workflow.scripts.config.planning import Runtime
from workflow.scripts.config.recipe import Recipe

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def launch_arguments(runtime: Runtime, recipe: Recipe) -> list[str]:
    """Return the flags of `accelerate launch`; none when one process is enough.

    Parameters, gradients and optimizer state are sharded over all processes, one unit per decoder
    layer; the first process alone reads the weights from disk, and each writes its own part of the
    trainer state. On several nodes, Slurm starts this once on each. What has no flag is set by
    `sharding.configure_sharding`.
    """
    meet = rendezvous(os.environ)
    processes = runtime.gpus * meet["num_machines"]
    if processes <= 1:
        return []
    flags = {
        "config_file": Path(__file__).with_name("accelerate.yaml"),
        "num_processes": processes,
        **meet,
        "mixed_precision": "bf16" if recipe.precision == "bf16_mixed" else "no",
        "dynamo_backend": "no",
        "fsdp_version": 2,
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_reshard_after_forward": "true",
        "fsdp_state_dict_type": "SHARDED_STATE_DICT",
        "fsdp_cpu_ram_efficient_loading": "true",
        "fsdp_activation_checkpointing": str(runtime.gradient_checkpointing).lower(),
        "fsdp_offload_params": "false",
    }
    return [
        "--use_fsdp",
        *(text for key, value in flags.items() for text in (f"--{key}", str(value))),
    ]


def launched() -> bool:
    """Say whether a launcher started this process as one of several."""
    return "LOCAL_RANK" in os.environ


def is_main() -> bool:
    """Say whether this process is the one that writes files."""
    return os.environ.get("RANK", "0") == "0" or not launched()


def world_size(runtime: Runtime) -> int:
    """Return the number of training processes."""
    if launched():
        return int(os.environ["WORLD_SIZE"])
    return max(1, runtime.gpus * rendezvous(os.environ)["num_machines"])


def thread_environment(environ: Mapping[str, str], processes: int) -> dict[str, str]:
    """Return the variables that share a job's CPU threads out among the processes of a node.

    The launcher hands them on as they are, and Snakemake sets them to the threads of the whole job.
    """
    threads = int(environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    return dict.fromkeys(THREAD_VARIABLES, str(max(1, threads // processes)))


def relaunch(module: str, argv: list[str], flags: list[str], processes: int) -> NoReturn:
    """Replace this process by `accelerate launch` of the same module with the same arguments.

    Args:
        module: The module to run.
        argv: Its arguments.
        flags: See `launch_arguments`.
        processes: Of this node, which share its CPU threads.
    """
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        *flags,
        "--module",
        module,
        *argv,
    ]
    sys.stdout.flush()
    os.execve(sys.executable, command, os.environ | thread_environment(os.environ, processes))
