"""The name of a chat format."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from workflow.scripts.common.chat import CHAT_FORMATS


def _known_format(name: str) -> str:
    if name not in CHAT_FORMATS:
        raise ValueError(f"is {name!r}, expected one of {', '.join(CHAT_FORMATS)}")
    return name


ChatFormatName = Annotated[
    str, AfterValidator(_known_format), Field(json_schema_extra={"enum": list(CHAT_FORMATS)})
]
