"""GGUF weights of an installed package as a plain model folder."""

from __future__ import annotations

from pathlib import Path

from workflow.scripts.common.errors import InputError


def convert_gguf(path: Path, folder: Path) -> None:
    """Write a GGUF file as a plain folder of float weights, dequantised by transformers."""
    try:
        import gguf  # noqa: F401
    except ImportError:
        raise InputError(f"{path.name}: needs the package gguf to read GGUF weights") from None
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        path.parent,
        gguf_file=path.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(folder)
