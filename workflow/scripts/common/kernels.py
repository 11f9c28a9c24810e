"""Which kernels compute on the CPU: those that every x86-64 machine with AVX2 has.

torch, MKL, oneDNN, OpenBLAS and numpy choose their kernels by the processor, and each kernel rounds
in another order: after a few hundred steps two processors have different weights. Held at AVX2, a
seed gives the same weights on all of them. Other architectures (arm64) round in their own way.
`tests/common/test_kernels.py` compares hashes under other processors.

Large models keep the processor's own kernels: there the pinned matrix product takes seven times as
long (512 x 576 x 1536, one thread: 16 against 107 GFLOP/s, means of 3, on an Intel with AVX-512).
"""

from __future__ import annotations

import os
from pathlib import Path

PINNED_UP_TO = 40_000_000  # bytes of weights; micro's models have 2 million

KERNELS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    # The one mode that Intel promises to be the same on other makers' processors.
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}


def pin_kernels(model: Path | None = None) -> None:
    """Set the variables; before torch and numpy compute anything.

    Whatever else the environment says gives way: it could change results that share one key.

    Args:
        model: The folder of the model that is computed with; nothing is set for a large one.
    """
    if model and sum(f.stat().st_size for f in model.glob("*.safetensors")) > PINNED_UP_TO:
        return
    os.environ.update(KERNELS)
