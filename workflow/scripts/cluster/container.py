"""What is checked where `--software-deployment-method apptainer` runs the jobs in an image."""

from __future__ import annotations

from pathlib import Path

from workflow.scripts.common.errors import InputError


def check_image(image: str | None) -> None:
    """Make sure that there is an image: a file, a folder, or a URL that Apptainer pulls.

    Raises:
        InputError: None is set, or the file is missing.
    """
    if not image:
        raise InputError(
            "config.yaml: container is not set, expected the image for jobs under "
            "--software-deployment-method apptainer: docs/slurm.md tells how to build one"
        )
    if "://" not in image and not Path(image).exists():
        raise InputError(f"config.yaml: container: {image}: no such image, expected a file or URL")


def check_command(name: str, nodes: int, python: str | None) -> None:
    """Make sure that an image has what a job starts.

    Args:
        name: Of the job.
        nodes: How many it runs on.
        python: The interpreter of another environment that it needs.

    Raises:
        InputError: It starts tasks on other nodes, or a Python of the clone.
    """
    if nodes > 1:
        raise InputError(
            f"{name} asks for {nodes} nodes, where srun starts a task on each, which it cannot "
            "from a container: expected one node, or a run without one"
        )
    if python and not Path(python).is_absolute():
        raise InputError(
            f"config.yaml: vllm_python: {python}: a Python of the clone does not run in a "
            "container, expected that of the image, such as /opt/vllm/bin/python"
        )
