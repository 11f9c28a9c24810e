"""Progress of long work: a bar in a terminal, a quiet line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

Item = TypeVar("Item")
EVERY_S = 60.0


def track(
    items: Iterable[Item],
    total: int,
    what: str,
    stderr: TextIO | None = None,
    every_s: float = EVERY_S,
) -> Iterator[Item]:
    """Yield the items and show how far they are on `stderr` (default: the script's).

    In a terminal a bar with the time left. Elsewhere one line `what: done/total, minutes left` at
    most each `every_s` seconds, so that short work writes nothing.
    """
    stderr = stderr or sys.stderr
    if stderr.isatty():
        from rich.console import Console
        from rich.progress import track as bar

        yield from bar(
            items, total=total, description=what, console=Console(file=stderr), transient=True
        )
        return
    started = said = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - said >= every_s:
            said = now
            left = (now - started) / max(done, 1) * (total - done) / 60
            print(f"{what}: {done}/{total}, {left:.0f} min left", file=stderr, flush=True)
        yield item
