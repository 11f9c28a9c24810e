"""What is shown in a terminal, and in files and pipes that stand in its place."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

NARROW = 80  # columns where there is no terminal that has a width


def console_on(stream: TextIO | None = None) -> Console:
    """Return rich's console on a stream (default: stdout).

    It takes the width and the colours of the terminal, `NO_COLOR` and `COLUMNS`; a file or a pipe
    has `NARROW` columns and no colour.
    """
    from rich.console import Console

    stream = stream or sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else NARROW
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def duration(seconds: float) -> str:
    """Return a time in the unit that two digits can say."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
