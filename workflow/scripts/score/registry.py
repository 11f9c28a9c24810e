"""The types of scorers: the files of `scorers/`, each named like its type and with one section.

Only the file of the type that is asked for is imported, so that the code of one type is no part of
the results of another.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Union

from pydantic import Field

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.section import read_section
from workflow.scripts.score.scorer import PACKAGE, ScorerSection

FOLDER = "score.scorers."


@cache
def list_types() -> tuple[str, ...]:
    """Return the types of scorers."""
    files = (Path(__file__).parent / "scorers").glob("*.py")
    return tuple(sorted(path.stem for path in files if path.stem.isidentifier()))


@cache
def section_class(name: str) -> type[ScorerSection]:
    """Return the class of the sections of a type."""
    module = import_module(f"{PACKAGE}{FOLDER}{name}")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, ScorerSection)
        and value.__module__ == module.__name__
    )
    return found


def read_scorer(value: Any, where: str) -> ScorerSection:
    """Return the scorer's section of parsed YAML or JSON.

    Raises:
        InputError: One line: where, the key, what it is and what was expected.
    """
    name = value.get("type") if isinstance(value, dict) else None
    if isinstance(value, dict) and name not in list_types():
        known = ", ".join(map(repr, list_types()))
        raise InputError(f"{where}: type is {name!r:.60}, expected one of {known}")
    return read_section(section_class(name) if name else ScorerSection, value, where)


def any_scorer() -> Any:
    """Return pydantic's type of a section of any scorer, told apart by `type`."""
    classes = tuple(map(section_class, list_types()))
    return Annotated[Union[classes], Field(discriminator="type")]  # noqa: UP007
