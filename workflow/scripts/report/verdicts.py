"""The table of verdicts: one row per sample and scorer, read once.

Texts are categories, so that a million rows take less than 100 MB. What belongs to a whole
evaluation (a model's checkpoint, a benchmark, a scorer) is in a second, small table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, read_jsonl, sha256_file
from workflow.scripts.common.progress import track
from workflow.scripts.config.kinds import KINDS
from workflow.scripts.report.experiment import Experiment
from workflow.scripts.report.inputs import Inputs, Score, find_manifest
from workflow.scripts.report.metrics import MAIN, METRICS, TURNS_AT
from workflow.scripts.report.runs import Model, epoch_of, parse_run
from workflow.scripts.report.schema import DescribedJudge

if TYPE_CHECKING:
    import pandas as pd

    from workflow.scripts.data.measure_overlap import OverlapReport
    from workflow.scripts.score.score_samples import ScoreSummary
    from workflow.scripts.score.scorer import VerdictRow
    from workflow.scripts.score.summary import MeanAndSd

FORMAT = 1
GRADES = "Float64"
FLAGS = tuple(
    dict.fromkeys(name for one in METRICS.values() for name in (*one.columns, *one.absent))
)
PER_EVALUATION = (
    "run",
    "role",
    "name",
    "alignment",
    "seed",
    "epoch",
    "benchmark",
    "kind",
    "scorer",
)


@dataclass(frozen=True)
class Evaluation:
    """A model's checkpoint on a benchmark by a scorer; its verdicts have its `number`.

    Attributes:
        thinking: The thinking's tokens; empty where there are none.
        graded: Whether its main verdicts are numbers from 0 to 1, not true or false.
    """

    number: int
    run: str
    model: Model
    checkpoint: str
    benchmark: str
    kind: str
    scorer: str
    n: int
    status: str
    status_reason: str
    thinking: MeanAndSd
    graded: bool = False


@dataclass(frozen=True)
class Verdicts:
    """Everything that was scored.

    Attributes:
        table: A row per sample and scorer: evaluation (number), run, role, name (of the base or
            LRM), alignment, seed, checkpoint, epoch, benchmark, kind, scorer, item_id, cluster
            (first item with the same prompt), category, repeat, state, valid, a column of true,
            false or missing for each metric, and `turns_at`.
        evaluations: What belongs to each evaluation, by number.
        judges: By benchmark/scorer, as the score describes them.
        measured: (run, benchmark, scorer) of each score.
        digests: sha256 of each `verdicts.jsonl`.
    """

    table: pd.DataFrame
    evaluations: list[Evaluation]
    judges: dict[str, DescribedJudge]
    measured: list[tuple[str, str, str]]
    digests: list[str]


def read_verdicts(inputs: Inputs) -> Verdicts:
    """Read every `score.json` and the `verdicts.jsonl` beside it.

    Raises:
        InputError: Another format, a name that the experiment does not know, a verdict without
            its main field, or verdicts that do not match the score's counts.
    """
    scores = sorted(inputs.scores, key=lambda one: (one.run, one.benchmark, one.scorer))
    frames: list[pd.DataFrame] = []
    evaluations: list[Evaluation] = []
    judges: dict[str, DescribedJudge] = {}
    for given in track(scores, len(scores), "reading scores"):
        score = _read_score(given.folder / "score.json")
        model = score.get("model", {})
        reason = model.get("status_reason") or ""
        if model.get("status") == "failed" and not reason:  # samples of before 2026-11-30
            manifest = find_manifest(inputs.models.get(given.run))
            reason = (manifest or {}).get("status_reason") or ""
        about = _list_evaluations(given, score, reason, inputs.sections, len(evaluations))
        frames.append(_read_rows(given.folder, about))
        graded = frames[-1][MAIN[score["kind"]].columns[0]].dtype == GRADES
        evaluations += [replace(one, graded=graded) for one in about]
        if score.get("judge"):
            about_judge = cast(DescribedJudge, score["judge"])
            judges.setdefault(f"{given.benchmark}/{given.scorer}", about_judge)
    _check_distinct(evaluations)
    table = _concat(frames)
    _add_columns(table, evaluations, inputs)
    return Verdicts(
        table,
        evaluations,
        judges,
        [(one.run, one.benchmark, one.scorer) for one in scores],
        [sha256_file(one.folder / "verdicts.jsonl") for one in scores],
    )


def repeated_prompts(overlap: OverlapReport) -> dict[str, dict[str, str]]:
    """Return {benchmark: {item id: first item with the same prompt}} from an overlap report."""
    return {
        name: {
            str(item): str(group[0])
            for group in described.get("exact", {}).get("groups", [])
            for item in group
        }
        for name, described in overlap.get("benchmarks", {}).items()
    }


def read_categories(path: Path) -> dict[str, str]:
    """Return {item id: category} of a benchmark's prompts."""
    return {str(row["item_id"]): row.get("category") or "" for row in read_jsonl(path)}


def _read_score(path: Path) -> ScoreSummary:
    score: ScoreSummary = read_json(path)
    if not isinstance(score, dict) or score.get("format") != FORMAT:
        raise InputError(f"{path}: expected a score of format {FORMAT}")
    return score


def _list_evaluations(
    given: Score, score: ScoreSummary, reason: str, experiment: Experiment, first: int
) -> list[Evaluation]:
    """Return what a score evaluated, numbered from `first`.

    Args:
        given: The score's folder, and of what it is.
        score: What is there.
        reason: Why the model failed, where it did; "" where nobody knows.
        experiment: The experiment.
        first: The number of the first.
    """
    model, _ = parse_run(given.run)
    names = [("bases" if model.role == "base" else "lrms", model.name)]
    names += [("alignments", model.alignment)] if model.alignment else []
    names += [("durability", model.attack)] if model.attack else []
    known: dict[str, Container[str]] = {
        "bases": experiment["bases"],
        "lrms": experiment["lrms"],
        "alignments": experiment["alignments"],
        "durability": experiment.get("durability", {}),
        "benchmarks": experiment["benchmarks"],
    }
    for section, name in [*names, ("benchmarks", given.benchmark)]:
        if name not in known[section]:
            raise InputError(f"{given.folder}: {name!r} is no entry of the experiment's {section}")
    status = score.get("model", {}).get("status") or "ok"
    return [
        Evaluation(
            number,
            given.run,
            model,
            checkpoint,
            given.benchmark,
            score["kind"],
            given.scorer,
            summary["n"],
            status,
            reason if status != "ok" else "",
            summary.get("thinking_tokens") or cast("MeanAndSd", {}),
        )
        for number, (checkpoint, summary) in enumerate(score["checkpoints"].items(), first)
    ]


def _check_distinct(evaluations: Sequence[Evaluation]) -> None:
    known: set[tuple[Model, str, str, str]] = set()
    for one in evaluations:
        place = (one.model, one.checkpoint, one.benchmark, one.scorer)
        if place in known:
            raise InputError(
                f"{one.run}: {one.checkpoint} has two scores by {one.benchmark}/{one.scorer}, "
                "expected one"
            )
        known.add(place)


def _read_rows(folder: Path, evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """Return the verdicts of a score's evaluations."""
    import pandas as pd

    path = folder / "verdicts.jsonl"
    rows = [cast("VerdictRow", row) for row in read_jsonl(path)]
    by_checkpoint = {one.checkpoint: one for one in evaluations}
    for line, row in enumerate(rows, 1):
        if row["checkpoint"] not in by_checkpoint:
            raise InputError(f"{path}:{line}: {row['checkpoint']!r} is not in score.json")
        kind = by_checkpoint[row["checkpoint"]].kind
        if row["valid"] and KINDS[kind].has_target and row.get("correct") is None:
            raise InputError(f"{path}:{line}: valid without 'correct'")
    counts = Counter(row["checkpoint"] for row in rows)
    for one in evaluations:
        if counts[one.checkpoint] != one.n:
            raise InputError(
                f"{path}: {one.checkpoint} has {counts[one.checkpoint]} verdicts, expected {one.n}"
            )
    numbers = [by_checkpoint[row["checkpoint"]].number for row in rows]
    return pd.DataFrame(
        {
            "evaluation": pd.array(numbers, dtype="int32"),
            "checkpoint": pd.Categorical([row["checkpoint"] for row in rows]),
            "item_id": pd.Categorical([str(row["item_id"]) for row in rows]),
            "repeat": pd.array([row["repeat"] for row in rows], dtype="int32"),
            "state": pd.Categorical([row["state"] for row in rows]),
            "valid": [bool(row["valid"]) for row in rows],
            **{name: _flags([row.get(name) for row in rows]) for name in FLAGS},
            TURNS_AT: pd.array([row.get(TURNS_AT) for row in rows], dtype="Float64"),
        }
    )


def _flags(values: list[Any]) -> pd.api.extensions.ExtensionArray:
    """Return a column of true, false or missing; of numbers where a task grades its answers."""
    import pandas as pd

    graded = any(type(value) is float for value in values)
    return pd.array(values, dtype=GRADES if graded else "boolean")


def _concat(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Put tables below each other; categories stay categories."""
    import pandas as pd
    from pandas.api.types import union_categoricals

    columns: dict[str, pd.api.extensions.ExtensionArray] = {}
    for name in list(frames[0]):
        parts = [frame[name] for frame in frames]
        if any(part.dtype == GRADES for part in parts):
            parts = [part.astype(GRADES) for part in parts]
        categories = isinstance(parts[0].dtype, pd.CategoricalDtype)
        columns[name] = union_categoricals(parts) if categories else pd.concat(parts).array
    return pd.DataFrame(columns)


def _add_columns(table: pd.DataFrame, evaluations: Iterable[Evaluation], inputs: Inputs) -> None:
    """Add to each verdict whose it is, the cluster of its prompt, and its category."""
    import pandas as pd

    about = pd.DataFrame(
        [
            {
                **vars(one),
                **vars(one.model),
                "seed": one.model.seed_label,
                "epoch": epoch_of(one.checkpoint),
            }
            for one in evaluations
        ]
    )
    numbers = table["evaluation"].to_numpy()
    for name in PER_EVALUATION:
        table[name] = about[name].astype("category").array.take(numbers)
    overlap = cast("OverlapReport", read_json(inputs.overlap) if inputs.overlap else {})
    clusters = repeated_prompts(overlap)
    categories = {name: read_categories(path) for name, path in inputs.prompts.items()}
    table["cluster"] = _by_item(table, clusters, True)
    table["category"] = _by_item(table, categories, False)


def _by_item(
    table: pd.DataFrame, values: Mapping[str, Mapping[str, str]], itself: bool
) -> pd.Categorical:
    """Return each item's value on its benchmark; what has none is the item itself, or missing."""
    import pandas as pd

    items, benchmarks = (table[name].cat for name in ("item_id", "benchmark"))
    keys = items.codes.to_numpy("int64") * len(benchmarks.categories) + benchmarks.codes.to_numpy()
    codes, unique = pd.factorize(keys)
    found = []
    for key in unique:
        item_code, benchmark_code = divmod(int(key), len(benchmarks.categories))
        item = items.categories[item_code]
        of_benchmark = values.get(benchmarks.categories[benchmark_code], {})
        found.append(of_benchmark.get(item, item if itself else None))
    return pd.Categorical(found).take(codes)
