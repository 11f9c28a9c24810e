"""What memory a local judge takes, told before any job of a run begins."""

from __future__ import annotations

import os
from pathlib import Path

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json
from workflow.scripts.score.scorer import ScorerSection

WEIGHTS = (".safetensors", ".bin")
NVIDIA = Path("/proc/driver/nvidia")  # its driver is loaded


def judge_gb(scorer: ScorerSection, fetched: Path | None) -> float:
    """Return the gigabytes of a judge's weights; 0 for a scorer that loads no model.

    Args:
        scorer: Its section.
        fetched: The folder of `fetch_judge`, where there is one.
    """
    if not scorer.parameters:
        return 0.0
    if (path := scorer.local_model()) and Path(path).is_dir():
        files = (file for file in Path(path).iterdir() if file.suffix in WEIGHTS)
        return sum(file.stat().st_size for file in files) / 1e9
    if fetched and (fetched / "fetched.json").is_file():
        sizes = read_json(fetched / "fetched.json")["files_bytes"]
        return sum(size for name, size in sizes.items() if name.endswith(WEIGHTS)) / 1e9
    each = 4 if getattr(scorer, "dtype", None) == "float32" else 2
    return scorer.parameters * each / 1e9


def machine_gb() -> float:
    """Return the gigabytes of memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9


def check_judge(name: str, need: float, there: float, gpu: bool) -> str:
    """Return what to say of a judge that is loaded on this machine.

    Args:
        name: The scorer's.
        need: Gigabytes of its weights.
        there: Gigabytes of this machine.
        gpu: Whether it has a GPU, whose memory is not known here.

    Raises:
        InputError: The machine has less memory, and no GPU.
    """
    said = f"scorers.{name}: its judge takes about {need:.1f} GB of memory"
    if need > there and not gpu:
        raise InputError(
            f"{said}, this machine has {there:.1f} GB and no GPU, expected one that holds it: "
            "`--profile slurm`, or another scorer (ngram, llm_judge)"
        )
    return f"{said}; this machine has {there:.1f} GB"
