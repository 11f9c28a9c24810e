"""Model cards: what the hub reads, the scores with intervals, where the model comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from workflow.scripts.report import make_report
from workflow.scripts.report.origins import describe_model
from workflow.scripts.report.tables.registry import build_tables
from workflow.scripts.report.write_cards import write_card

SHA = "ab" * 32
DATA = {"name": "refusals", "n": 500, "sha256": "cd" * 32}


def manifest(run: str) -> dict[str, Any]:
    """A manifest of a trained run: made-up hashes."""
    base = {"run": "base/tiny/seed1", "lineage": {"base": None, "data": {**DATA, "name": "corpus"}}}
    lrm = {"run": "lrm/tiny/seed1", "lineage": {"base": base, "data": {**DATA, "name": "thoughts"}}}
    parent = {"base": None, "lrm": base, "aligned": lrm}[run.split("/")[0]]
    names = [f"epoch{n}" for n in range(1, 6)] if run.startswith("aligned") else ["final"]
    return {
        "format": 1,
        "run": run,
        "checkpoints": {name: {"model.safetensors": {"sha256": SHA, "bytes": 9}} for name in names},
        "final": names[-1],
        "chat_format": "micro",
        "seed": int(run[-1]),
        "status": "ok",
        "lineage": {"base": parent, "data": DATA},
        "recipe": {"learning_rate": 4e-4, "note": "``` not the end"},
        "train": {"wall_s": 7200.0},
        "hardware": {"device": "cuda", "gpus": ["H100"] * 8, "world_size": 8},
        "git_commit": "0" * 40,
        "versions": {"torch": "2.13.0"},
    }


@pytest.fixture(scope="module")
def experiment_of_cards(experiment: dict[str, Any]) -> dict[str, Any]:
    source = {"prepare": {"source": {"hub": "someone/refusals", "split": "train"}}}
    return {**experiment, "data": {"refusals": source, "thoughts": source}}


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    experiment_of_cards: dict[str, Any],
    make_scores: Any,
    make_inputs: Any,
) -> Path:
    place = tmp_path_factory.mktemp("cards")
    files = make_scores(place)
    for path in files:
        run = json.loads(path.read_text())["run"]
        out = place / "models" / run
        out.mkdir(parents=True, exist_ok=True)
        (out / "manifest.json").write_text(json.dumps(manifest(run)))
    given = make_inputs(experiment_of_cards, files, place)
    make_report.main(["--inputs", str(given), "--out", str(place)])
    return place


def card(folder: Path, run: str) -> ModelCard:
    return ModelCard.load(folder / "cards" / run / "README.md")


def test_every_trained_run_has_a_card_that_the_hub_library_reads(folder: Path) -> None:
    found = sorted(str(p.parent.relative_to(folder / "cards")) for p in folder.rglob("README.md"))
    assert len(found) == 8 and "aligned/tiny/refuse/seed2" in found
    data = card(folder, "aligned/tiny/refuse/seed2").data
    assert data.library_name == "transformers" and data.datasets == ["someone/refusals"]
    values = {one.metric_type: one.metric_value for one in data.eval_results}
    rows = json.loads((folder / "tradeoff.json").read_text())["rows"]
    row = next(r for r in rows if (r["alignment"], r["seed"], r["epoch"]) == ("refuse", "2", 5))
    for metric in ("reasoning_accuracy", "harmful_score", "over_refusal"):
        assert values[metric] == pytest.approx(row["metrics"][metric]["estimate"] * 100, abs=1e-3)


def test_a_card_has_every_checkpoint_lineage_recipe_hash_and_the_harm_caveat(folder: Path) -> None:
    text = card(folder, "aligned/tiny/refuse/seed1").content
    for epoch in range(1, 6):
        assert f"| epoch{epoch} | " in text and f"- epoch{epoch}" in text
    assert " to " in text.split("## Scores")[1].split("##")[0]
    assert SHA in text and "**Harm.** Safety alignment lowers" in text
    lineage = text.split("## Lineage")[1].split("##")[0]
    assert [lineage.index(run) for run in ("aligned/tiny", "2. lrm/tiny", "3. base/tiny")]
    assert text.count("```") == 2  # the recipe cannot end its block
    assert "not** to be safe" in card(folder, "lrm/tiny/seed1").content


def test_gpu_hours_are_summed_over_the_gpus(folder: Path) -> None:
    report = json.loads((folder / "tradeoff.json").read_text())
    assert report["provenance"]["gpu_hours_training"] == 8 * 2 * 8  # runs, hours, GPUs
    assert report["provenance"]["hardware"] == ["H100"]
    models = {one["run"]: one for one in report["origins"]["models"]}
    assert models["lrm/tiny/seed1"]["weights_sha256"] == SHA


def test_what_was_adopted_from_older_code_is_named(
    tmp_path: Path, experiment: dict[str, Any], make_scores: Any, build: Any
) -> None:
    adopted = {"name": "score/x", "from": "k", "by": "ada", "when": "2026-01-01"}
    adopted |= {"reason": "a clearer message"}
    report = build(experiment, make_scores(tmp_path), adopted=[adopted])
    assert report["origins"]["adopted"] == [adopted]
    assert any(line.startswith("1 results are older") for line in report["limits"])
    (table,) = (one for one in build_tables(report) if one.key == "adopted")
    assert table.rows == [["score/x", "k", "ada", "2026-01-01", "a clearer message"]]


def merged_manifest() -> dict[str, Any]:
    """A manifest as merge_models writes it, of two alignments."""
    lrm = manifest("aligned/tiny/refuse/seed1")["lineage"]["base"]
    others = {
        f"other{number}": {
            **{"run": f"aligned/tiny/{name}/seed1", "checkpoint": "epoch5", "scale": scale},
            "lineage": {"base": lrm, "data": {**DATA, "name": data}},
        }
        for number, (name, data, scale) in enumerate(
            (("reason", "thoughts", 0.25), ("refuse", "refusals", -1.0)), 1
        )
    }
    own = manifest("aligned/tiny/summed/seed1")
    return {**own, "lineage": {"base": lrm, "others": others, "data": None}}


def test_a_merged_model_is_said_to_be_merged_from_all_its_parents(
    experiment_of_cards: dict[str, Any], folder: Path
) -> None:
    alignments = {**experiment_of_cards["alignments"], "summed": {"method": "task_arithmetic"}}
    changed = {**experiment_of_cards, "alignments": alignments}
    run, made = "aligned/tiny/summed/seed1", merged_manifest()
    how = (
        "merged from lrm/tiny/seed1 and differences from it: "
        "0.25 × aligned/tiny/reason/seed1 (epoch5), -1 × aligned/tiny/refuse/seed1 (epoch5)"
    )
    about = describe_model(run, made, changed)
    assert about["source"] == how
    assert about["parent"] == (
        "lrm/tiny/seed1, aligned/tiny/reason/seed1, aligned/tiny/refuse/seed1"
    )
    report = json.loads((folder / "tradeoff.json").read_text())
    text = write_card(report, changed, run, made)
    lines = text.split("## Lineage")[1].split("##")[0].strip().splitlines()
    assert [line.split()[1] for line in lines] == [
        *(run, "lrm/tiny/seed1", "aligned/tiny/reason/seed1", "aligned/tiny/refuse/seed1"),
        "base/tiny/seed1",
    ]
    assert how.replace("*", "") in lines[0] and "as it came" not in text
    assert "trained on refusals (500 examples" in lines[3]
    assert ModelCard(text).data.datasets == ["someone/refusals"]


def test_a_model_of_another_method_is_not_said_to_be_trained(
    experiment_of_cards: dict[str, Any],
) -> None:
    changed = {**experiment_of_cards, "alignments": {"other": {"method": "steered"}}}
    about = describe_model("aligned/tiny/other/seed1", {"final": "f", "checkpoints": {}}, changed)
    assert about["source"] == "made here, method steered"
