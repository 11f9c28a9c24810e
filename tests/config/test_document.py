"""The documentation of the configuration and the editors' schema are in step with the classes."""

from __future__ import annotations

import json
import re

import yaml

from workflow.scripts.common.cost_model import HARDWARE
from workflow.scripts.config.document import (
    EXAMPLE,
    describe_keys,
    write_documentation,
    write_schema,
)
from workflow.scripts.config.load import check_experiment
from workflow.scripts.graph.runs import list_runs


def test_the_documentation_is_what_the_classes_say(root):
    assert (root / "docs/config.md").read_text() == write_documentation(), (
        "run python -m workflow.scripts.config.document docs/config.md"
    )


def test_the_schema_of_editors_is_what_the_classes_say(root):
    assert (root / "workflow/experiment.schema.json").read_text() == write_schema(), (
        "run python -m workflow.scripts.config.document workflow/experiment.schema.json"
    )
    for path in (root / "experiments").glob("*.yaml"):
        first = path.read_text().splitlines()[0]
        assert first == "# yaml-language-server: $schema=../workflow/experiment.schema.json"


def test_the_schema_of_editors_accepts_what_runs_and_knows_the_keys_of_each_scorer(root):
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(json.loads(write_schema()))
    for path in (root / "experiments").glob("*.yaml"):
        value = yaml.safe_load(path.read_text())
        assert list(validator.iter_errors(value)) == []
        scorer = next(iter(value["scorers"].values()))
        scorer["colour"] = "red"
        assert list(validator.iter_errors(value))


def test_the_schema_of_editors_lets_a_sweep_give_what_is_required(root):
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(json.loads(write_schema()))
    value = yaml.safe_load((root / "experiments/micro.yaml").read_text())
    merge = {"method": "merge", "alignment": "safechain"}
    value["alignments"]["merge"] = merge
    assert list(validator.iter_errors(value))  # without alpha
    merge["sweep"] = {"alpha": [0.25, 0.5]}
    assert not list(validator.iter_errors(value))
    merge["sweep"] = {"alpha": 0.5}
    assert list(validator.iter_errors(value))


def test_every_key_has_a_meaning():
    rows = [line.split(" | ") for line in write_documentation().splitlines() if line[:3] == "| `"]
    assert len(rows) > 200
    assert [row[0] for row in rows if not row[-1].strip(" |")] == []


def test_keys_that_variants_share_are_described_once():
    """Of three variants all have `a`, two have the same `b`, one has `c`, and each its own `d`."""

    def variant(kind, required=(), **keys):
        described = {name: {"description": text} for name, text in keys.items()}
        return {"properties": {"type": {"const": kind}, **described}, "required": list(required)}

    variants = [
        variant("x", ["type", "b"], a="all", b="two", d="of x"),
        variant("y", ["type", "b"], d="of y", a="all", b="two"),
        variant("z", ["type"], a="all", b="two", c="one", d="of z"),  # here b is not required
    ]
    section = {"description": "s", "additionalProperties": {"oneOf": variants}}
    schema = {"properties": {"s": section}}
    rows = [(key.strip("`"), default, text) for key, _, default, text in describe_keys(schema, {})]
    assert rows[0] == ("s", "", "s")
    assert rows[1][:2] == ("s.NAME.type", "required")
    assert rows[2:] == [
        ("s.NAME.a", "", "all"),
        ("s.NAME (x, y).b", "required", "two"),
        ("s.NAME (x).d", "", "of x"),
        ("s.NAME (y).d", "", "of y"),
        ("s.NAME (z).b", "", "two"),
        ("s.NAME (z).c", "", "one"),
        ("s.NAME (z).d", "", "of z"),
    ]


def test_the_page_names_every_type_and_method(root):
    page = write_documentation()
    for key, folder, default in (
        ("alignments.NAME.method", "models/methods", '`"sft"`'),
        ("scorers.NAME.type", "score/scorers", "required"),
    ):
        files = (root / "workflow/scripts" / folder).glob("[a-z]*.py")
        names = " \\| ".join(sorted(file.stem for file in files))
        assert f"\n| `{key}` | {names} | {default} | " in page


def test_the_page_has_the_defaults_of_the_hardware():
    said = re.findall(
        r"^\| `hardware\.(\w+)` .*; default ([\d.]+) \|$", write_documentation(), re.M
    )
    assert {key: float(value) for key, value in said} == HARDWARE


def test_the_example_of_ones_own_data_is_an_experiment(root):
    """Added to smollm.yaml, as the page says."""
    experiment = yaml.safe_load((root / "experiments/smollm.yaml").read_text())
    example = yaml.safe_load(re.search("```yaml\n(.*?)```", EXAMPLE, re.S)[1])
    for section, entries in example.items():
        experiment[section] |= entries
    experiment = check_experiment(experiment, "mine.yaml")
    runs = [name for name, run in list_runs(experiment).items() if run.data == "mine"]
    assert runs == ["aligned/smollm2/mine/seed1"]
