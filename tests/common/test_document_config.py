"""The documentation of the configuration is in step with the schemas."""

from __future__ import annotations

import re

import yaml

from workflow.scripts.common.document_config import EXAMPLE, describe_keys, write_documentation
from workflow.scripts.common.experiment import check_references, check_schema, list_runs
from workflow.scripts.plan.check_sections import check_sections


def test_the_documentation_is_what_the_schemas_say(root):
    written = (root / "docs/config.md").read_text()
    assert written == write_documentation(), (
        "run python -m workflow.scripts.common.document_config > docs/config.md"
    )


def test_keys_are_described_through_references_and_named_entries():
    schema = {
        "properties": {
            "models": {"type": "object", "additionalProperties": {"$ref": "#/$defs/model"}},
        }
    }
    definitions = {
        "model": {"properties": {"size": {"type": "integer", "minimum": 1, "description": "B"}}}
    }
    assert list(describe_keys(schema, definitions)) == [
        ["`models`", "object", ""],
        ["`models.NAME.size`", "integer, ≥ 1", "B"],
    ]


def test_the_example_of_ones_own_data_is_an_experiment(root):
    """Added to smollm.yaml, as the page says."""
    experiment = yaml.safe_load((root / "experiments/smollm.yaml").read_text())
    example = yaml.safe_load(re.search("```yaml\n(.*?)```", EXAMPLE, re.S)[1])
    for section, entries in example.items():
        experiment[section] |= entries
    check_schema(experiment, "experiment", "mine.yaml")
    check_references(experiment, "mine.yaml")
    check_sections(experiment, "mine.yaml")
    runs = [name for name, run in list_runs(experiment).items() if run.data == "mine"]
    assert runs == ["aligned/smollm2/mine/seed1"]
