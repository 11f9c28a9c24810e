"""What a user does: start Snakemake, read its plan, change the experiment."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import yaml

Shell = Callable[..., subprocess.CompletedProcess[str]]


def command(*arguments: str) -> list[str]:
    """Return the command that starts Snakemake on the test experiment."""
    experiment = [] if "--config" in arguments else ["--config", "experiment=tiny"]
    return [sys.executable, "-m", "snakemake", *arguments, *experiment]


def planned(done: subprocess.CompletedProcess[str]) -> Counter[str]:
    """Return the jobs per rule of a dry-run."""
    assert done.returncode == 0, done.stdout + done.stderr
    table = done.stdout.partition("Job stats:")[2].partition("\n\n")[0]
    counts = dict(re.findall(r"^(\w+) +(\d+)$", table, re.M))
    counts = {rule: count for rule, count in counts.items() if rule not in ("total", "all")}
    return Counter({rule: int(count) for rule, count in counts.items()})


def edit(folder: Path, change: Callable[[dict], None], name: str = "tiny") -> None:
    """Change an experiment of a copy of the project, the test experiment by default."""
    path = folder / f"experiments/{name}.yaml"
    # by way of JSON: what YAML anchors share becomes apart
    experiment = json.loads(json.dumps(yaml.safe_load(path.read_text())))
    change(experiment)
    path.write_text(yaml.safe_dump(experiment, sort_keys=False))


def without_times(file: Path) -> bytes:
    """Return a file of the report without the seconds that CPUs took: no two runs have the same."""
    if file.name == "tradeoff.csv":
        with open(file, newline="") as text:
            rows = list(csv.reader(text))
        kept = [place for place, name in enumerate(rows[0]) if not name.endswith("cpu_seconds")]
        stream = io.StringIO()
        csv.writer(stream).writerows([row[place] for place in kept] for row in rows)
        return stream.getvalue().encode()
    if file.name == "tradeoff.json":
        report = json.loads(file.read_bytes())
        for row in report["rows"]:
            row["cost"] = {k: v for k, v in row["cost"].items() if not k.endswith("cpu_seconds")}
        return json.dumps(report).encode()
    return file.read_bytes()
