"""Checks before a run, on what real `sinfo` and real job logs print."""

from __future__ import annotations

import os
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from workflow.scripts.cluster.driver import claim_experiment
from workflow.scripts.cluster.slurm import (
    Ask,
    Nodes,
    attempt_logs,
    check_asks,
    check_names,
    check_profile,
    explain_failure,
    find_orphans,
    limit_nodes,
    parse_minutes,
    parse_nodes,
    query_nodes,
    room_to_grow,
)
from workflow.scripts.common.errors import InputError

SINFO = """\
gpu*|2-00:00:00|128|1031000|gpu:h100:8(S:0-1)
gpu*|2-00:00:00|96|515000|gpu:a100:4,nvme:1
gpu-large|7-00:00:00|128|515000|gpu:h100:8
cpu|infinite|64|257000|(null)
"""
ASK = Ask("safety_sft", "gpu", 8, 64, 360_000, 430)


def test_sinfo_is_read_with_models_counts_and_limits() -> None:
    h100, a100, _, cpu = parse_nodes(SINFO)
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
    check_asks([Ask("safety_sft", "", 8, 64, 360_000, 430)], parse_nodes(SINFO))
    # one partition of a list has the time, the other has the memory
    long, large = {"minutes": 9000}, {"mem_mb": 1_000_000}
    for more in (long, large):
        check_asks([replace(ASK, partition="gpu,gpu-large", **more)], parse_nodes(SINFO))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"partition": "gpux"}, "slurm_partition: 'gpux' is no partition .* one of cpu, gpu"),
        ({"partition": "gpu,gpux"}, "slurm_partition: 'gpux' is no partition"),
        (
            {"partition": "gpu,gpu-large", "minutes": 9000, "mem_mb": 1_000_000},
            "1000000 MB and 9000 minutes, which no node of partition gpu, gpu-large has together",
        ),
        ({"gpus": 16}, "safety_sft asks for 16 GPUs .* at most 8"),
        ({"partition": "cpu", "gpus": 1}, "asks for 1 GPUs .* partition cpu has at most 0"),
        ({"cpus": 256}, "asks for 256 CPUs .* at most 128"),
        ({"mem_mb": 2_000_000}, "asks for 2000000 MB .* at most 1031000"),
        ({"minutes": 4000}, "asks for 4000 minutes .* at most 2880"),
        ({"model": "h200"}, "gpu_model: 'h200' is on no node .* one of a100, h100"),
    ],
)
def test_what_no_node_can_hold_is_said_in_one_line(change: dict[str, object], message: str) -> None:
    ask = replace(ASK, **change)
    with pytest.raises(InputError, match=message) as error:
        check_asks([ASK, ask], parse_nodes(SINFO))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("partition", "room"),
    [
        ("gpu", {"mem_mb": 1_031_000, "runtime": 2880}),
        ("", {"mem_mb": 1_031_000, "runtime": 2880}),
        # what one of them has, not the best of both
        ("gpu,gpu-large", {"mem_mb": 515_000, "runtime": 10080}),
        ("cpu", {}),
    ],
)
def test_retries_have_the_room_of_one_node_that_holds_the_first_attempt(
    partition: str, room: dict[str, float]
) -> None:
    assert room_to_grow(replace(ASK, partition=partition), parse_nodes(SINFO)) == room


def test_limits_of_the_partition_file_count_where_they_are_lower() -> None:
    limits = {"gpu": (400_000, 1440), "cpu": (inf, inf)}
    nodes = limit_nodes(parse_nodes(SINFO), limits)
    assert room_to_grow(ASK, nodes) == {"mem_mb": 400_000, "runtime": 1440}
    assert nodes[2:] == parse_nodes(SINFO)[2:]


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"slurm_partiton": "gpu"}, "unknown key 'slurm_partiton', expected one of slurm_part"),
        ({"gres": "gpu:8"}, "gres: 'gpu:8', expected the name of GPUs alone"),
        ({"max_runtime": "12h"}, "max_runtime: '12h', expected a whole number"),
    ],
)
def test_a_wrong_line_of_the_profile_is_named(setting: dict[str, str], reason: str) -> None:
    check_profile({"slurm_partition": "gpu", "gres": "gpu", "max_runtime": "720", "mem_mb": "1"})
    with pytest.raises(InputError, match=reason):
        check_profile(setting)


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


def test_orphans_are_the_jobs_of_this_clones_dead_drivers_whatever_their_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for squeue prints what Slurm's own prints; tests/slurm has the real one."""
    uuid, clone = "0b0e8a52-4d2c-4a3e-9d0e-6c1a2f3b4c5d", tmp_path / "clone"
    rows = [
        f"1|careful_{uuid}|{clone}",
        f"2|paper_{uuid}|{clone}",  # its driver lives
        f"3|dead_one_{uuid}|{clone}",
        f"4|dead_one_{uuid}|{tmp_path}/other",
        f"5|interactive|{clone}",
    ]
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text("#!/bin/sh\n" + "".join(f"echo '{row}'\n" for row in rows))
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{squeue.parent}{os.pathsep}{os.environ['PATH']}")
    claim_experiment("dead_one", clone).close()
    with claim_experiment("paper", clone), claim_experiment("careful", clone):
        assert find_orphans("careful", clone) == ["1", "3"]
    assert find_orphans("careful", clone) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("prefix", "logs"),
    [("paper", "results/mine/logs/slurm"), ("mine", "results/paper/logs/slurm"), ("", None)],
)
def test_a_profile_that_names_jobs_and_logs_otherwise_is_refused(
    monkeypatch, tmp_path, prefix, logs
):
    monkeypatch.chdir(tmp_path)
    wanted = tmp_path / "results/mine/logs/slurm"
    for right in ("results/mine/logs/slurm", wanted):
        check_names("mine", right, "mine", wanted)
    with pytest.raises(InputError, match=f"slurm-jobname-prefix is {prefix!r} .*expected 'mine'"):
        check_names(prefix, logs, "mine", wanted)
