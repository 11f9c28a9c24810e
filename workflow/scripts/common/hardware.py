"""What a run was computed on, for its manifest: hardware, and the node's name in its cluster."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Mapping
from typing import Any, TypedDict

from workflow.scripts.cluster.node import describe_allocation


class Hardware(TypedDict):
    """What a run was computed on; GPUs are those that this process sees."""

    device: str
    """cuda or cpu"""
    gpus: list[str]
    """Their names"""
    driver: str | None
    """NVIDIA's, and its version"""
    world_size: int
    """Processes"""
    cuda_visible_devices: str | None
    slurm: Mapping[str, Any] | None
    """See `describe_allocation`"""


def describe_hardware(world: int) -> Hardware:
    """Return what this process computes on, one of `world`."""
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
