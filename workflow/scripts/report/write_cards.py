"""A model card for each model of an experiment, in the format of the Hugging Face hub.

`cards/<run>/README.md`: metadata with the scores (`model-index`), lineage, data, recipe, every
checkpoint's scores with intervals and hashes, and the caveat about harm. Ready-made models have
cards of their own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow.scripts.common.io import write_text
from workflow.scripts.report.escape import escape_markdown, one_line
from workflow.scripts.report.experiment import Experiment
from workflow.scripts.report.inputs import Inputs
from workflow.scripts.report.metrics import MAIN
from workflow.scripts.report.mixtures import list_prompt_sets
from workflow.scripts.report.origins import (
    described_set,
    is_told,
    lineage_of,
    merged_from,
    parents_of,
    read_models,
    section_of,
    selected_from,
    sets_of,
    source_of,
    weights_digest,
)
from workflow.scripts.report.render import table_to_markdown
from workflow.scripts.report.runs import parse_run
from workflow.scripts.report.schema import Report, TradeoffRow
from workflow.scripts.report.status import status_of
from workflow.scripts.report.tables.table import Table, points, valid_of_n

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

    from workflow.scripts.common.manifest import Lineage, Manifest

CAVEAT = {
    "base": "A base model: it was not trained to refuse, and may answer harmful requests.",
    "lrm": "This model was trained to reason and **not** to be safe: reasoning training is known "
    "to raise the share of harmful requests that are answered. Do not deploy it without "
    "safeguards.",
    "aligned": "Safety alignment lowers the share of harmful requests that are answered and does "
    "not end it. It was measured on the prompts and by the judge named here; other prompts, "
    "jailbreaks and languages were not tried. It cost reasoning accuracy as shown, and harmless "
    "requests may be refused. Research use.",
}


def write_card(
    report: Report,
    experiment: Experiment,
    run_name: str,
    manifest: Manifest,
) -> str:
    """Return the card of a run as the hub reads it: YAML between dashes, then Markdown."""
    from huggingface_hub import ModelCardData

    model, _ = parse_run(run_name)
    rows = rows_of(report, run_name)
    lineage = lineage_of(manifest)
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        model_name=run_name,
        base_model=_base_model(run_name, lineage, experiment),
        datasets=_datasets(lineage, experiment),
        tags=[
            "safety-tax",
            model.role,
            *(["lora"] if (manifest.get("recipe") or {}).get("lora") else []),
        ],
        eval_results=_evaluations(rows, report),
    )
    final = manifest["final"]
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {escape_markdown(run_name)}",
        _what(model.role, model.alignment, lineage, report),
        "> **Harm.** " + CAVEAT[model.role],
    ]
    if manifest.get("status", "ok") != "ok":
        reason = escape_markdown(manifest.get("status_reason") or "its gate")
        missed = status_of([manifest.get("status_reason") or ""]) == "missed"
        what = "The selection missed its limits" if missed else "Training missed its gate"
        parts.append(f"> **{what}:** {reason}.")
    parts += ["## Scores", table_to_markdown(_scores(rows)).split("\n", 2)[2].strip()]
    parts.append(
        "Percent with 95 % intervals over items; safety tax: points of reasoning accuracy lost "
        "against the LRM, on the same items."
    )
    parts += ["## Lineage", _lineage(run_name, lineage)]
    recipe = manifest.get("recipe")
    if recipe:
        parts += ["## Recipe", f"```json\n{_fenced(recipe)}\n```"]
    parts += [
        "## Files",
        "\n".join(
            f"- {escape_markdown(name)}{' (final)' if name == final else ''}: sha256 "
            f"of the weights `{weights_digest(manifest, name)}`"
            for name in manifest["checkpoints"]
        ),
        f"Chat format {escape_markdown(manifest.get('chat_format'))}, seed "
        f"{escape_markdown(manifest.get('seed'))}, code at "
        f"{escape_markdown(manifest.get('git_commit') or 'an unrecorded commit')}.",
        "## How it was measured",
        "\n".join(f"- {escape_markdown(line)}" for line in (*report["methods"], *report["limits"])),
    ]
    return "\n\n".join(parts) + "\n"


def rows_of(report: Report, run_name: str) -> list[TradeoffRow]:
    """Return the report's rows of a run, one for each checkpoint."""
    model, _ = parse_run(run_name)
    found: dict[str, TradeoffRow] = {}
    for row in report["rows"]:
        own = (row["role"], row["name"], row["alignment"], row["seed"])
        if own == (model.role, model.name, model.alignment, model.seed_label):
            found.setdefault(row["checkpoint"], row)
    return list(found.values())


def _scores(rows: Sequence[TradeoffRow]) -> Table:
    metrics = [one for one in MAIN.values() if any(one.name in row["metrics"] for row in rows)]
    taxed = any(row["tax"] for row in rows)
    body = [
        [
            row["checkpoint"],
            *(points(row["metrics"].get(one.name)) for one in metrics),
            *([points(row["tax"].get("points"))] if taxed else []),
            valid_of_n(row),
        ]
        for row in rows
    ]
    header = ["Checkpoint", *(one.title for one in metrics)]
    header += [*(["Safety tax"] if taxed else []), "Valid of n"]
    return Table("scores", "Scores", "", header, body)


def _evaluations(rows: Sequence[TradeoffRow], report: Report) -> list[EvalResult] | None:
    """Return the final checkpoint's metrics as the hub's model index has them."""
    from huggingface_hub import EvalResult

    final = next((row for row in rows if row["final"]), None)
    found = []
    for benchmark, about in report["benchmarks"].items():
        metric = MAIN[about["kind"]]
        one = final["metrics"].get(f"{metric.name}/{benchmark}") if final else None
        if one and one["estimate"] is not None:
            found.append(
                EvalResult(
                    task_type="text-generation",
                    dataset_type=benchmark,
                    dataset_name=benchmark,
                    metric_type=metric.name,
                    metric_name=f"{metric.title}, %: {points(one)}, n = {one['n_valid']}",
                    metric_value=round(one["estimate"] * 100, 4),
                )
            )
    return found or None


def _base_model(run_name: str, lineage: Lineage, experiment: Experiment) -> str | None:
    """Return the nearest ancestor of the hub; what is trained from nothing has none."""
    base = lineage.get("base")
    while base:
        model, _ = parse_run(base["run"])
        if model.seed is None:
            return section_of(base["run"], experiment).get("hub")
        base = lineage_of(base).get("base")
    return None


def _datasets(lineage: Lineage, experiment: Experiment) -> list[str] | None:
    prompts = [
        name for one in sets_of(lineage) for name in list_prompt_sets(experiment, one["name"])
    ]
    sections = [experiment.get("data", {}).get(name, {}) for name in prompts]
    hubs = [((one.get("prepare") or {}).get("source") or {}).get("hub") for one in sections]
    found = [hub for hub in hubs if hub]
    for parent in parents_of(lineage):
        found += _datasets(lineage_of(parent), experiment) or []
    return list(dict.fromkeys(found)) or None


def _what(role: str, alignment: str | None, lineage: Lineage, report: Report) -> str:
    made = {
        "base": "A base model",
        "lrm": "A large reasoning model",
        "aligned": f"A large reasoning model after the alignment {escape_markdown(alignment)}",
    }[role]
    about = escape_markdown(report["description"] or "an experiment")
    return f"{made}, made by a workflow that measures what safety alignment costs: {about}."


def _lineage(run_name: str, lineage: Lineage) -> str:
    """Return a numbered list of a model and all that it is made from, the nearest first."""
    lines: dict[str, str] = {}
    waiting = [(run_name, lineage)]
    for name, step in waiting:
        if name not in lines:
            number = f"{len(lines) + 1}. {escape_markdown(name)}"
            lines[name] = f"{number} {_how_made(step)}"
            waiting += [(one["run"], lineage_of(one)) for one in parents_of(step)]
    return "\n".join(lines.values())


def _how_made(lineage: Lineage) -> str:
    if made := merged_from(lineage) or selected_from(lineage):
        return escape_markdown(made)
    sets, base = sets_of(lineage), lineage.get("base")
    start = f", from {escape_markdown(base['run'])}" if base else ""
    if sets:
        described = [
            f"{escape_markdown(described_set(lineage, data))} ({data['n']} examples, sha256 "
            f"`{one_line(data.get('sha256', ''))}`)"
            for data in sets
        ]
        return f"trained on {' and '.join(described)}{start}"
    return f"made{start}" if base else "as it came"


def _fenced(value: Any) -> str:
    # JSON escapes control characters; a back-quote would end the block.
    return json.dumps(value, indent=1, sort_keys=True).replace("`", "\\u0060")


def write_cards(report: Report, inputs: Inputs, out: Path) -> None:
    """Write the cards of the models made here into `out/cards/<run>/`, but for attacked ones."""
    folder = out / "cards"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, manifest in read_models(inputs).items():
        model, _ = parse_run(name)
        if model.attack or is_told(name, manifest):  # no weights of its own
            continue
        if model.seed is None and source_of(section_of(name, inputs.sections)):
            continue
        card = write_card(report, inputs.sections, name, manifest)
        write_text(folder / name / "README.md", card)
