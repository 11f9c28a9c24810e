"""The one error that users see, and the wrapper that shows it in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable


class InputError(Exception):
    """Bad input: the message says what, where, and what was expected, in one line."""


def run(main: Callable[[], None]) -> None:
    """Run a script's `main`; an `InputError` becomes one line on stderr and exit status 2."""
    try:
        main()
    except InputError as error:
        report(error)
        sys.exit(2)


def report(error: InputError) -> None:
    """Say an error in one line on stderr."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
