"""Measure what an experiment costs on this machine: wall time, peak memory, jobs, second run.

Removes the experiment's results first, so that everything is made. Memory is that of all processes
of the run together (resident, sampled every half second; shared pages count once per process).

    python benchmarks/micro_cost.py [--experiment micro] [--cores 2]
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path


def measure(command: list[str]) -> tuple[float, float, str]:
    """Run a command; return (wall seconds, peak MB of its process tree, its output)."""
    import psutil

    start, peak = time.monotonic(), 0
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    tree = psutil.Process(process.pid)
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or []))
    reader.start()
    while process.poll() is None:
        resident = 0
        for member in [tree, *tree.children(recursive=True)]:
            try:
                resident += member.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        peak = max(peak, resident)
        time.sleep(0.5)
    reader.join()
    if process.returncode:
        sys.exit("".join(lines[-40:]))
    return time.monotonic() - start, peak / 2**20, "".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--experiment", default="micro")
    parser.add_argument("--cores", default="2")
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path.cwd()))
    from workflow.scripts.graph.jobs import read_graph

    graph = read_graph(arguments.experiment, Path.cwd())
    for name in graph.results:
        shutil.rmtree(graph.folder(name), ignore_errors=True)
    command = [sys.executable, "-m", "snakemake", "--cores", arguments.cores]
    command += ["--config", f"experiment={arguments.experiment}"]
    wall, peak, output = measure(command)
    jobs = re.findall(r"^total +(\d+)$", output, re.M)
    print(f"first run   {wall:7.1f} s wall, {peak:6.0f} MB peak, {jobs[0] if jobs else 0} jobs")
    wall, peak, output = measure(command)
    nothing = "no job" if "Nothing to be done" in output else "jobs were run"
    print(f"second run  {wall:7.1f} s wall, {peak:6.0f} MB peak, {nothing}")


if __name__ == "__main__":
    main()
