"""What a user reads when a job fails, and when a target is named."""

from __future__ import annotations

import re
import resource
import subprocess

import pytest

from tests.workflow.driving import command

pytestmark = pytest.mark.slow


def test_a_failure_that_nobody_foresaw_ends_with_its_logs_last_line(
    project_copy, shell_environment
) -> None:
    folder = project_copy("no-space")
    limit = 50_000  # bytes of a file: the operating system refuses more, as a full disk would
    done = subprocess.run(
        command("-c1", "--quiet", "rules", "progress", "--until", "make_micro_data"),
        cwd=folder,
        env=shell_environment,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode != 0
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    told = r"error: make_micro_data micro, \w+: OSError: \[Errno 27\] File too large"
    assert re.fullmatch(told + r" \(results/store/jobs/make_micro_data/micro-\w+\.log\)", line)


def test_the_commands_of_the_docs_for_partial_runs_are_taken(
    project_copy, shell_environment
) -> None:
    folder = project_copy("partial")
    text = (folder / "docs" / "reruns.md").read_text()
    section = text.partition("## Partial runs")[2].partition("\n## ")[0]
    commands = re.findall(r"`(snakemake -c2 [^`]*only=[^`]*)`", section)
    assert len(commands) == 3
    for one in commands:
        dry = one.replace("snakemake -c2", "snakemake --quiet rules -n")
        done = subprocess.run(
            dry, shell=True, cwd=folder, env=shell_environment, capture_output=True, text=True
        )
        assert done.returncode == 0 and "total" in done.stdout, dry + done.stdout + done.stderr
