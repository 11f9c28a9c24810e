"""What every section of a configuration is: a strict model, whose errors are one line each.

A section's class is the only place that says a key's type, range, default and meaning. The start of
a run, the scripts, docs/config.md and the JSON schema for editors all use it, so that what passes
the check before the first job is not refused by a script later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from workflow.scripts.common.errors import InputError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from workflow.scripts.config.document import JsonSchema


class Section(BaseModel):
    """A section; it refuses unknown keys, other types (`"5"` or `true` for a number), NaN, inf."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def without_defaults(self, keys: Iterable[str] | None = None) -> dict[str, Any]:
        """Return the section, or some of its keys, as JSON values, without those that equal their
        default: to write a default down makes nothing stale."""
        chosen = None if keys is None else set(keys)
        return self.model_dump(mode="json", exclude_defaults=True, by_alias=True, include=chosen)

    def with_defaults(self) -> dict[str, Any]:
        """Return the whole section as JSON values."""
        return self.model_dump(mode="json", by_alias=True)


AnySection = TypeVar("AnySection", bound=BaseModel)

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
AboveZero = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Commit = Annotated[str, StringConstraints(pattern="^[0-9a-f]{40}$")]
# Names become folders, file names and wildcards.
Name = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
# What the report calls an entry; keys of metrics use / and @.
Title = Annotated[str, StringConstraints(pattern="^[^\\s/@]([^\\n/@]{0,58}[^\\s/@])?$")]


def expect_pattern(pattern: str) -> str:
    """Return a regular expression; `ValueError` says why it is none."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is {_short(pattern)}, no regular expression ({error})") from None
    return pattern


Pattern = Annotated[str, AfterValidator(expect_pattern)]

# How pydantic's wordings are said in one line: "KEY is VALUE, expected …".
PLAIN = {
    r"^(Input|Value|String|Tuple|List|Dictionary) should (be |have )?": "",
    "^a valid integer": "a whole number",
    "^a valid ": "a ",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "above",
    "less than": "below",
    "an object": "a mapping of keys to values",
    r"match pattern '\^\[A-Za-z0-9\].*'": "a name",
    r"match pattern '\^https.*'": "an address such as https://host/v1",
    r"match pattern '\^\[\^.*'": "one line of at most 60 characters, without / and @",
    r"match pattern '\^\[0-9a-f\]\{40\}\$'": "a commit of 40 hexadecimal digits",
    r" after validation, not \d+": "",
}
SHOWN = 60  # characters of a wrong value that an error shows
EXPONENT = re.compile(r"-?\d+e[+-]?\d+")


def parse_section(kind: type[AnySection], text: str, where: str) -> AnySection:
    """Return the section of a JSON text.

    Args:
        kind: The section's class.
        text: A JSON object.
        where: What errors call the section.

    Raises:
        InputError: One line: where, the key, what it is and what was expected.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InputError(f"{where}: not JSON ({error})") from None
    return read_section(kind, value, where)


def read_section(kind: type[AnySection], value: Any, where: str) -> AnySection:
    """Return the section of parsed YAML or JSON; errors as for `parse_section`."""
    try:
        # JSON's rules: a list is a tuple, a whole number is a number, nothing else is converted.
        return kind.model_validate_json(json.dumps(value))
    except ValidationError as error:
        # A wrong type hides what the checks over several keys would say, so pydantic's first is it.
        raise InputError(f"{where}: {_describe(error.errors()[0], kind, value)}") from None
    except TypeError as error:
        raise InputError(f"{where}: {error}, expected text, numbers, lists and mappings") from None


def expect_entry(key: str, name: str, section: str, known: Iterable[str]) -> None:
    """Raise `ValueError` unless `name` is an entry of a section."""
    names = list(known)
    if name not in names:
        raise ValueError(
            f"{key}: {name!r} is no entry of {section}, expected {', '.join(names) or 'nothing'}"
        )


def expect_one_source(given: Section, names: tuple[str, ...]) -> None:
    """Raise `ValueError` unless exactly one of the keys has a value."""
    found = [name for name in names if getattr(given, name) is not None]
    if len(found) != 1:
        has = f"has {' and '.join(found)}" if found else "has no source"
        raise ValueError(f"{has}, expected one of {', '.join(names)}")


def _describe(error: ErrorDetails, kind: type[BaseModel], value: Any) -> str:
    """Return an error of pydantic in the project's words: key, value, what was expected."""
    path = _key_path(error["loc"], value, error["type"] == "missing")
    key = ".".join(map(str, path)) or "it"
    given, message = error["input"], error["msg"]
    if error["type"] == "extra_forbidden":
        known = _keys_at(kind, error["loc"][:-1])
        close = get_close_matches(str(path[-1]), known, n=1, cutoff=0.7)
        hint = f"did you mean {close[0]}? " if close else ""
        above = "".join(f"{part}." for part in path[:-1])
        return f"{above}{path[-1]} is unknown; {hint}expected some of {', '.join(known)}"
    if error["type"] == "missing":
        return f"{key} is missing"
    if error["type"] == "value_error":
        text = str(error["ctx"]["error"])
        return f"{key}: {text}" if path else text
    if error["type"].startswith("union_tag"):
        tag = error["ctx"]["discriminator"].strip("'()")  # 'type', or the function method()
        given = given.get(tag) if isinstance(given, dict) else given
        tags = error["ctx"].get("expected_tags", "one")
        return f"{key}.{tag} is {_short(given)}, expected {tags}"
    if error["loc"][-1:] == ("[key]",):
        return (
            f"{'.'.join(map(str, path[:-1]))}: {_short(given)} is no name, expected a letter or "
            "digit, then at most 63 of letters, digits, '.', '_' and '-'"
        )
    expected = message
    for wording, plain in PLAIN.items():
        expected = re.sub(wording, plain, expected)
    if isinstance(given, str) and EXPONENT.fullmatch(given):
        expected += f": write {given.replace('e', '.0e')}"
    return f"{key} is {_short(given)}, expected {expected}"


def _key_path(loc: tuple[int | str, ...], value: Any, missing: bool) -> list[int | str]:
    """Return an error's place in the file: pydantic also names the variant of a union."""
    path: list[int | str] = []
    for position, part in enumerate(loc):
        last = position == len(loc) - 1
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif not (last and missing):
            continue
        path.append(part)
    return path


def _keys_at(kind: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the section at a place knows."""
    schema: Any = kind.model_json_schema()
    definitions = schema.get("$defs", {})

    def options(entry: JsonSchema) -> list[JsonSchema]:
        if "$ref" in entry:
            return options(definitions[entry["$ref"].rpartition("/")[2]])
        several = entry.get("anyOf") or entry.get("oneOf")
        return [found for one in several for found in options(one)] if several else [entry]

    places = options(schema)
    for part in loc:
        below: list[JsonSchema] = []
        for place in places:
            entry: JsonSchema | bool | None = place.get("properties", {}).get(str(part))
            entry = entry or place.get("items") or place.get("additionalProperties")
            entry = entry or next(iter(place.get("patternProperties", {}).values()), None)
            if isinstance(entry, dict):
                below += options(entry)
            elif any(part == v.get("const") for v in place.get("properties", {}).values()):
                below.append(place)  # the tag of a variant
        places = below or places
    return list(dict.fromkeys(key for place in places for key in place.get("properties", {})))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
