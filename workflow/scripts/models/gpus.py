"""What a training job makes sure of before it loads a model: GPUs, driver, compiler, attention."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from workflow.scripts.cluster.node import check_compiler
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.hardware import driver_version
from workflow.scripts.common.kernels import pin_kernels

# Oldest driver of each CUDA release: NVIDIA's CUDA Toolkit Release Notes, table "Minimum Required
# Driver Version for CUDA Minor Version Compatibility".
OLDEST_DRIVER = {"11": 450, "12": 525, "13": 580}
FLASH = ("flash_attention_3", "flash_attention_2")
ENVIRONMENT = {
    # Lengths vary from step to step: segments of one size each would leave holes (as torchtitan).
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",
}


def set_environment(environ: MutableMapping[str, str]) -> None:
    """Set the variables of training on GPUs that the user has not set; before torch starts CUDA."""
    environ.update({key: value for key, value in ENVIRONMENT.items() if key not in environ})


def claim_gpus(gpus: int, model: Path) -> None:
    """Make sure that `gpus` GPUs are visible, and with one asked for, that only one is.

    Args:
        gpus: 0 for training on the CPU, whose kernels are pinned.
        model: The folder of the model to train.

    Raises:
        InputError: Fewer are there than asked for, or torch's kernels cannot be built.
    """
    if gpus == 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        pin_kernels(model)
        return
    set_environment(os.environ)
    import torch

    # NVML counts GPUs that this build of torch cannot use.
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found < gpus:
        why = explain_missing(torch.__version__, torch.version.cuda, driver_version())
        raise InputError(f"runtime.gpus asks for {gpus} GPUs, found {found} ({why})")
    if gpus == 1 and found > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or "0"
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]
    check_compiler(os.environ)  # TRL's loss on GPUs is a Triton kernel


def explain_missing(torch_version: str, cuda: str | None, driver: str | None) -> str:
    """Return why torch may not see a GPU.

    Args:
        torch_version: Such as `2.13.0`.
        cuda: The CUDA version that it is built for, such as `13.0`; None without CUDA.
        driver: The NVIDIA driver's version, such as `550.54.15`; None where there is none.
    """
    if cuda is None:
        return f"torch {torch_version} is a build without CUDA"
    oldest = OLDEST_DRIVER.get(cuda.split(".")[0], 0)
    if driver and int(driver.split(".")[0]) < oldest:
        return (
            f"driver {driver} is too old for CUDA {cuda}, which torch {torch_version} is built "
            f"for: expected {oldest} or newer"
        )
    if driver is None:
        return "nvidia-smi shows no driver"
    return f"CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', 'unset')}"


def choose_attention(asked: str | None, gpus: int, precision: str) -> str:
    """Return the attention implementation to train with.

    Without a wish: flash attention 3 (Hopper) or 2 where it is installed and can be used, else
    torch's own, which computes examples without padding with a flash kernel, too.

    Args:
        asked: `runtime.attention`.
        gpus: Of this node; 0 trains on the CPU.
        precision: Of the recipe; flash attention computes in bf16 alone.

    Raises:
        InputError: What was asked for is not installed.
    """
    usable = [name for name in FLASH if gpus and precision != "fp32" and _installed(name)]
    if asked in FLASH and asked not in usable:
        raise InputError(
            f"runtime.attention is {asked!r}, expected its package to be installed, a GPU that it "
            "supports and a precision other than fp32; without the key the fastest one is taken"
        )
    return asked or next(iter(usable), "sdpa")


def _installed(name: str) -> bool:
    import torch
    from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available

    if name == "flash_attention_3":
        return is_flash_attn_3_available() and torch.cuda.get_device_capability()[0] == 9
    return is_flash_attn_2_available()
