"""A training that does not fit its GPUs ends the run at its start, before models are fetched."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from workflow.scripts.config.load import load_experiment
from workflow.scripts.data.resolve_pins import find_hub_names

pytestmark = pytest.mark.slow

MODEL = "models/aligned/limo-32b/directrefusal/seed42"  # of 32B


def run_careful(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Ask for one model of the careful grid, with made-up pins and no network."""
    lock: dict[str, dict[str, str]] = {"models": {}, "datasets": {}}
    for kind, name in find_hub_names(load_experiment("careful").with_sources()):
        lock[f"{kind}s"][name] = "a" * 40
    (folder / "experiments/careful.lock.json").write_text(json.dumps({"format": 1, **lock}))
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "snakemake",
            "-c1",
            "--config",
            "experiment=careful",
            f"only={MODEL}",
        ],
        cwd=folder,
        env={**environment, "HF_ENDPOINT": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
    )


def test_fp32_master_weights_of_32b_on_eight_gpus_of_80_gb_are_refused_before_any_job(
    project_copy, shell_environment
):
    folder = project_copy("refused")
    experiment = folder / "experiments/careful.yaml"
    text = experiment.read_text()
    assert "gpu_memory_gb: 131}" in text
    experiment.write_text(text.replace("gpu_memory_gb: 131}", "gpu_memory_gb: 80}"))
    done = run_careful(folder, shell_environment)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: aligned/limo-32b/directrefusal/seed42: training needs about 93.")
    assert "guessed from 32.8 B parameters: lrm/limo-32b/hub is not here yet" in line
    assert "runtime.gpu_memory_gb is 80: expected more GPUs" in line
    assert "Traceback" not in said and "rule fetch_model" not in said
    assert not list((folder / "results").rglob("*.*"))


def test_on_the_gpus_of_the_publication_the_same_run_starts(project_copy, shell_environment):
    done = run_careful(project_copy("taken"), shell_environment)
    assert done.returncode == 1  # there is no network
    assert "error: fetch_model" in done.stderr or "error: prepare_records" in done.stderr
    assert "training needs" not in done.stdout + done.stderr


def test_a_batch_that_does_not_divide_over_the_gpus_is_refused_before_any_job(
    project_copy, shell_environment
):
    folder = project_copy("undivided")
    experiment = folder / "experiments/careful.yaml"
    experiment.write_text(re.sub(r"global_batch: \d+", "global_batch: 7", experiment.read_text()))
    done = run_careful(folder, shell_environment)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    run = "aligned/limo-32b/directrefusal/seed42"
    assert line == (
        f"error: safety_sft {run}: recipe.global_batch is 7 on 8 devices, expected a multiple of it"
    )
    assert "rule fetch_model" not in done.stdout + done.stderr
