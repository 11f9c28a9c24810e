"""The engines that generate samples. A new engine is a line here and a module
`generate/<name>_engine.py`, see generate/engine.py."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

# The lock of `envs/` that pins an engine's packages, by the engine's name.
ENGINES = {"hf": "train", "vllm": "vllm"}


def _known_engine(name: str) -> str:
    if name not in ENGINES:
        raise ValueError(f"is {name!r}, expected one of {', '.join(ENGINES)}")
    return name


EngineName = Annotated[
    str, AfterValidator(_known_engine), Field(json_schema_extra={"enum": list(ENGINES)})
]
