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
        sys.exit(_report(error))


def _report(error: InputError) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2
