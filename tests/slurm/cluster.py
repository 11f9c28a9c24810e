"""A real Slurm controller with two pretended nodes of eight pretended GPUs, on this machine, and a
small one without.

Slurm's own daemons from Debian's packages; only the hardware is pretended: `gres.conf` names null
devices as GPUs, and `config_overrides` lets a node claim 64 CPUs and 1 TB. Needs root, no systemd,
no cgroups and no accounting database. The configuration has to be in /etc/slurm, where the jobs'
own `srun` looks; a configuration that is not ours is left alone.

Partitions: `cpu`, the default, has short jobs and no GPU; `gpu` has both GPU nodes, `gpu-large` the
second one; a job in `spot` is ended, and not started again, when one of them wants its node.

python tests/slurm/cluster.py up      # prints the nodes; `down` removes all but the packages
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Daemons are where a user's PATH does not look.
os.environ["PATH"] += f"{os.pathsep}/usr/sbin"

PACKAGES = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "slurm-client": "sinfo",
    "munge": "munged",
}
ETC = Path("/etc/slurm")
MARK = "# written by tests/slurm/cluster.py"
GPU_NODES, CPU_NODE = ("node01", "node02"), "cpu01"
NODES = (*GPU_NODES, CPU_NODE)
GPUS = 8
CPU_NODE_MB, CPU_MINUTES = 5000, 70  # less than the second attempt of a job of 4000 MB and an hour

SLURM_CONF = """\
{mark}
ClusterName=pretended
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# a requeued job waits until its credentials are sure to have expired
AuthInfo=socket={folder}/run/munge.socket,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
# by process group: a job whose shell dies first is still found and killed as a whole
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
AccountingStoreFlags=job_comment
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,batch_sched_delay=0,sched_interval=5
GresTypes=gpu
ReturnToService=2
# finished jobs must stay visible to squeue, for there is no sacct
MinJobAge=3600
SlurmdTimeout=30
SlurmctldTimeout=30
MessageTimeout=10
KillWait=3
InactiveLimit=0
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
{nodes}
PartitionName=cpu Nodes={cpu_node} Default=YES MaxTime={cpu_minutes} DefaultTime=10 State=UP
PartitionName=gpu Nodes={gpu_nodes} MaxTime=7-0 DefaultTime=60 PriorityTier=2 PreemptMode=OFF
PartitionName=gpu-large Nodes=node02 MaxTime=7-0 DefaultTime=60 PriorityTier=2 PreemptMode=OFF
PartitionName=spot Nodes=node02 MaxTime=7-0 DefaultTime=60 PriorityTier=1 PreemptMode=CANCEL
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} ThreadsPerCore=1 "
    "State=UNKNOWN {has}"
)
GPU_NODE_HAS = f"Sockets=2 CoresPerSocket=32 RealMemory=1000000 Gres=gpu:h100:{GPUS}"
CPU_NODE_HAS = f"Sockets=1 CoresPerSocket=16 RealMemory={CPU_NODE_MB}"
GRES_CONF = """\
{mark}
AutoDetect=off
NodeName=node[01-02] Name=gpu Type=h100 File={folder}/dev/gpu[0-{last}]
"""


class Unavailable(Exception):
    """This machine cannot have the cluster; the message says why."""


class Cluster:
    """The cluster, all of whose files stand in one folder (besides two in /etc/slurm)."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.gettempdir()) / "pretended-slurm"
        self.run = self.folder / "run"

    def up(self) -> None:
        """Install what is missing and start all daemons; nothing happens when they run.

        Raises:
            Unavailable: No root, no packages, or a Slurm configuration that is somebody else's.
        """
        self._check()
        if self.alive():
            return
        self.down()
        _install()
        self._configure()
        self._start_munge()
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        _wait("the nodes", 30, lambda: self.nodes_up() == len(NODES))

    def down(self) -> None:
        """End the jobs, then the daemons by their process ids, and remove every file."""
        if self._pid("slurmctld"):
            jobs = _output("squeue", "--noheader", "--format=%A").split()
            if jobs:
                subprocess.run(["scancel", *jobs], check=False)
                _wait("the jobs' end", 20, lambda: not _output("squeue", "--noheader"))
        for node in NODES:
            self.stop(f"slurmd-{node}")
        self.stop("slurmctld")
        self.stop("munged")
        for file in (ETC / "slurm.conf", ETC / "gres.conf"):
            if _is_ours(file):
                file.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def alive(self) -> bool:
        """Say whether the controller answers."""
        return bool(self._pid("slurmctld")) and self._answers()

    def start_controller(self) -> None:
        subprocess.run(["slurmctld"], check=True)
        _wait(f"slurmctld, see {self.folder}/slurmctld.log", 20, self._answers)

    @staticmethod
    @contextmanager
    def configured(before: str, after: str) -> Iterator[None]:
        """Change a part of slurm.conf in the block; commands read it at their start."""
        conf = ETC / "slurm.conf"
        text = conf.read_text()
        assert before in text
        conf.write_text(text.replace(before, after))
        try:
            yield
        finally:
            conf.write_text(text)

    @staticmethod
    def reconfigure() -> None:
        """Have the controller read slurm.conf."""
        subprocess.run(["scontrol", "reconfigure"], check=True)

    def start_node(self, node: str) -> None:
        subprocess.run(["slurmd", "-N", node], check=True)

    def resume(self, node: str) -> None:
        """Bring a node that was set down back, unless it has come back by itself."""
        subprocess.run(
            ["scontrol", "update", f"NodeName={node}", "State=RESUME"], capture_output=True
        )
        _wait(f"{node} to be up", 60, lambda: self.nodes_up() == len(NODES))

    def stop(self, daemon: str) -> None:
        """End one daemon: `slurmctld`, `munged`, or `slurmd-` and a node's name."""
        pid = self._pid(daemon)
        if not pid:
            return
        os.kill(pid, signal.SIGTERM)
        try:
            _wait(daemon, 10, lambda: not _runs(pid, daemon))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
        (self.run / f"{daemon}.pid").unlink(missing_ok=True)

    @staticmethod
    def nodes_up() -> int:
        states = "idle,mixed,allocated"
        found = _output("sinfo", "--noheader", "--Node", f"--states={states}", "--format=%N")
        return len(set(found.split()))

    def _answers(self) -> bool:
        return subprocess.run(["scontrol", "ping"], capture_output=True).returncode == 0

    def _pid(self, daemon: str) -> int | None:
        """Return the process id in a daemon's pid file, unless another process has it by now."""
        try:
            pid = int((self.run / f"{daemon}.pid").read_text())
        except (OSError, ValueError):
            return None
        return pid if _runs(pid, daemon) else None

    def _check(self) -> None:
        if os.geteuid() != 0:
            raise Unavailable("the pretended Slurm cluster needs root")
        for file in (ETC / "slurm.conf", ETC / "gres.conf"):
            if file.exists() and not _is_ours(file):
                raise Unavailable(f"{file} is not ours: this machine has a Slurm of its own")

    def _configure(self) -> None:
        for name in ("run", "controller", *NODES, "dev"):
            (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o755)
        self.folder.chmod(0o755)  # munge refuses a path that others may write to
        (self.folder / "munge").mkdir(mode=0o700)
        for i in range(GPUS):
            os.mknod(self.folder / "dev" / f"gpu{i}", 0o20666, os.makedev(1, 3))
        host, ports = socket.gethostname().split(".")[0], _free_ports(1 + len(NODES))
        nodes = "\n".join(
            NODE.format(
                name=name,
                host=host,
                port=port,
                has=GPU_NODE_HAS if name in GPU_NODES else CPU_NODE_HAS,
            )
            for name, port in zip(NODES, ports[1:], strict=True)
        )
        fields = {
            **{"mark": MARK, "host": host, "folder": self.folder, "ports": ports, "nodes": nodes},
            **{"cpu_node": CPU_NODE, "gpu_nodes": ",".join(GPU_NODES), "cpu_minutes": CPU_MINUTES},
        }
        ETC.mkdir(exist_ok=True)
        (ETC / "slurm.conf").write_text(SLURM_CONF.format(**fields))
        (ETC / "gres.conf").write_text(GRES_CONF.format(**fields, last=GPUS - 1))

    def _start_munge(self) -> None:
        key = self.folder / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        options = {
            "key-file": key,
            "socket": self.run / "munge.socket",
            "pid-file": self.run / "munged.pid",
            "log-file": self.folder / "munge" / "munged.log",
            "seed-file": self.folder / "munge" / "seed",
        }
        subprocess.run(
            ["munged", *(f"--{key}={value}" for key, value in options.items())], check=True
        )
        _wait("munged", 10, (self.run / "munge.socket").exists)


def _install() -> None:
    missing = [package for package, program in PACKAGES.items() if not shutil.which(program)]
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise Unavailable(f"no {', '.join(missing)}, and no apt-get to install them")
    # keeps the packages from starting daemons of their own
    policy = Path("/usr/sbin/policy-rc.d")
    if made := not policy.exists():
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        for command in (install, ["apt-get", "update"], install):
            result = subprocess.run(command, env=environment, capture_output=True, text=True)
            if result.returncode == 0 and command is install:
                return
    finally:
        if made:
            policy.unlink()
    raise Unavailable(
        f"apt-get cannot install {', '.join(missing)}: {result.stderr.strip()[-200:]}"
    )


def _is_ours(file: Path) -> bool:
    return file.exists() and file.read_text().startswith(MARK)


def _runs(pid: int, daemon: str) -> bool:
    try:
        _, rest = Path(f"/proc/{pid}/stat").read_text().split(" (", 1)
    except OSError:
        return False
    name, state = rest.rsplit(") ", 1)
    return name == daemon.split("-")[0] and state[0] != "Z"  # ended, though nobody has asked


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for free in sockets:
        free.bind(("127.0.0.1", 0))
    ports = [free.getsockname()[1] for free in sockets]
    for free in sockets:
        free.close()
    return ports


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


def _wait(what: str, seconds: float, done: Callable[[], object]) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not there after {seconds:g} s")
        time.sleep(0.1)


if __name__ == "__main__":
    try:
        {"up": Cluster().up, "down": Cluster().down}[sys.argv[1]]()
    except Unavailable as reason:
        sys.exit(f"error: {reason}")
    except (IndexError, KeyError):
        sys.exit(f"usage: python {sys.argv[0]} up|down")
    if sys.argv[1] == "up":
        print(_output("sinfo", "--Node", "--format=%N %t %c %m %G"), end="")
