"""What a run was computed on, for its manifest: hardware, and the node's name in its cluster."""

from __future__ import annotations

import os
import resource
import subprocess
from typing import Any

from workflow.scripts.cluster.node import describe_allocation


def describe_hardware(world: int) -> dict[str, Any]:
    """Return device kind, GPU names, driver, process count, and Slurm's job, node and GPUs."""
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "device": "cuda" if gpus else "cpu",
        "gpus": gpus,
        "driver": driver_version() if gpus else None,
        "world_size": world,
        "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES") if gpus else None,
        "slurm": describe_allocation(),
    }


def peak_memory_mb() -> float:
    """Return the peak in MiB of this process: allocated on its GPU, or resident on the CPU."""
    import torch

    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, 1)


def driver_version() -> str | None:
    """Return the version of the NVIDIA driver; None where there is none."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return None
    return found[0] if found else None
