"""Durability through the whole graph: aligned models are tuned on, measured, shown apart."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from tests.workflow.driving import edit, planned

pytestmark = pytest.mark.slow
RUN = "attacked/tiny/directrefusal/undo/seed1"


def attack(experiment: dict) -> None:
    lora = {"r": 2, "alpha": 4, "dropout": 0.0, "target_modules": ["q_proj", "v_proj"]}
    recipe = {**experiment["recipes"]["safety"], "lora": lora, "steps": [1, 3]}
    experiment["recipes"]["attack"] = recipe
    experiment["data"]["complied"] = {"generated": "complied"}
    entry = {"data": "complied", "recipe": "attack", "alignments": ["directrefusal"]}
    experiment["durability"] = {"undo": entry}


def test_an_attack_is_trained_from_the_aligned_model_and_measured_by_step(again, snakemake):
    edit(again, attack)
    jobs = planned(snakemake(again, "-n"))
    assert jobs == Counter(
        make_micro_data=1,
        measure_overlap=1,
        attack_sft=1,
        generate_samples=1,
        score_samples=1,
        make_report=1,
    )
    done = snakemake(again, "-c2")
    assert done.returncode == 0, done.stderr
    view = again / "results/tiny"
    manifest = read(view / "models" / RUN / "manifest.json")
    assert list(manifest["checkpoints"]) == ["step1", "step3"]
    parent = manifest["lineage"]["base"]
    assert (parent["run"], parent["checkpoint"]) == (
        "aligned/tiny/directrefusal/seed1",
        "epoch2",
    )
    assert manifest["lineage"]["data"]["name"] == "complied"
    score = read(view / "score" / RUN / "harmful/ngram/score.json")
    assert list(score["checkpoints"]) == ["step1", "step3"]
    report = read(view / "report/tradeoff.json")
    means = [row for row in report["durability"] if row["seed"] == "mean"]
    assert [(row["alignment"], row["step"]) for row in means] == [
        ("directrefusal", step) for step in (0, 1, 3)
    ]
    assert all("harmful_score" in row["metrics"] for row in means)
    assert "attacked" not in {row["role"] for row in report["rows"]}
    cards = {path.parts[-4] for path in (view / "report/cards").rglob("README.md")}
    assert "attacked" not in cards and (view / "report/durability.png").exists()
    with open(view / "report/durability.csv", newline="") as file:
        assert {row["step"] for row in csv.DictReader(file)} == {"0", "1", "3"}
    # another alignment's recipe, another rate of the attack
    edit(again, lambda e: e["recipes"]["attack"].update(learning_rate=1e-3))
    assert planned(snakemake(again, "-n"))["attack_sft"] == 1
    assert planned(snakemake(again, "-n"))["safety_sft"] == 0


def read(path: Path) -> dict:
    return json.loads(path.read_text())
