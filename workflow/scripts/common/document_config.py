"""Write docs/config.md: every key of config.yaml and of an experiment, from the schemas.

python -m workflow.scripts.common.document_config > docs/config.md
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workflow.scripts.common.experiment import SCHEMAS

Schema = dict[str, Any]
EXAMPLE = """\
## Your own data, benchmark and judge

Start from a copy of `experiments/smollm.yaml`: the words of `micro`'s models are those of its own
corpus. What to add, with a file of training records and one of prompts, both JSON lines:

```yaml
data:
  mine: {prepare: {source: {path: data/mine.jsonl}, fields: {prompt: q, thinking: t, answer: a}}}
alignments:
  mine: {data: mine, recipe: sft, per_epoch: one_run}
benchmarks:
  asked:
    prepare: {source: {path: data/asked.jsonl}, fields: {prompt: question}}
    kind: harmful
    decoding: {max_thinking_tokens: 1000, max_answer_tokens: 500}
    scorers: [gpt]
scorers:
  gpt:
    type: llm_judge
    rubric: strongreject
    judge_thinking: false     # or the thinking is judged too, for twice the requests
    compliance_patterns: []   # the default ones fit micro's text
    llm: {base_url: "https://…/v1", model: …, api_key_env: MY_KEY, max_requests: 2000}
```"""


def describe_keys(schema: Schema, definitions: Schema, prefix: str = "") -> Iterator[list[str]]:
    """Yield [key, type, meaning] of every key that a schema knows, depth first."""
    for name, entry in schema.get("properties", {}).items():
        resolved = _resolve(entry, definitions)
        key = f"{prefix}{name}"
        needed = "required" if name in schema.get("required", []) else ""
        meaning = ": ".join(filter(None, (needed, resolved.get("description", ""))))
        yield [f"`{key}`", _kind(resolved), meaning]
        yield from describe_keys(resolved, definitions, f"{key}.")
        yield from describe_keys(
            _resolve(resolved.get("items"), definitions), definitions, f"{key}[]."
        )
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
        "`NAME` stands for a name of yours, `[]` for each entry of a list. A key that is not here",
        "is refused. *Upstream* is the published Safety Tax code; *the lock* is",
        "`experiments/NAME.lock.json`, see [paper.md](paper.md).",
        "",
        EXAMPLE,
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
