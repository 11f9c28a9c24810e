"""Write docs/config.md and the JSON schema for editors, from the classes of this folder.

python -m workflow.scripts.config.document docs/config.md
python -m workflow.scripts.config.document workflow/experiment.schema.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict, cast

from workflow.scripts.config.experiment import Config, Experiment

# What is read of the JSON schema that pydantic makes of a section, and of those within it.
JsonSchema = TypedDict(
    "JsonSchema",
    {
        "$defs": dict[str, "JsonSchema"],
        "$ref": str,
        "title": str,
        "description": str,
        "default": Any,
        "type": str,
        "const": Any,
        "enum": list[Any],
        "anyOf": list["JsonSchema"],
        "oneOf": list["JsonSchema"],
        "properties": dict[str, "JsonSchema"],
        "patternProperties": dict[str, "JsonSchema"],
        "additionalProperties": "JsonSchema | bool",
        "required": list[str],
        "items": "JsonSchema",
        "minimum": float,
        "exclusiveMinimum": float,
        "maximum": float,
        "exclusiveMaximum": float,
    },
    total=False,
)
# Keys that say which variant of a section it is, and what they mean.
TAGS = {
    "type": "How answers are scored, see [benchmarks.md](benchmarks.md#types-of-scorers)",
    "method": "How models are aligned, see [methods.md](methods.md)",
}
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


def describe_keys(
    schema: JsonSchema,
    definitions: dict[str, JsonSchema],
    prefix: str = "",
    seen: dict[str, str] | None = None,
) -> Iterator[list[str]]:
    """Yield [key, value, default, meaning] of every key that a section's schema knows.

    A section that is used in several places is described at the first, and so is a key that
    several variants of a section share.
    """
    seen = {} if seen is None else seen
    for name, entry in schema.get("properties", {}).items():
        key = f"{prefix}{name}"
        default = "required" if name in schema.get("required", []) else _default(entry)
        options = list(_options(entry, definitions))
        sections = [option for option in options if "properties" in option]
        meaning = entry.get("description") or " ".join(s.get("description", "") for s in sections)
        before = [seen[s["title"]] for s in sections if s["title"] in seen]
        meaning += f" (keys: see `{before[0]}`)" if before else ""
        yield [f"`{key}`", _kind(entry, definitions), default, " ".join(meaning.split())]
        below = [(f"{key}.", section) for section in sections if not before]
        for section in sections:
            seen.setdefault(section["title"], key)
        for option in options:
            items, named = option.get("items"), _values(option)
            for mark, inner in ((f"{key}[].", items), (f"{key}.NAME.", named)):
                if isinstance(inner, dict):
                    below += [(mark, found) for found in _options(inner, definitions)]
        for mark, section in _share_keys(below):
            yield from describe_keys(section, definitions, mark, seen)


def _share_keys(below: list[tuple[str, JsonSchema]]) -> list[tuple[str, JsonSchema]]:
    """Return the sections below a key with their prefixes; of variants, what they share comes once.

    What all of them share has the key's own prefix, the rest the names of those that have it.
    """
    sections = [section.get("properties", {}) for _, section in below]
    tag = next((tag for tag in TAGS if all("const" in s.get(tag, {}) for s in sections)), None)
    if tag is None or len(below) < 2:
        return below
    kinds = [keys[tag]["const"] for keys in sections]
    about = {"enum": kinds, "description": TAGS[tag]}
    for keys in sections:
        about |= {"default": keys[tag]["default"]} if "default" in keys[tag] else {}
    # a key, its schema and whether it is required -> the variants that have it
    owners = {json.dumps([tag, about, "default" not in about]): kinds}
    for kind, (_, section) in zip(kinds, below, strict=True):
        for name, entry in section["properties"].items():
            if name != tag:
                known = json.dumps([name, entry, name in section.get("required", [])])
                owners.setdefault(known, []).append(kind)
    shared: dict[tuple[str, ...], JsonSchema] = {}
    for text, having in owners.items():
        name, entry, required = json.loads(text)
        section = shared.setdefault(tuple(having), {"properties": {}, "required": []})
        section["properties"][name] = entry
        section["required"] += [name] * required
    mark = below[0][0]
    return [
        (mark if list(having) == kinds else f"{mark[:-1]} ({', '.join(having)}).", keys)
        for having, keys in sorted(shared.items(), key=lambda one: -len(one[0]))
    ]


def _options(entry: JsonSchema, definitions: dict[str, JsonSchema]) -> Iterator[JsonSchema]:
    """Yield the schemas that a value may fit, null left out."""
    if "$ref" in entry:
        yield from _options(definitions[entry["$ref"].rpartition("/")[2]], definitions)
    elif several := entry.get("anyOf") or entry.get("oneOf"):
        for one in several:
            yield from _options(one, definitions)
    elif entry.get("type") != "null":
        yield entry


def _values(entry: JsonSchema) -> JsonSchema | bool | None:
    """Return the schema of a mapping's values; True where they may be anything."""
    values = next(iter(entry.get("patternProperties", {}).values()), None)
    return values or entry.get("additionalProperties") or None


def _default(entry: JsonSchema) -> str:
    default = entry.get("default")
    if default in (None, {}) or isinstance(default, dict):
        return ""
    return f"`{json.dumps(default, ensure_ascii=False)}`"


def _kind(entry: JsonSchema, definitions: dict[str, JsonSchema]) -> str:
    kinds = dict.fromkeys(_one_kind(option) for option in _options(entry, definitions))
    nullable = any(option.get("type") == "null" for option in entry.get("anyOf", []))
    return " or ".join([*kinds, *(["null"] if nullable else [])])


def _one_kind(entry: JsonSchema) -> str:
    if "enum" in entry:
        return " \\| ".join(map(str, entry["enum"]))
    if "const" in entry:
        return f"always {json.dumps(entry['const'])}"
    kind = {"object": "section" if "properties" in entry else "mapping"}.get(
        entry.get("type", ""), str(entry.get("type", "any"))
    )
    limits = {
        "≥": entry.get("minimum"),
        ">": entry.get("exclusiveMinimum"),
        "≤": entry.get("maximum"),
        "<": entry.get("exclusiveMaximum"),
    }
    shown = [f"{sign} {limit:g}" for sign, limit in limits.items() if limit is not None]
    return ", ".join([kind, *shown])


def write_documentation() -> str:
    """Return the page as Markdown."""
    parts = [
        "# Configuration",
        "",
        "Made from the classes of `workflow/scripts/config/` by",
        "`python -m workflow.scripts.config.document docs/config.md`. `NAME` stands for a name of",
        "yours (letters, digits, `.`, `_` and `-`), `[]` for each entry of a list, and words in",
        "brackets for the entries whose key `type` or `method` is one of them. A key that is not",
        "here is refused.",
        "*Upstream* is the published Safety Tax code; *the lock* is `experiments/NAME.lock.json`,",
        "see [paper.md](paper.md). Editors complete the keys with",
        "`workflow/experiment.schema.json`, which each experiment's first line names.",
        "",
        EXAMPLE,
    ]
    for title, section in (("config.yaml", Config), ("experiments/NAME.yaml", Experiment)):
        schema = cast(JsonSchema, section.model_json_schema())
        parts += ["", f"## {title}", "", " ".join(schema["description"].split()), ""]
        parts += ["| key | value | default | meaning |", "|---|---|---|---|"]
        rows = describe_keys(schema, schema.get("$defs", {}))
        parts += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(parts) + "\n"


def write_schema() -> str:
    """Return the JSON schema of an experiment."""
    schema = Experiment.model_json_schema()
    for section in schema["$defs"].values():
        if "sweep" in section.get("properties", {}):
            _let_sweeps_give_what_is_required(section)
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _let_sweeps_give_what_is_required(section: JsonSchema) -> None:
    """Let a key be missing in an alignment with a sweep, which may hold it; see `sweeps.py`."""
    required = section.pop("required", [])
    method = [key for key in required if key in TAGS]
    section["anyOf"] = [{"required": required}, {"required": [*method, "sweep"]}]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("out", type=Path, help="a file that ends in .md or .json")
    out = parser.parse_args(argv).out
    out.write_text(write_documentation() if out.suffix == ".md" else write_schema())


if __name__ == "__main__":
    main()
