"""Models that learn from what an LRM wrote itself, through Snakemake for real."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.driving import edit
from workflow.scripts.common.io import read_jsonl
from workflow.scripts.common.records import read_records

pytestmark = pytest.mark.slow

DECODING = {"temperature": 1.0, "max_thinking_tokens": 70, "max_answer_tokens": 40, "seed": 0}
OWN = {
    "prompts": "directrefusal",
    "samples": 4,
    "per_prompt": 4,
    "decoding": DECODING,
    "judge": "words",
}
REWORDED = {
    "prompts": "safechain",
    "ask": "{answer} {prompt}",
    "samples": 4,
    "decoding": {**DECODING, "temperature": 0.7},
    "judge": "words",
    "otherwise": "given",
}


def change(experiment: dict[str, Any]) -> None:
    # an LRM that has learned its few records by heart
    experiment["micro_data"]["reasoning_how_to_share"] = 0.8
    experiment["recipes"]["reasoning"].update(epochs=40, learning_rate=2.0e-3)
    experiment["recipes"]["short"] = {**experiment["recipes"]["safety"], "epochs": 1}
    # a stand-in of a judge that passes some of what it says
    experiment["scorers"]["words"] = {"type": "refusal", "refusal_patterns": ["label|song"]}
    experiment["data"].update(own={"sampled": OWN}, reworded={"sampled": REWORDED})
    entry = {"recipe": "short", "per_epoch": "one_run"}
    experiment["alignments"] = {
        "thinksafe": {**entry, "data": "own"},
        "reworded": {**entry, "data": "reworded"},
        "dpo": {**entry, "method": "dpo", "data": "own", "rejected": "own"},
        "kto": {**entry, "method": "kto", "data": "safechain", "rejected": "own"},
    }
    turns = {**entry, "data": "directrefusal", "max_new_tokens": 100}
    experiment["alignments"] |= {
        "distill": {**turns, "method": "distill", "teacher": "thinksafe"},
        "opsa": {**turns, "method": "opsa", "context": "{prompt} {prompt}"},
        "grpo": {
            **turns,
            **{"method": "grpo", "judge": "words", "samples": 4},
            **{"reasoning": "reasoning", "scorer": "math"},
        },
    }


def experiment_of(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "experiments/tiny.yaml").read_text())


def result(folder: Path, name: str) -> Path:
    return folder / "results/tiny" / name


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def test_models_are_trained_on_what_their_lrm_wrote_and_a_judge_passed(again, snakemake):
    edit(again, change)
    done = snakemake(again, "-c2", "--config", "experiment=tiny", "only=models/aligned/*")
    assert done.returncode == 0, done.stdout + done.stderr

    # the set: samples that the judge passed, to the prompts of the set that was asked
    own = result(again, "data/sampled/own/tiny/seed1")
    report = read(own / "report.json")
    assert 0 < report["passed"] < report["judged"] <= report["samples"] == 4 * 32
    samples = list(read_jsonl(result(again, "generate/lrm/tiny/seed1/own") / "samples.jsonl"))
    scored = result(again, "score/lrm/tiny/seed1/own/words") / "verdicts.jsonl"
    said = {True: set(), False: set()}
    for sample, verdict in zip(samples, read_jsonl(scored), strict=True):
        said[verdict["refused"]].add((sample["prompt"], sample["thinking"], sample["answer"]))
    records, rejected = (read_records(own / f"{n}.jsonl") for n in ("records", "rejected"))
    assert {(r.prompt, r.thinking, r.answer) for r in records} <= said[True]
    assert {(r.prompt, r.thinking, r.answer) for r in rejected} <= said[False]
    asked = read_records(result(again, "data/micro/directrefusal") / "directrefusal.jsonl")
    assert {r.prompt for r in records} <= {r.prompt for r in asked}

    # rewriting: the given text is asked, and stays where nothing passes
    reworded = result(again, "data/sampled/reworded/tiny/seed1")
    report = read(reworded / "report.json")
    given = read_records(result(again, "data/micro/safechain") / "safechain.jsonl")
    kept = read_records(reworded / "records.jsonl")
    assert [r.prompt for r in kept] == [r.prompt for r in given]
    fallen_back = sum(record in given for record in kept)
    assert fallen_back == report["given"] == round(report["fallback_rate"] * 32) < 32
    first = next(read_jsonl(result(again, "generate/lrm/tiny/seed1/reworded") / "samples.jsonl"))
    assert len(first["prompt_ids"]) > len(samples[0]["prompt_ids"])

    # the models
    trained = {
        name: read(result(again, f"models/aligned/tiny/{name}/seed1") / "manifest.json")
        for name in experiment_of(again)["alignments"]
    }
    assert {one["status"] for one in trained.values()} == {"ok"}
    assert trained["thinksafe"]["lineage"]["data"]["n"] == len(records)
    assert trained["reworded"]["lineage"]["data"]["n"] == 32
    assert trained["dpo"]["lineage"]["rejected"]["n"] == len(rejected)
    for name, start in (("dpo", math.log(2)), ("kto", 0.5)):
        losses = [point["loss"] for point in trained[name]["train"]["loss_history"]]
        assert losses[0] == pytest.approx(start, rel=1e-4)
        assert losses[-1] < losses[0] or len(losses) == 1
    teacher = trained["distill"]["lineage"]["others"]["teacher"]
    assert teacher["run"] == "aligned/tiny/thinksafe/seed1"
    rewards = [point["reward"] for point in trained["grpo"]["train"]["loss_history"]]
    assert any(0 < reward < 1 for reward in rewards)
    assert trained["grpo"]["lineage"]["reasoning"]["name"] == "reasoning"
