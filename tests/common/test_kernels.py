"""The same seed gives the same weights on every processor with AVX2."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workflow.scripts.common.kernels import KERNELS, pin_kernels

STEPS = Path(__file__).with_name("kernel_steps.py")
# Intel's first with AVX2, and AMD's; qemu computes with neither's instructions beyond AVX2.
PROCESSORS = ("Haswell", "EPYC")


def steps(which: str, *before: str) -> str:
    """Return what kernel_steps.py prints, under qemu where `before` says so."""
    environ = {key: value for key, value in os.environ.items() if key not in KERNELS}
    done = subprocess.run(
        [*before, sys.executable, STEPS, which], env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_the_environment_says_gives_way(monkeypatch):
    monkeypatch.setattr(os, "environ", {"ATEN_CPU_CAPABILITY": "avx512", "OTHER": "1"})
    pin_kernels()
    assert os.environ == {**KERNELS, "OTHER": "1"}


@pytest.mark.parametrize(("shards", "pinned"), [([30], True), ([30, 11], False)])
def test_a_large_model_keeps_the_processors_own_kernels(monkeypatch, tmp_path, shards, pinned):
    monkeypatch.setattr(os, "environ", {})
    for number, megabytes in enumerate(shards):
        with (tmp_path / f"model-{number}.safetensors").open("wb") as weights:
            weights.truncate(megabytes * 1_000_000)
    pin_kernels(tmp_path)
    assert os.environ == (KERNELS if pinned else {})


@pytest.mark.slow
def test_training_steps_are_the_same_to_the_last_bit_on_other_processors():
    if not (qemu := shutil.which("qemu-x86_64")):
        pytest.skip("no qemu-x86_64, expected Debian's qemu-user")
    here = steps("pinned")
    assert here.startswith("AVX2 ")
    for processor in PROCESSORS:
        assert steps("pinned", qemu, "-cpu", processor) == here, processor


@pytest.mark.slow
def test_without_the_pins_the_processor_decides():
    if "avx512f" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has no AVX-512")
    assert steps("free") != steps("pinned")
