"""Jobs in a container: the recipes, what Snakemake asks Apptainer for, a run in the built image."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.workflow.driving import Shell, command, without_times
from workflow.scripts.cluster.container import check_command, check_image
from workflow.scripts.common.errors import InputError

APPTAINER = ("--software-deployment-method", "apptainer")
# Stands in for Apptainer: notes what it is asked, and runs the command on this machine.
STAND_IN = """#!/bin/bash
if [ "$1" = --version ]; then
    echo "apptainer version 1.4.5"
    exit
fi
printf '%s\\n' "$*" | head -n 1 >> {notes}
exec bash -c "${{@: -1}}"
"""


def test_both_recipes_start_alike_and_take_the_same_files(root: Path) -> None:
    docker, apptainer = ((root / "envs" / n).read_text() for n in ("Dockerfile", "apptainer.def"))
    (copied,) = re.findall(r"^COPY (.*) /opt/$", docker, re.M)
    taken = re.findall(r"^    envs/(\S+) /opt/(\S+)$", apptainer, re.M)
    assert [(name, name) for name in copied.split()] == taken
    assert all((root / "envs" / name).is_file() for name, _ in taken)
    for same in (r"^F[Rr][Oo][Mm]:? (.*)$", r"VLLM=(.*)$", r"(/opt/image\.sh)", r"PATH=(.*)$"):
        values = [set(re.findall(same, text, re.M)) for text in (docker, apptainer)]
        uncommented = [{one for one in found if " " not in one} for found in values]
        assert uncommented[0] == uncommented[1] != set()


def test_the_recipe_installs_the_locks_that_the_environments_have(root: Path) -> None:
    script = (root / "envs" / "image.sh").read_text()
    makefile = (root / "Makefile").read_text()
    assert "--requirement train.txt" in script and ".venv,envs/train.txt)" in makefile
    assert '--no-deps --requirement "$1.txt"' in script
    assert ".venv-vllm,envs/$(VLLM).txt,--no-deps)" in makefile


@pytest.mark.slow
def test_a_job_runs_in_the_image_of_the_configuration(
    project_copy, shell_environment, tmp_path: Path
) -> None:
    folder, programs, notes = project_copy("container"), tmp_path / "programs", tmp_path / "notes"
    programs.mkdir()
    (programs / "apptainer").write_text(STAND_IN.format(notes=notes))
    (programs / "apptainer").chmod(0o755)
    (folder / "image.sif").touch()
    arguments = ("-c1", *APPTAINER, "--apptainer-args=--nv", "--until", "make_micro_data")
    done = subprocess.run(
        command(*arguments, "--config", "experiment=tiny", "container=image.sif"),
        cwd=folder,
        env={**shell_environment, "PATH": f"{programs}:{shell_environment['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (asked,) = notes.read_text().splitlines()
    assert re.search(rf"exec --home {folder} --nv .*image\.sif bash -c", asked), asked


def test_the_profile_hands_gpus_to_the_container(root: Path) -> None:
    profile = yaml.safe_load((root / "slurm" / "config.yaml").read_text())
    assert profile["apptainer-args"] == "--nv"


def test_no_image_is_one_line_before_the_first_job(snakemake: Shell, project_copy) -> None:
    done = snakemake(project_copy("no-image"), "-n", *APPTAINER)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: config.yaml: container is not set,")


def test_what_the_image_cannot_start_is_said() -> None:
    check_image("docker://ghcr.io/somebody/safety-tax")
    with pytest.raises(InputError, match=r"absent\.sif: no such image"):
        check_image("absent.sif")
    check_command("safety_sft mine", 1, None)
    check_command("generate_samples mine", 1, "/opt/vllm/bin/python")
    with pytest.raises(InputError, match="safety_sft mine asks for 2 nodes"):
        check_command("safety_sft mine", 2, None)
    with pytest.raises(InputError, match=r"\.venv-vllm/bin/python: a Python of the clone"):
        check_command("generate_samples mine", 1, ".venv-vllm/bin/python")


@pytest.mark.slow
def test_a_run_in_the_image_makes_the_tables_of_a_run_without(
    snakemake: Shell, project_copy, finished: Path
) -> None:
    image = os.environ.get("SAFETY_TAX_IMAGE")
    if not image or not shutil.which("apptainer"):
        pytest.skip(
            "needs apptainer and SAFETY_TAX_IMAGE, the image that envs/apptainer.def builds"
        )
    folder = project_copy("in-image")
    config = ("--config", "experiment=tiny", f"container={image}")
    done = snakemake(folder, "-c2", *APPTAINER, *config)
    assert done.returncode == 0, done.stderr
    (log,) = (folder / ".snakemake/log").glob("*.log")
    assert log.read_text().count(f"Activating singularity image {image}") >= 16
    for name in ("tradeoff.csv", "tradeoff.md"):
        file = Path("results/tiny/report", name)
        assert without_times(folder / file) == without_times(finished / file)
