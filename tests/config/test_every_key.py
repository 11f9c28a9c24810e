"""Every key of an experiment refuses another type, a value out of range and an unknown neighbour.

The cases are made from the classes, over an experiment that sets every key.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.experiment import Experiment
from workflow.scripts.config.section import read_section

WHERE = "experiments/mine.yaml"
SCHEMA = Experiment.model_json_schema()
FREE = ("fields", "where", "settings")  # mappings of the user's own keys
OPEN = ("where", "settings")  # with values of any type
Path_ = tuple[str, ...]


@pytest.fixture(scope="module")
def every_key(root: Path) -> dict[str, Any]:
    text = (root / "tests/experiments/every_key.yaml").read_text()
    return json.loads(json.dumps(yaml.safe_load(text)))  # without what YAML's anchors share


def options(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the schemas that a value may fit."""
    if "$ref" in entry:
        return options(SCHEMA["$defs"][entry["$ref"].rpartition("/")[2]])
    several = entry.get("anyOf") or entry.get("oneOf")
    return [found for one in several for found in options(one)] if several else [entry]


def walk(value: Any, schemas: list[dict[str, Any]], path: Path_ = ()) -> Iterator[Any]:
    """Yield (path, value, schemas) of everything in an experiment."""
    yield path, value, schemas
    if not isinstance(value, dict) or (path[-1:] and path[-1] in FREE):
        return
    for key, inner in value.items():
        below = [schema["properties"][key] for schema in schemas if key in named(schema)]
        for schema in schemas:
            others = next(iter(schema.get("patternProperties", {}).values()), None)
            others = others or schema.get("additionalProperties")
            below += [others] if isinstance(others, dict) else []
        # of the variants of a scorer or a split, the one that the value is
        found = [one for entry in below for one in options(entry)]
        if isinstance(inner, dict):
            found = [one for one in found if set(inner) <= set(named(one)) or not named(one)]
            kinds = [one for one in found if kind_of(one) == inner.get("type", inner.get("method"))]
            found = kinds or found
        assert found, (*path, key)
        yield from walk(inner, found, (*path, key))


def named(schema: dict[str, Any]) -> dict[str, Any]:
    return schema.get("properties", {})


def kind_of(schema: dict[str, Any]) -> str | None:
    return named(schema).get("type", named(schema).get("method", {})).get("const")


def refusal(experiment: dict[str, Any], path: Path_, value: Any) -> str:
    """Return the line that an experiment with another value at `path` ends in."""
    after = copy.deepcopy(experiment)
    section: Any = after
    for name in path[:-1]:
        section = section[name]
    section[path[-1]] = value
    with pytest.raises(InputError) as error:
        read_section(Experiment, after, WHERE)
        pytest.fail(f"accepted: {'.'.join(path)}: {value!r}")
    line = str(error.value)
    assert line.startswith(f"{WHERE}: ") and "\n" not in line
    return line


def test_every_key_refuses_another_type(every_key):
    seen = 0
    for path, value, schemas in walk(every_key, [SCHEMA]):
        if not path or set(path) & set(OPEN):
            continue
        kinds = {schema.get("type") for schema in schemas}
        wrong = [["x", {}]] if "array" not in kinds else [3.5]
        if not kinds & {"object"}:
            wrong.append({"wrong": 1})
        if not kinds & {"string"}:
            wrong.append("wrong")
        if not kinds & {"boolean"}:
            wrong.append(True)
        for one in wrong:
            if any("const" in schema and schema["const"] == one for schema in schemas):
                continue
            assert path[-1] in refusal(every_key, path, one), (path, one)
            seen += 1
        del value
    assert seen > 600


def test_every_number_refuses_what_is_out_of_range(every_key):
    seen = 0
    for path, value, schemas in walk(every_key, [SCHEMA]):
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        for schema in schemas:
            step = 1 if schema.get("type") == "integer" else 0.01
            for bound, beyond in (
                ("minimum", -step),
                ("exclusiveMinimum", 0),
                ("maximum", step),
                ("exclusiveMaximum", 0),
            ):
                if bound in schema:
                    line = refusal(every_key, path, schema[bound] + beyond)
                    assert f"{'.'.join(path)} is " in line
                    seen += 1
        for text in ("NaN", "Infinity"):
            assert "expected a" in refusal(every_key, path, float(text))
    assert seen > 100


def test_every_choice_refuses_another_word(every_key):
    seen = 0
    for path, value, schemas in walk(every_key, [SCHEMA]):
        if isinstance(value, str) and any("enum" in schema for schema in schemas):
            assert f"{'.'.join(path)}" in refusal(every_key, path, "another word")
            seen += 1
    assert seen > 15


def test_every_section_refuses_a_key_that_it_does_not_know(every_key):
    seen = 0
    for path, value, schemas in walk(every_key, [SCHEMA]):
        if isinstance(value, dict) and any(named(schema) for schema in schemas):
            line = refusal(every_key, (*path, "unheard_of"), 1)
            assert f"{'.'.join((*path, 'unheard_of'))} is unknown; expected some of " in line
            seen += 1
    assert seen > 50


def test_every_required_key_is_missed(every_key):
    seen = 0
    for path, value, schemas in walk(every_key, [SCHEMA]):
        for key in {key for schema in schemas for key in schema.get("required", [])}:
            if (
                isinstance(value, dict)
                and key in value
                and key not in ("type", "method", "pattern")
            ):
                after = copy.deepcopy(every_key)
                section: Any = after
                for name in path:
                    section = section[name]
                del section[key]
                with pytest.raises(InputError) as error:
                    read_section(Experiment, after, WHERE)
                assert f"{'.'.join((*path, key))} is missing" in str(error.value)
                seen += 1
    assert seen > 80
