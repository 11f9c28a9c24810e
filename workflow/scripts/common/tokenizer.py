"""The one way to load a checkpoint's tokenizer, for training and for generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError


def load_tokenizer(folder: str | Path) -> Any:
    """Return a checkpoint's tokenizer as its `tokenizer.json` says.

    `AutoTokenizer` would make a Qwen2 tokenizer for whatever files lie beside a Qwen2 model.

    Raises:
        InputError: The checkpoint has no tokenizer.
    """
    from transformers import PreTrainedTokenizerFast

    try:
        return PreTrainedTokenizerFast.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: expected a tokenizer.json ({error})") from error
