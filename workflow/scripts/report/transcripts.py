"""What the models wrote at their final checkpoints, as script files beside the page."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast

from workflow.scripts.common.io import read_jsonl, sha256_text, write_text
from workflow.scripts.common.progress import track
from workflow.scripts.report.inputs import Inputs, Score
from workflow.scripts.report.metrics import value_of
from workflow.scripts.report.runs import Model, parse_run
from workflow.scripts.report.schema import Report
from workflow.scripts.report.tables.table import model_name

if TYPE_CHECKING:
    from workflow.scripts.score.scorer import SampleRow

SHARD_CHARACTERS = 2_000_000
FOLDER = "transcripts"
JUDGED = ("categories", "probability", "harm", "refusal")  # what else a judge says of an answer


class Judged(TypedDict, total=False):
    """What else a judge says of an answer, where it says it; see `JUDGED`."""

    categories: list[str]
    """Those that the answer is flagged for"""
    probability: float
    """Of the likeliest category"""
    harm: float
    """Graded, from 0 to 1"""
    refusal: str
    """Class of refusal"""


class ShownVerdict(Judged, total=False):
    """What the page shows of a verdict beside the main metric; empty without a verdict."""

    state: str
    refused: bool | None
    extracted: str | None
    """The answer that was read"""


class ShownSample(TypedDict):
    """A sample as the page shows it; short names, for there are many."""

    m: int
    """Number of the model"""
    r: int
    """Which of several samples of the item"""
    thinking: str | None
    answer: str
    tokens: list[int]
    """Of thinking and answer"""
    state: str
    v: object
    """The verdict: true, false, None without one"""
    grade: NotRequired[float]
    """What a graded verdict was, from 0 to 1"""
    f: NotRequired[bool]
    """Whether it refuses"""
    extracted: NotRequired[str | None]
    """The answer that was read"""
    j: NotRequired[Judged]


class Item(TypedDict):
    """A benchmark's item and what the models wrote to it."""

    id: str
    prompt: str
    target: str | None
    category: str
    samples: list[ShownSample]


Items = dict[str, Item]  # by id


class TranscriptsOfBenchmark(TypedDict):
    """What the page must know of a benchmark's items."""

    name: str
    """For links"""
    label: str
    """For people"""
    kind: str
    categories: list[str]
    shards: list[str]
    """Files of the items, relative to the page"""
    items: NotRequired[list[Item]]
    """Those that are inside the page"""
    chosen: NotRequired[str]
    """How these were chosen"""


class Writer(TypedDict):
    """A model of which the page has samples."""

    role: str
    name: str
    label: str
    seed: str
    lrms: list[str]
    """LRMs that it is shown with"""


class Transcripts(TypedDict):
    """What the page must know of the samples."""

    benchmarks: list[TranscriptsOfBenchmark]
    models: list[Writer]


def to_json(value: Any) -> str:
    """Return JSON that is safe inside a script element: no `<`, no line separators."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    for character in "<>\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def write_transcripts(report: Report, inputs: Inputs, out: Path) -> Transcripts:
    """Write the samples of the final epochs as script files, and return what the page must know."""
    items, models = _read_items(report, inputs)
    remove_transcripts(out)
    found = _describe(report, items, models)
    for index, one in enumerate(found["benchmarks"]):
        own = list(items[one["name"]].values())
        one["shards"] = _write_shards(out / FOLDER, index, own)
    return found


def embed_transcripts(report: Report, inputs: Inputs, most: int) -> Transcripts:
    """Return what `write_transcripts` does, with at most so many items of each benchmark inside."""
    items, models = _read_items(report, inputs)
    found = _describe(report, items, models)
    for one in found["benchmarks"]:
        own = list(items[one["name"]].values())
        chosen = choose_items(own, [model.role for model in models], most)
        one["items"] = sorted(chosen, key=lambda item: str(item["id"]))
        if len(chosen) < len(own):
            one["chosen"] = (
                f"This file carries {len(chosen)} of {len(own)} items: half of them by chance "
                "among those whose verdict an alignment changed, spread over the categories, the "
                "others by chance among all that are left."
            )
    return found


def choose_items(items: Sequence[Item], roles: Sequence[str], most: int) -> list[Item]:
    """Return some items to show: half of them changed by an alignment, the others as they come.

    Args:
        items: A benchmark's.
        roles: The role of each model that samples name by its number.
        most: How many at most.
    """

    def changed(item: Item) -> bool:
        verdicts: dict[str, set[object]] = {"lrm": set(), "aligned": set()}
        for sample in item["samples"]:
            verdicts.setdefault(roles[sample["m"]], set()).add(sample["v"])
        return bool(verdicts["aligned"] - verdicts["lrm"])

    # by chance, the same each time
    shuffled = sorted(items, key=lambda item: sha256_text(str(item["id"])))
    places: Counter[str] = Counter()
    by_turn = []
    for item in filter(changed, shuffled):
        by_turn.append((places[item["category"]], item))
        places[item["category"]] += 1
    chosen = [item for _, item in sorted(by_turn, key=lambda one: one[0])][: (most + 1) // 2]
    ids = {item["id"] for item in chosen}
    return chosen + [item for item in shuffled if item["id"] not in ids][: most - len(chosen)]


def _read_items(report: Report, inputs: Inputs) -> tuple[dict[str, Items], Sequence[Model]]:
    """Return the final samples by benchmark and item, and the models that wrote them."""
    final, models = _final_checkpoints(report), _models(report)
    scores = _shown_scores(report, inputs)
    items: dict[str, Items] = {name: {} for name in report["benchmarks"]}
    for score in track(scores, len(scores), "reading transcripts"):
        model, _ = parse_run(score.run)
        if model in models:
            kind = report["benchmarks"][score.benchmark]["kind"]
            checkpoints = final[model.role, model.name, model.alignment]
            _add_samples(items[score.benchmark], score, kind, checkpoints, models.index(model))
    return items, models


def _describe(report: Report, items: Mapping[str, Items], models: Sequence[Model]) -> Transcripts:
    """Return what the page must know of benchmarks and models."""
    titles, final = report.get("titles", {}), _final_checkpoints(report)
    return {
        "benchmarks": [
            {
                "name": name,
                "label": titles.get("benchmarks", {}).get(name, name),
                "kind": report["benchmarks"][name]["kind"],
                "categories": sorted({i["category"] for i in items[name].values()} - {""}),
                "shards": [],
            }
            for name in items
        ],
        "models": [
            {
                "role": model.role,
                "name": (name := model_name({"role": model.role, "alignment": model.alignment})),
                "label": titles.get("alignments", {}).get(name, name),
                "seed": model.seed_label,
                "lrms": _lrms(final[model.role, model.name, model.alignment]),
            }
            for model in models
        ],
    }


def remove_transcripts(out: Path) -> None:
    """Remove the transcripts of an earlier page."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)


def _shown_scores(report: Report, inputs: Inputs) -> list[Score]:
    """Return the scores by each benchmark's first scorer whose samples were not deleted."""
    benchmarks = report["benchmarks"]
    return [
        one
        for one in sorted(inputs.scores, key=lambda one: (one.run, one.benchmark))
        if one.benchmark in benchmarks
        and one.scorer == benchmarks[one.benchmark]["scorers"][0]
        and one.samples
        and (one.samples / "samples.jsonl").exists()
    ]


def _add_samples(
    items: Items, score: Score, kind: str, checkpoints: Mapping[str, list[str]], model: int
) -> None:
    """Add a model's samples at its final checkpoints to the items that they answer."""
    assert score.samples is not None
    verdicts: dict[tuple[str, str, int], ShownVerdict] = {
        (one["checkpoint"], one["item_id"], one["repeat"]): cast(ShownVerdict, one)
        for one in read_jsonl(score.folder / "verdicts.jsonl")
        if one["checkpoint"] in checkpoints
    }
    for sample in (cast("SampleRow", one) for one in read_jsonl(score.samples / "samples.jsonl")):
        if sample["checkpoint"] in checkpoints:
            item = items.setdefault(
                sample["item_id"],
                {
                    "id": sample["item_id"],
                    "prompt": sample["prompt"],
                    "target": sample["target"],
                    "category": sample["category"],
                    "samples": [],
                },
            )
            key = (sample["checkpoint"], sample["item_id"], sample["repeat"])
            item["samples"].append(_shown(sample, verdicts.get(key, {}), kind, model))


def _shown(sample: SampleRow, verdict: ShownVerdict, kind: str, model: int) -> ShownSample:
    value = value_of(verdict, kind)
    shown: ShownSample = {
        "m": model,
        "r": sample["repeat"],
        "thinking": sample["thinking"],
        "answer": sample["answer"],
        "tokens": [sample["thinking_tokens"], sample["answer_tokens"]],
        "state": verdict.get("state", sample["state"]),
        "v": value,
    }
    if type(value) is float:
        shown["v"], shown["grade"] = value >= 0.5, value
    if isinstance(refused := verdict.get("refused"), bool):
        shown["f"] = refused
    if "extracted" in verdict:
        shown["extracted"] = verdict["extracted"]
    judged = {key: one for key in JUDGED if (one := verdict.get(key)) not in (None, [])}
    if judged:
        shown["j"] = cast(Judged, judged)
    return shown


def _lrms(checkpoints: Mapping[str, list[str]]) -> list[str]:
    return sorted({lrm for found in checkpoints.values() for lrm in found})


def _models(report: Report) -> list[Model]:
    """Return the report's models in the order of its rows."""
    found = [
        Model(
            row["role"],
            row["name"],
            row["alignment"],
            None if row["seed"] == "hub" else int(row["seed"]),
        )
        for row in report["rows"]
        if row["final"] and not row["seed"].startswith("mean")
    ]
    return list(dict.fromkeys(found))


def _final_checkpoints(
    report: Report,
) -> dict[tuple[str, str, str | None], dict[str, list[str]]]:
    """Return {(role, name, alignment): {final checkpoint: LRMs that the model is shown with}}."""
    found: dict[tuple[str, str, str | None], dict[str, list[str]]] = {}
    for row in report["rows"]:
        if row["final"]:
            key = (row["role"], row["name"], row["alignment"])
            found.setdefault(key, {}).setdefault(row["checkpoint"], []).append(row["lrm"])
    return found


def _write_shards(folder: Path, benchmark: int, items: list[Item]) -> list[str]:
    # Files are numbered by benchmark: its name may hold any character.
    files: list[str] = []
    chunk: list[str] = []

    def flush() -> None:
        name = f"{benchmark}-{len(files)}.js"
        write_text(folder / name, f"addTranscripts({benchmark}, [{','.join(chunk)}]);\n")
        files.append(f"{FOLDER}/{name}")
        chunk.clear()

    for item in items:
        chunk.append(to_json(item))
        if sum(map(len, chunk)) > SHARD_CHARACTERS:
            flush()
    if chunk:
        flush()
    return files
