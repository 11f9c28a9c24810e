"""The documentation of the configuration is in step with the schemas."""

from __future__ import annotations

from workflow.scripts.common.document_config import describe_keys, write_documentation


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
