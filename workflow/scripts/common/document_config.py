"""Write docs/config.md: every key of config.yaml and of an experiment, from the schemas.

python -m workflow.scripts.common.document_config > docs/config.md
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workflow.scripts.common.experiment import SCHEMAS

Schema = dict[str, Any]


def describe_keys(schema: Schema, definitions: Schema, prefix: str = "") -> Iterator[list[str]]:
    """Yield [key, type, meaning] of every key that a schema knows, depth first."""
    for name, entry in schema.get("properties", {}).items():
        resolved = _resolve(entry, definitions)
        key = f"{prefix}{name}"
        yield [f"`{key}`", _kind(resolved), resolved.get("description", "")]
        yield from describe_keys(resolved, definitions, f"{key}.")
        values = resolved.get("additionalProperties")
        if isinstance(values, dict):
            inner = _resolve(values, definitions)
            yield from describe_keys(inner, definitions, f"{key}.NAME.")
            for branch in inner.get("allOf", []):
                allowed = " or ".join(branch["if"]["properties"]["type"]["enum"])
                for row in describe_keys(branch["then"], definitions, f"{key}.NAME."):
                    if row[1]:
                        yield [row[0], row[1], f"{row[2]} ({allowed})".strip()]


def _resolve(entry: Any, definitions: Schema) -> Schema:
    if not isinstance(entry, dict):
        return {}
    if "$ref" not in entry:
        return entry
    target = definitions[entry["$ref"].removeprefix("#/$defs/")]
    return {**target, **{key: value for key, value in entry.items() if key != "$ref"}}


def _kind(entry: Schema) -> str:
    if "enum" in entry:
        return " \\| ".join(map(str, entry["enum"]))
    if "const" in entry:
        return f"always {str(entry['const']).lower()}"
    if "oneOf" in entry:
        return "object or null"
    kind = entry.get("type", "")
    text = " or ".join(kind) if isinstance(kind, list) else kind
    limits = [
        f"{sign} {entry[name]}"
        for name, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
        )
        if name in entry
    ]
    return f"{text}{', ' if limits else ''}{', '.join(limits)}"


def write_documentation() -> str:
    """Return the page as Markdown."""
    import yaml

    parts = [
        "# Configuration",
        "",
        "Made from `workflow/schemas/` by `python -m workflow.scripts.common.document_config`.",
        "`NAME` stands for a name of yours. A key that is not here is refused.",
    ]
    for title, schema in (("config.yaml", "config"), ("experiments/NAME.yaml", "experiment")):
        loaded = yaml.safe_load((SCHEMAS / f"{schema}.schema.yaml").read_text())
        parts += ["", f"## {title}", "", loaded["description"], ""]
        parts += ["| key | value | meaning |", "|---|---|---|"]
        rows = describe_keys(loaded, loaded.get("$defs", {}))
        parts += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(parts) + "\n"


def main() -> None:
    print(write_documentation(), end="")


if __name__ == "__main__":
    main()
