"""The JSON sections that the score scripts take: known keys, their types and defaults."""

from __future__ import annotations

import json
from typing import Any

from workflow.scripts.common.errors import InputError


def parse_section(text: str, defaults: dict[str, Any], where: str) -> dict[str, Any]:
    """Parse a JSON object and fill in defaults.

    Args:
        text: The JSON text.
        defaults: Key -> default; see `fill_section`.
        where: How messages name the section.
    """
    try:
        section = json.loads(text)
    except ValueError as error:
        raise InputError(f"{where}: not JSON ({error})") from None
    return fill_section(section, defaults, where)


def fill_section(section: Any, defaults: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the section with its defaults.

    A default that is a type marks a key that must be given; None stands for any type.

    Raises:
        InputError: Not an object, an unknown key, a key missing, or a value of another type than
            the default.
    """
    if not isinstance(section, dict):
        raise InputError(f"{where}: is {section!r}, expected a JSON object")
    unknown = sorted(set(section) - set(defaults))
    if unknown:
        raise InputError(
            f"{where}: unknown {', '.join(unknown)}; expected some of {sorted(defaults)}"
        )
    filled = {}
    for key, default in defaults.items():
        if key not in section:
            if isinstance(default, type):
                raise InputError(f"{where}: {key} is missing, expected {default.__name__}")
            filled[key] = default
            continue
        value = section[key]
        kind = default if isinstance(default, type) else type(default)
        fits = (
            default is None
            or (kind is float and type(value) in (int, float))
            or (type(value) is kind)
        )
        if not fits:
            raise InputError(f"{where}: {key} is {value!r}, expected {kind.__name__}")
        filled[key] = float(value) if kind is float else value
    return filled


def expect_one_of(value: Any, known: tuple[str, ...], where: str) -> None:
    if value not in known:
        raise InputError(f"{where} is {value!r}, expected one of {', '.join(known)}")
