"""Before the first job is handed to Slurm: is the cluster there, does it have room for every job,
and do jobs of killed runs still write results? Afterwards: which jobs have failed, and why?

Plain Snakemake waits for ever without Slurm, submits what no node can hold once per retry, and
knows nothing of jobs that have outlived their driver.
"""

from __future__ import annotations

import getpass
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from workflow.scripts.cluster.driver import is_running
from workflow.scripts.common.errors import InputError

PROFILE = "slurm/config.yaml"
# What `default-resources` of the profile may hold: the site's own keys, those of the executor
# plugin that make sense for every job, and the three that Snakemake adds.
SITE_KEYS = (
    *("slurm_partition", "slurm_account", "qos", "gpu_model", "gres", "constraint", "slurm_extra"),
    *("max_mem_mb", "max_runtime", "clusters", "cpus_per_task", "cpus_per_gpu"),
)
SNAKEMAKE_KEYS = ("mem_mb", "disk_mb", "tmpdir")
ANSWER_S = 30  # a busy controller answers within it
# The plugin lets up to 180 s pass between two questions for states (2.8.0, `max_sleep_time`), and
# never hears of a job that ended and was forgotten in between. A minute for slow answers.
LONGEST_GAP_S = 240
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
    """What a job asks for, per node; `partition` "" means the default, `a,b` for either."""

    rule: str
    partition: str
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
    return parse_nodes(ask_slurm("sinfo", "--noheader", "--exact", "--format=%P|%l|%c|%m|%G"))


def parse_nodes(text: str) -> list[Nodes]:
    """Read `sinfo --exact --format=%P|%l|%c|%m|%G`, a line for each kind of node."""
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
                int(cpus),
                int(mem_mb),
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


def check_profile(settings: Mapping[str, str]) -> None:
    """Check the profile's `default-resources`: Snakemake would carry a misspelt key along.

    Raises:
        InputError: For the first key that is unknown, or value that is of no use.
    """
    for key, value in settings.items():
        where = f"{PROFILE}: default-resources: "
        if key not in SITE_KEYS + SNAKEMAKE_KEYS:
            raise InputError(f"{where}unknown key {key!r}, expected one of {', '.join(SITE_KEYS)}")
        if key == "gres" and not re.fullmatch(r"\w*gpu\w*", value):
            raise InputError(f"{where}gres: {value!r}, expected the name of GPUs alone, as in gpu")
        if key in ("max_mem_mb", "max_runtime") and not value.isdecimal():
            raise InputError(f"{where}{key}: {value!r}, expected a whole number")


def check_names(prefix: str | None, logs: str | Path | None, experiment: str, wanted: Path) -> None:
    """Make sure that the profile has Slurm's jobs and logs bear the experiment's name.

    Jobs of a driver that died are found by their name, attempts that failed by their logs.

    Args:
        prefix: The profile's `slurm-jobname-prefix`.
        logs: Its `slurm-logdir`, relative to the working directory or absolute.
        experiment: The experiment's name.
        wanted: Where the logs belong.

    Raises:
        InputError: They do not.
    """
    if prefix != experiment or logs is None or Path(logs).resolve() != wanted.resolve():
        raise InputError(
            f"{PROFILE}: slurm-jobname-prefix is {prefix!r} and slurm-logdir {str(logs or '')!r}, "
            f"expected {experiment!r} and {str(wanted)!r}: the template of the profile that comes "
            "with the workflow gives both"
        )


def check_asks(asks: Iterable[Ask], nodes: list[Nodes]) -> None:
    """Make sure that some node can hold each job.

    Raises:
        InputError: For the first that fits nowhere: what is asked, what there is, what to change.
    """
    for ask in asks:
        here = _nodes_of(ask.partition, nodes)
        if not here:  # no default partition: sbatch decides
            continue
        models = sorted({model for node in here for model in node.models})
        if ask.model and ask.gpus and ask.model not in models:
            raise InputError(
                f"{PROFILE}: gpu_model: {ask.model!r} is on no node of partition "
                f"{_names(here)}, expected one of {', '.join(models) or 'none'}"
            )
        if any(_holds(node, ask) for node in here):
            continue
        change = (
            f"change resources.{ask.rule} in the experiment, or slurm_partition, max_mem_mb or "
            f"max_runtime in {PROFILE}"
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
                    f"{_names(here)} has at most {most:.0f}: {change}"
                )
        raise InputError(
            f"rule {ask.rule} asks for {ask.gpus} GPUs, {ask.cpus} CPUs, {ask.mem_mb} MB and "
            f"{ask.minutes} minutes, which no node of partition {_names(here)} has together: "
            f"{change}"
        )


def limit_nodes(nodes: Iterable[Nodes], limits: Mapping[str, tuple[float, float]]) -> list[Nodes]:
    """Return the nodes with no more memory and minutes than `limits` gives their partition."""
    limited = []
    for node in nodes:
        mem_mb, minutes = limits.get(node.partition, (inf, inf))
        limited.append(
            replace(node, mem_mb=int(min(node.mem_mb, mem_mb)), minutes=min(node.minutes, minutes))
        )
    return limited


def room_to_grow(ask: Ask, nodes: list[Nodes]) -> dict[str, float]:
    """Return the most memory and minutes that retries of a job may ask for.

    It is what one node has: of those that hold the first attempt, the one with the longest time.
    """
    holding = [node for node in _nodes_of(ask.partition, nodes) if _holds(node, ask)]
    if not holding:
        return {}
    best = max(holding, key=lambda node: (node.minutes, node.mem_mb))
    return {"mem_mb": best.mem_mb, "runtime": best.minutes}


def _nodes_of(partition: str, nodes: list[Nodes]) -> list[Nodes]:
    """Return the nodes of a partition, of all in a list, or of the default one."""
    if not partition:
        return [node for node in nodes if node.default]
    known = sorted({node.partition for node in nodes})
    names = partition.split(",")
    for name in names:
        if name not in known:
            raise InputError(
                f"{PROFILE}: slurm_partition: {name!r} is no partition of this cluster, expected "
                f"one of {', '.join(known)}"
            )
    return [node for node in nodes if node.partition in names]


def _names(nodes: Iterable[Nodes]) -> str:
    return ", ".join(dict.fromkeys(node.partition for node in nodes))


def _holds(node: Nodes, ask: Ask) -> bool:
    return (
        (node.gpus >= ask.gpus)
        and (node.cpus >= ask.cpus)
        and (node.mem_mb >= ask.mem_mb)
        and (node.minutes >= ask.minutes)
        and (not ask.gpus or not ask.model or ask.model in node.models)
    )


def check_status_command(command: str | None) -> None:
    """Make sure that the plugin will hear of every job's end.

    Args:
        command: `sacct` or `squeue`, as the profile or the plugin's default has it.

    Raises:
        InputError: `sacct` does not answer, or `squeue` forgets jobs before they are asked about.
    """
    if command == "sacct" and shutil.which("sacct"):
        try:
            ask_slurm("sacct", "--noheader", "--allocations", "--starttime=now")
        except InputError as error:
            raise InputError(
                f"{error}; expected accounting, or slurm-status-command: squeue in {PROFILE}"
            ) from None
        return
    age = min_job_age()
    if age is not None and age < LONGEST_GAP_S:
        raise InputError(
            f"MinJobAge of this cluster is {age} s: squeue forgets finished jobs before they "
            f"are asked about, expected slurm-status-command: sacct in {PROFILE}, or a MinJobAge "
            f"of at least {LONGEST_GAP_S} s"
        )


def min_job_age() -> int | None:
    """Return for how many seconds the controller knows a finished job; None where it says not."""
    found = re.search(r"MinJobAge\s*=\s*(\d+)", ask_slurm("scontrol", "show", "config"))
    return int(found[1]) if found else None


def check_requeue(requeue: bool) -> None:
    """Raise `InputError` unless jobs may go back into the queue: else the plugin waits for ever."""
    if not requeue:
        raise InputError(
            f"slurm-requeue is off, expected slurm-requeue: true in {PROFILE}: a job that is "
            "preempted could not go back into the queue, and the run would wait for it"
        )


def list_jobs(folder: Path, *options: str) -> list[tuple[str, str]]:
    """Return id and experiment of each of this user's jobs that was submitted from a folder.

    Args:
        folder: The clone.
        options: Of squeue, which lists what is queued or running without any.
    """
    command = ("squeue", "--noheader", f"--user={getpass.getuser()}", "--format=%A|%j|%Z")
    found = []
    for line in ask_slurm(*command, *options).splitlines():
        job, name, place = line.split("|", 2)
        named = re.fullmatch(f"(.+)_{UUID}", name)
        if named and Path(place) == folder:
            found.append((job, named[1]))
    return found


def find_orphans(experiment: str, folder: Path) -> list[str]:
    """Return the ids of jobs that were submitted from `folder` by drivers that are dead.

    Called by the one driver that the experiment has, before it submits anything: whatever is there
    of this experiment was submitted by an earlier driver. Jobs of other experiments may write
    results that this one needs too.
    """
    return sorted(
        job
        for job, named in list_jobs(folder)
        if named == experiment or not is_running(named, folder)
    )


def cancel_orphans(experiment: str, folder: Path, seconds: float = 300) -> list[str]:
    """Cancel what `find_orphans` finds and wait for its end.

    What the jobs had reached is in their state folders, from where new jobs go on.

    Raises:
        InputError: Some are still there after `seconds`.
    """
    found = left = find_orphans(experiment, folder)
    end = time.monotonic() + seconds
    while left:
        ask_slurm("scancel", *left)
        time.sleep(1)
        left = find_orphans(experiment, folder)
        if left and time.monotonic() > end:
            raise InputError(
                f"Slurm jobs {', '.join(left)} of an earlier run still write into results/store "
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


def ask_slurm(command: str, *arguments: str) -> str:
    """Return what a command of Slurm prints.

    Raises:
        InputError: Slurm is not there, does not answer within 30 s, or says no.
    """
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
