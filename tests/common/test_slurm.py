"""Checks before a run, on what real `sinfo` and real job logs print."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.slurm import (
    Ask,
    Nodes,
    attempt_logs,
    check_asks,
    explain_failure,
    parse_minutes,
    parse_nodes,
    query_nodes,
)

SINFO = """\
gpu*|2-00:00:00|128|1031000|gpu:h100:8(S:0-1)
gpu*|2-00:00:00|96+|515000+|gpu:a100:4,nvme:1
cpu|infinite|64|257000|(null)
"""
ASK = Ask("safety_sft", "gpu", 8, 64, 360_000, 430)


def test_sinfo_is_read_with_models_counts_and_limits() -> None:
    h100, a100, cpu = parse_nodes(SINFO)
    assert h100 == Nodes("gpu", True, 2880, 128, 1_031_000, 8, ("h100",))
    assert (a100.cpus, a100.mem_mb, a100.gpus, a100.models) == (96, 515_000, 4, ("a100",))
    assert (cpu.partition, cpu.default, cpu.minutes, cpu.gpus) == ("cpu", False, float("inf"), 0)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("7-00:00:00", 10080),
        ("2-12", 3600),
        ("1:30:00", 90),
        ("30:00", 30),
        ("15", 15),
        ("infinite", float("inf")),
        ("n/a", float("inf")),
    ],
)
def test_time_limits_are_read_as_slurm_writes_them(text: str, minutes: float) -> None:
    assert parse_minutes(text) == minutes


def test_a_job_that_some_node_can_hold_passes() -> None:
    check_asks([ASK, Ask("make_report", "cpu", 0, 1, 4000, 60), ASK], parse_nodes(SINFO))
    check_asks([Ask("safety_sft", None, 8, 64, 360_000, 430)], parse_nodes(SINFO))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"partition": "gpux"}, "slurm_partition: 'gpux' is no partition .* one of cpu, gpu"),
        ({"gpus": 16}, "safety_sft asks for 16 GPUs .* at most 8"),
        ({"partition": "cpu", "gpus": 1}, "asks for 1 GPUs .* partition cpu has at most 0"),
        ({"cpus": 256}, "asks for 256 CPUs .* at most 128"),
        ({"mem_mb": 2_000_000}, "asks for 2000000 MB .* at most 1031000"),
        ({"minutes": 4000}, "asks for 4000 minutes .* at most 2880"),
        ({"model": "h200"}, "gpu_model: 'h200' is on no node .* one of a100, h100"),
    ],
)
def test_what_no_node_can_hold_is_said_in_one_line(change: dict[str, object], message: str) -> None:
    ask = Ask(**{**ASK.__dict__, **change})
    with pytest.raises(InputError, match=message) as error:
        check_asks([ASK, ask], parse_nodes(SINFO))
    assert "\n" not in str(error.value)


def test_a_machine_without_slurm_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="no Slurm on this machine"):
        query_nodes()


def test_a_missing_environment_on_the_compute_node_is_recognised(tmp_path: Path) -> None:
    log = tmp_path / "11.log"
    python = "/home/me/clone/.venv/bin/python"
    log.write_text(f"/var/spool/slurmd/job00011/slurm_script: 4: {python}: not found\n")
    assert "the compute node has no" in (explain_failure([log], python) or "")


def test_the_last_error_of_a_log_is_the_reason(tmp_path: Path) -> None:
    log = tmp_path / "12.log"
    log.write_text("error: an older one\nline\nerror: results/x: no such file\nError in rule x:\n")
    assert explain_failure([log], "python") == "results/x: no such file"
    log.write_text(
        "slurmstepd-node01: error: *** JOB 64 ON node01 CANCELLED AT 2026-11-24T08:24:40 DUE TO "
        "TIME LIMIT ***\n"
    )
    assert "TIME LIMIT" in (explain_failure([tmp_path / "absent.log", log], "python") or "")
    log.write_text("nothing to see\n")
    assert explain_failure([log], "python") is None


def test_logs_of_all_attempts_are_found_latest_first(tmp_path: Path) -> None:
    place = tmp_path / "rule_safety_sft" / "micro_tiny_directrefusal_seed1"
    place.mkdir(parents=True)
    for job in (9, 10, 11):
        (place / f"{job}.log").touch()
    found = attempt_logs(tmp_path, "safety_sft", ["micro", "tiny", "directrefusal", "seed1"])
    assert [os.path.basename(path) for path in found] == ["11.log", "10.log", "9.log"]
