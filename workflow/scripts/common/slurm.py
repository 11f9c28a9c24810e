"""Before the first job is handed to Slurm: is the cluster there, does it have room for every job,
and do jobs of an earlier, killed run of the same experiment still write its results?

Plain Snakemake waits for ever without Slurm, submits what no node can hold once per retry, and
knows nothing of jobs that have outlived their driver.
"""

from __future__ import annotations

import getpass
import re
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workflow.scripts.common.errors import InputError

ANSWER_S = 30  # a busy controller answers within it
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclass(frozen=True)
class Nodes:
    """Nodes of a kind in a partition. `minutes` is the partition's time limit."""

    partition: str
    default: bool
    minutes: float
    cpus: int
    mem_mb: int
    gpus: int
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ask:
    """What a rule's largest job asks for, per node; `partition` None stands for the default."""

    rule: str
    partition: str | None
    gpus: int
    cpus: int
    mem_mb: int
    minutes: int
    model: str = ""


def query_nodes() -> list[Nodes]:
    """Ask the cluster for its nodes.

    Raises:
        InputError: There is no Slurm on this machine, or its controller does not answer.
    """
    return parse_nodes(_ask("sinfo", "--noheader", "--format=%P|%l|%c|%m|%G"))


def parse_nodes(text: str) -> list[Nodes]:
    """Read `sinfo --format=%P|%l|%c|%m|%G`; a `+` stands behind the least of several values."""
    nodes = []
    for line in text.split():
        partition, limit, cpus, mem_mb, gres = line.split("|")
        # gpu:8, gpu:h100:8(S:0-1), several kinds in a list
        gpus = re.findall(r"gpu(?::([A-Za-z][\w.-]*))?:(\d+)", gres)
        nodes.append(
            Nodes(
                partition.rstrip("*"),
                partition.endswith("*"),
                parse_minutes(limit),
                int(cpus.rstrip("+")),
                int(mem_mb.rstrip("+")),
                sum(int(count) for _, count in gpus),
                tuple(model for model, _ in gpus if model),
            )
        )
    return nodes


def parse_minutes(text: str) -> float:
    """Return the minutes of `[days-]hours:minutes:seconds`, `minutes:seconds` or `infinite`."""
    if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", text):
        return float("inf")
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if days:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    else:
        hours, minutes, seconds = ([0, 0] + (parts if len(parts) > 1 else [*parts, 0]))[-3:]
    return int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60


def check_asks(asks: Iterable[Ask], nodes: list[Nodes]) -> None:
    """Make sure that some node can hold each job.

    Raises:
        InputError: For the first that fits nowhere: what is asked, what there is, what to change.
    """
    known = sorted({node.partition for node in nodes})
    for ask in asks:
        if ask.partition is not None and ask.partition not in known:
            raise InputError(
                f"slurm/config.yaml: slurm_partition: {ask.partition!r} is no partition of this "
                f"cluster, expected one of {', '.join(known)}"
            )
        here = [
            n for n in nodes if n.partition == ask.partition or (not ask.partition and n.default)
        ]
        if not here:  # no default partition: sbatch decides
            continue
        models = sorted({model for node in here for model in node.models})
        if ask.model and ask.gpus and ask.model not in models:
            raise InputError(
                f"slurm/config.yaml: gpu_model: {ask.model!r} is on no node of partition "
                f"{here[0].partition}, expected one of {', '.join(models) or 'none'}"
            )
        for what, wanted, most, unit in (
            ("gpu", ask.gpus, max(n.gpus for n in here), "GPUs"),
            ("threads", ask.cpus, max(n.cpus for n in here), "CPUs"),
            ("mem_mb", ask.mem_mb, max(n.mem_mb for n in here), "MB"),
            ("runtime", ask.minutes, max(n.minutes for n in here), "minutes"),
        ):
            if wanted > most:
                raise InputError(
                    f"rule {ask.rule} asks for {wanted} {unit} ({what}), a node of partition "
                    f"{here[0].partition} has at most {most:.0f}: change resources.{ask.rule} in "
                    "the experiment, or slurm_partition in slurm/config.yaml"
                )


def find_orphans(experiment: str, folder: Path) -> list[str]:
    """Return the ids of this experiment's jobs that were submitted from `folder`.

    Called by the one driver that the experiment has, before it submits anything: whatever is there
    was submitted by a driver that is dead.
    """
    listed = _ask("squeue", "--noheader", f"--user={getpass.getuser()}", "--format=%A|%j|%Z")
    rows = (line.split("|", 2) for line in listed.splitlines())
    name = re.compile(f"{re.escape(experiment)}_{UUID}")
    return sorted({row[0] for row in rows if name.fullmatch(row[1]) and Path(row[2]) == folder})


def cancel_orphans(experiment: str, folder: Path, seconds: float = 300) -> list[str]:
    """Cancel what `find_orphans` finds and wait for its end.

    What the jobs had reached stands in the state folders, from where new jobs go on.

    Raises:
        InputError: Some are still there after `seconds`.
    """
    found = left = find_orphans(experiment, folder)
    end = time.monotonic() + seconds
    while left:
        _ask("scancel", *left)
        time.sleep(1)
        left = find_orphans(experiment, folder)
        if left and time.monotonic() > end:
            raise InputError(
                f"Slurm jobs {', '.join(left)} of an earlier run still write results/{experiment} "
                f"{seconds:g} s after scancel, expected their end"
            )
    return found


def attempt_logs(folder: Path, rule: str, wildcards: Iterable[str]) -> list[Path]:
    """Return the Slurm logs of a job's attempts, the latest first."""
    place = folder / f"rule_{rule}" / "_".join(wildcards).replace("/", "_")
    return sorted(place.glob("*.log"), key=lambda path: int(path.stem), reverse=True)


def explain_failure(logs: Iterable[str | Path], python: str) -> str | None:
    """Return the line of a failed job's logs that says why, where one does.

    Args:
        logs: Paths, most telling log first.
        python: The interpreter that the job was to run.
    """
    lines = [
        line
        for path in map(Path, logs)
        if path.exists()
        for line in reversed(path.read_text(errors="replace").splitlines())
    ]
    for line in lines:
        if python in line and re.search(r"No such file|not found|Permission denied", line):
            return (
                f"the compute node has no {python}: the clone and its .venv have to be in a folder "
                "that login and compute nodes share"
            )
        if re.match(r"ModuleNotFoundError: No module named '(snakemake|workflow)", line):
            return f"the environment on the compute node lacks a package ({line.strip()})"
        if found := re.match(
            r"\s*(?:error: (.*)|slurmstepd\S*: error: (.*(?:CANCELLED|OOM).*))", line
        ):
            return found[1] or found[2]
    return None


def _ask(command: str, *arguments: str) -> str:
    try:
        result = subprocess.run(
            [command, *arguments], capture_output=True, text=True, timeout=ANSWER_S
        )
    except FileNotFoundError:
        raise InputError(
            f"no Slurm on this machine ({command} is not on the PATH), expected a login node of a "
            "cluster; without --profile slurm all runs on this machine"
        ) from None
    except subprocess.TimeoutExpired:
        raise InputError(f"Slurm does not answer: {command} took over {ANSWER_S} s") from None
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no message"]
        raise InputError(f"Slurm does not answer: {lines[-1]}")
    return result.stdout
