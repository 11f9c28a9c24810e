"""Every command that the README and the docs show is one that is taken.

Those of docs/first-hour.md really run, in test_first_hour.py. Here `make` knows the target, a
script knows the options, and Snakemake plans the run; programs that are not ours are listed.
"""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
# Not ours, or nothing to check without a network, a cluster or an image.
NOT_OURS = {"git", "source", "cp", "cd", "sinfo", "squeue", "apptainer", "docker", "python3", "pip"}
NEEDS_AN_IMAGE = "--software-deployment-method"  # test_container.py


def commands() -> list[str]:
    """Return the commands of the pages: all lines, or where some begin with $, these alone."""
    found: dict[str, None] = {}
    for page in PAGES:
        for block in BLOCK.findall(page.read_text()):
            lines = block.replace("\\\n", " ").splitlines()
            for line in [line[2:] for line in lines if line.startswith("$ ")] or lines:
                words = shlex.split(line, comments=True)
                for both, parts in itertools.groupby(words, lambda word: word == "&&"):
                    if not both:
                        found[shlex.join(parts)] = None
    return list(found)


def run(
    words: list[str], folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def clone(project_copy) -> Path:
    folder = project_copy("docs")
    (folder / "experiments/mine.yaml").write_text((folder / "experiments/micro.yaml").read_text())
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_docs_is_taken(command, clone, shell_environment):
    words = shlex.split(command)
    while "=" in words[0]:  # a variable of the environment
        words.pop(0)
    program = Path(words[0]).name
    if program == "make":
        done = run(["make", "--dry-run", *words[1:]], clone, shell_environment)
        assert done.returncode == 0, done.stderr
    elif program == "snakemake" and NEEDS_AN_IMAGE not in words:
        done = run(["snakemake", "--quiet", "rules", "-n", *words[1:]], clone, shell_environment)
        assert done.returncode == 0 and "total" in done.stdout, done.stderr
    elif program == "python":
        script = words[1:3] if words[1] == "-m" else words[1:2]
        done = run([sys.executable, *script, "--help"], clone, shell_environment)
        assert done.returncode == 0, done.stderr
        options = [word for word in words if word.startswith("--")]
        assert all(one in done.stdout for one in options), done.stdout
    else:
        assert program in NOT_OURS or NEEDS_AN_IMAGE in words
