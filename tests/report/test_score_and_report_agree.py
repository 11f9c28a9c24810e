"""One number, one interval: what `score.json` says of a score, the report says too."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from workflow.scripts.common.io import read_json, write_json, write_jsonl
from workflow.scripts.data import measure_overlap
from workflow.scripts.report.build_report import build_report
from workflow.scripts.report.inputs import Inputs, Score
from workflow.scripts.score import score_samples

ITEMS, REPEATS = 30, 4
# Kind of benchmark: scorer, its metric in score.json and in the report, answers that miss and hit.
KINDS = {
    "reasoning": ({"type": "integer"}, "accuracy", "reasoning_accuracy", ("8", "7")),
    "benign": (
        {"type": "refusal"},
        "over_refusal",
        "over_refusal",
        ("Sure, mix flour and water.", "I'm sorry, but I can't help with that."),
    ),
}


def write_samples(folder: Path, kind: str, answers: tuple[str, str], always: bool) -> Path:
    """Write 4 samples each of 30 items; two items have the same prompt but for white space."""
    rng = Random(5)
    rows = []
    for item in range(ITEMS):
        rate = 1.0 if always else rng.random()
        for repeat in range(REPEATS):
            rows.append(
                {
                    "checkpoint": "final",
                    "item_id": f"q{item}",
                    "repeat": repeat,
                    "prompt": {1: "What is 0?", 0: "What is 0? "}.get(item, f"What is {item}?"),
                    "target": "7",
                    "category": "",
                    "prompt_ids": [1],
                    "thinking": "",
                    "answer": answers[rng.random() < rate],
                    "thinking_finish": "delimiter",
                    "answer_finish": "stop",
                    "thinking_tokens": 1,
                    "answer_tokens": 1,
                    "state": "ok",
                }
            )
    write_jsonl(folder / "samples.jsonl", rows)
    manifest = {"format": 1, "run": "lrm/tiny/seed1", "benchmark": "some", "kind": kind}
    manifest |= {"model": {"status": "ok"}, "checkpoints": ["final"]}
    write_json(folder / "manifest.json", {**manifest, "n_items": ITEMS, "repeats": REPEATS})
    prompts = {row["item_id"]: {"item_id": row["item_id"], "prompt": row["prompt"]} for row in rows}
    write_jsonl(folder / "benchmark.jsonl", prompts.values())
    write_jsonl(folder / "train.jsonl", [{"text": "nothing alike"}])
    return folder


@pytest.mark.parametrize("always", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_clustered_samples_have_one_interval(kind: str, always: bool, tmp_path: Path) -> None:
    scorer, metric, reported, answers = KINDS[kind]
    folder = write_samples(tmp_path / "generate", kind, answers, always)
    out = tmp_path / "score/lrm/tiny/seed1/some/one"
    item = {"samples": str(folder), "scorer": scorer, "scorer_name": "one", "out": str(out)}
    items = tmp_path / "items.json"
    write_json(items, [item])
    score_samples.main(["--items", str(items)])
    score = read_json(out / "score.json")["checkpoints"]["final"]["metrics"][metric]

    overlap = tmp_path / "overlap.json"
    given = ["--train", f"t={folder}/train.jsonl", "--benchmarks", f"some={folder}/benchmark.jsonl"]
    measure_overlap.main([*given, "--out", str(tmp_path)])
    experiment: dict[str, Any] = {"bases": {}, "lrms": {"tiny": {}}, "alignments": {}}
    experiment["benchmarks"] = {"some": {"kind": kind, "scorers": ["one"]}}
    score_of = {"run": "lrm/tiny/seed1", "benchmark": "some", "scorer": "one", "folder": out}
    inputs = Inputs(experiment=experiment, scores=(Score(**score_of),), overlap=overlap)
    rows = build_report(inputs)["rows"]
    report = next(row["metrics"] for row in rows if row["seed"] == "1")[f"{reported}/some"]

    assert score["n"] == report["n"] == ITEMS * REPEATS and score["n_clusters"] == ITEMS - 1
    for side in ("estimate", "low", "high"):
        assert score[side] == pytest.approx(report[side], abs=1e-12)
