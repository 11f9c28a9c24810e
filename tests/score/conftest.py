"""Generate folders, written by hand, for the score stage's tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, read_jsonl, write_json, write_jsonl
from workflow.scripts.config.planning import ScoringRuntime
from workflow.scripts.config.section import parse_section
from workflow.scripts.score.score_samples import Items, score_items


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a generate folder from a few fields per sample."""

    def make(kind: str, samples: list[dict[str, Any]], **manifest: Any) -> Path:
        rows = []
        for index, fields in enumerate(samples):
            row = {
                "checkpoint": "final",
                "item_id": f"item-{index:04d}",
                "repeat": 0,
                "prompt": f"question {index}",
                "target": "",
                "category": "",
                "prompt_ids": [1, 2],
                "thinking": "Let me think.",
                "answer": "",
                "thinking_finish": "delimiter",
                "answer_finish": "stop",
                "thinking_tokens": 4,
                "answer_tokens": 3,
                "state": "ok",
            }
            rows.append({**row, **fields})
        checkpoints = list(dict.fromkeys(row["checkpoint"] for row in rows))
        repeats = len({row["repeat"] for row in rows})
        folder = tmp_path / "generated"
        write_jsonl(folder / "samples.jsonl", rows)
        write_json(
            folder / "manifest.json",
            {
                "format": 1,
                "run": "base/tiny/seed1",
                "benchmark": "some",
                "kind": kind,
                "engine": "hf",
                "decoding": {"temperature": 0},
                "seed": 0,
                "n_items": len(rows) // len(checkpoints) // repeats,
                "repeats": repeats,
                "checkpoints": checkpoints,
                "model": {"role": "base", "chat_format": "micro", "status": "ok"},
                **manifest,
            },
        )
        return folder

    return make


@pytest.fixture
def score() -> Callable[..., tuple[list[dict[str, Any]], dict[str, Any]]]:
    """Return a function that scores one folder and reads back verdicts and score."""

    def run(folder: Path, out: Path, scorer: Any, judge: Path | None = None, **runtime: Any):
        (error,) = score_all({out: folder}, scorer, out / "replies", judge, **runtime) or [None]
        if error is not None:
            raise error
        return list(read_jsonl(out / "verdicts.jsonl")), read_json(out / "score.json")

    return run


def score_all(
    folders: dict[Path, Path], scorer: Any, replies: Path, judge: Path | None = None, **runtime: Any
) -> list[InputError]:
    """Score generate folders, by the folder of the result, in one go; return what failed."""
    item = {"scorer": scorer, "scorer_name": "some", "judge": str(judge) if judge else None}
    listed = [{**item, "samples": str(f), "out": str(out)} for out, f in folders.items()]
    items = parse_section(Items, json.dumps(listed), "--items").root
    return list(score_items(items, ScoringRuntime(**runtime), replies))
