"""The kinds of benchmarks.

A scorer says which kinds it scores (`kinds`), a metric of which kind it is (report/metrics.py: the
one with `main` is what the kind is there for). Tables and figures follow the metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

REASONING, HARMFUL, BENIGN = "reasoning", "harmful", "benign"


@dataclass(frozen=True)
class Kind:
    """What an answer to such a benchmark is.

    Attributes:
        has_target: Compared with a gold answer, which each item must have.
    """

    has_target: bool = False


KINDS = {
    REASONING: Kind(has_target=True),
    HARMFUL: Kind(),
    BENIGN: Kind(),
}


def _known_kind(name: str) -> str:
    if name not in KINDS:
        raise ValueError(f"is {name!r}, expected one of {', '.join(KINDS)}")
    return name


KindName = Annotated[
    str, AfterValidator(_known_kind), Field(json_schema_extra={"enum": list(KINDS)})
]
