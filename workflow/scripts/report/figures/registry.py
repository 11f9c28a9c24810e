"""The report's figures, in the order of the page; listing them imports no matplotlib.

Each module has its `TITLE` (its name where it has none), its `CAPTION`, which can stand alone, and
`draw(report)` that returns the figure and the numbers drawn.
"""

from __future__ import annotations

from types import ModuleType

from workflow.scripts.report.figures import (
    categories,
    durability,
    epochs,
    frontier,
    judges,
    length_effect,
    over_refusal,
    plane,
    states,
    thinking_length,
)

MODULES: tuple[ModuleType, ...] = (
    plane,
    epochs,
    frontier,
    durability,
    categories,
    thinking_length,
    length_effect,
    states,
    over_refusal,
    judges,
)
FIGURES = {module.__name__.rpartition(".")[2]: module for module in MODULES}


def title_of(name: str) -> str:
    """Return a figure's title."""
    return getattr(FIGURES[name], "TITLE", name.replace("_", " ").capitalize())
