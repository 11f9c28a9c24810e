"""Which kernels compute on the CPU: those that every x86-64 machine with AVX2 has.

torch, MKL, oneDNN, OpenBLAS and numpy choose their kernels by the processor, and each kernel rounds
in another order: after a few hundred steps two processors have different weights. Held at AVX2, a
seed gives the same weights on all of them. Other architectures (arm64) round in their own way.
`tests/common/test_kernels.py` compares hashes under other processors.
"""

from __future__ import annotations

import os

KERNELS = {
    "ATEN_CPU_CAPABILITY": "avx2",
    # The one mode that Intel promises to be the same on other makers' processors.
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}


def pin_kernels() -> None:
    """Set the variables; before torch and numpy compute anything.

    Whatever else the environment says gives way: it could change results that share one key.
    """
    os.environ.update(KERNELS)
