import os

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.models import gpus
from workflow.scripts.models.gpus import (
    choose_attention,
    claim_gpus,
    explain_missing,
    set_environment,
)


def test_missing_gpus_are_counted_in_the_error(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(InputError, match="asks for 8 GPUs, found 0"):
        claim_gpus(8, tmp_path)


@pytest.mark.parametrize(
    ("cuda", "driver", "line"),
    [
        (
            "13.0",
            "550.54.15",
            "550.54.15 is too old for CUDA 13.0, .* expected 580 or newer",
        ),
        ("12.8", "515.105.01", "expected 525 or newer"),
        ("13.0", "580.65.06", "CUDA_VISIBLE_DEVICES="),
        ("13.0", None, "nvidia-smi shows no driver"),
        (None, "580.65.06", "torch 2.13.0 is a build without CUDA"),
    ],
)
def test_gpus_that_torch_cannot_use_are_explained(cuda, driver, line):
    """Drivers as NVIDIA's release notes have them: 580 for CUDA 13, 525 for CUDA 12."""
    import re

    assert re.search(line, explain_missing("2.13.0", cuda, driver))


def test_gpus_that_nvml_alone_sees_do_not_count(monkeypatch, tmp_path):
    """With an old driver torch counts GPUs through NVML, and fails when it starts CUDA."""
    import torch

    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 550.54.15\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(InputError, match=r"found 0 \(driver 550.54.15 is too old for CUDA 13.0"):
        claim_gpus(8, tmp_path)


def test_users_allocator_settings_win():
    environ = {}
    set_environment(environ)
    assert environ == {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}
    environ = {"PYTORCH_ALLOC_CONF": "backend:cudaMallocAsync"}
    set_environment(environ)
    assert environ == {"PYTORCH_ALLOC_CONF": "backend:cudaMallocAsync"}


@pytest.mark.parametrize(
    ("installed", "count", "precision", "chosen"),
    [
        ((), 8, "bf16_mixed", "sdpa"),
        (("flash_attention_2",), 8, "bf16_mixed", "flash_attention_2"),
        (("flash_attention_2", "flash_attention_3"), 8, "bf16_pure", "flash_attention_3"),
        (("flash_attention_2", "flash_attention_3"), 8, "fp32", "sdpa"),
        (("flash_attention_2",), 0, "bf16_mixed", "sdpa"),
    ],
)
def test_the_fastest_installed_attention_is_taken(monkeypatch, installed, count, precision, chosen):
    monkeypatch.setattr(gpus, "_installed", lambda name: name in installed)
    assert choose_attention(None, count, precision) == chosen
    assert choose_attention("eager", count, precision) == "eager"


def test_attention_that_is_not_installed_is_an_input_error():
    """For real: neither package is in this environment."""
    with pytest.raises(InputError, match=r"attention is 'flash_attention_2', expected its package"):
        choose_attention("flash_attention_2", 8, "bf16_mixed")
