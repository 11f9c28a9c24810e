"""Low-rank adapters on a model of transformers, through PEFT.

A module of its own, loaded by name: what is generated without adapters does not depend on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import PeftModel


def attach_adapters(model: Any, folder: Path) -> Any:
    """Return a model with the adapters of a checkpoint, in place of those that it has.

    They are not merged: each layer adds scale · B A x to what its own weights give, so the weights
    stay what they are for the next adapters.
    """
    if isinstance(model, PeftModel):
        model = model.unload()
    return PeftModel.from_pretrained(model, folder).eval()
