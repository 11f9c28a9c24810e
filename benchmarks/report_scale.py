"""Measure how the report's tables grow with verdicts: time and peak memory of whole processes.

    python benchmarks/report_scale.py --verdicts 250000 1000000

Made-up scores of 100 runs (base, LRM and 32 alignments, three seeds each) on 10 benchmarks (4
reasoning, 4 harmful, 2 benign), with as many samples as it takes. Each size is read and made into
tables by a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import random
import resource
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

RUNS, SEEDS = 100, 3
KINDS = {"reasoning": 4, "harmful": 4, "benign": 2}
BENCHMARKS = {f"{kind}{k}": kind for kind, count in KINDS.items() for k in range(count)}


def write_inputs(folder: Path, verdicts: int) -> Path:
    """Write scores of so many made-up verdicts, and the `inputs.json` of a report on them."""
    left = RUNS - 2 * SEEDS
    samples = verdicts // (RUNS * len(BENCHMARKS))
    alignments = {f"method{k}": {"data": "refusals"} for k in range(-(-left // SEEDS))}
    seeds = range(1, SEEDS + 1)
    runs = [f"{role}/tiny/seed{seed}" for role in ("base", "lrm") for seed in seeds]
    runs += [f"aligned/tiny/{name}/seed{seed}" for name in alignments for seed in seeds][:left]
    scores = [
        {"run": run, "benchmark": name, "scorer": "rules", "folder": str(folder / run / name)}
        for run in runs
        for name in BENCHMARKS
    ]
    for one in scores:
        write_score(Path(one["folder"]), one["run"], BENCHMARKS[one["benchmark"]], samples)
    experiment = {"bases": {"tiny": {}}, "lrms": {"tiny": {"base": "tiny"}}}
    experiment |= {"alignments": alignments}
    experiment["benchmarks"] = {name: {"kind": kind} for name, kind in BENCHMARKS.items()}
    path = folder / "inputs.json"
    path.write_text(json.dumps({"experiment": experiment, "scores": scores}))
    return path


def write_score(folder: Path, run: str, kind: str, samples: int) -> None:
    """Write the made-up score of a run on a benchmark."""
    rng = random.Random(str(folder))
    checkpoint = "epoch1" if run.startswith("aligned") else "final"
    lines = []
    for item in range(samples):
        hit = rng.random() < 0.5
        flags = {"reasoning": {"correct": hit}, "benign": {"refused": hit}}
        flags["harmful"] = {"harmful": hit, "refused": not hit, "harmful_thinking": hit}
        flags["harmful"] |= {"complied": hit, "harmful_strict": hit and rng.random() < 0.9}
        verdict = {"checkpoint": checkpoint, "item_id": f"{kind}-{item:05d}", "repeat": 0}
        lines.append(json.dumps({**verdict, "state": "ok", "valid": True, **flags[kind]}))
    folder.mkdir(parents=True)
    (folder / "verdicts.jsonl").write_text("\n".join(lines))
    summary = {"n": samples, "thinking_tokens": {"mean": 40.0, "sd": 9.0}}
    score = {"format": 1, "kind": kind, "checkpoints": {checkpoint: summary}}
    (folder / "score.json").write_text(json.dumps(score))


def measure(inputs: Path, found: multiprocessing.SimpleQueue) -> None:
    """Read everything and make the tables; put (s to read, s in all, peak MB) into `found`."""
    from workflow.scripts.report import build_report
    from workflow.scripts.report.inputs import read_inputs
    from workflow.scripts.report.tables.registry import build_tables
    from workflow.scripts.report.verdicts import read_verdicts

    read_s = 0.0

    def timed(*arguments):
        nonlocal read_s
        start = time.process_time()
        verdicts = read_verdicts(*arguments)
        read_s = time.process_time() - start
        return verdicts

    build_report.read_verdicts = timed
    started = time.process_time()
    build_tables(build_report.build_report(read_inputs(inputs)))
    took = time.process_time() - started
    found.put((read_s, took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--verdicts", type=int, nargs="+", default=[250_000, 1_000_000])
    sizes = parser.parse_args().verdicts
    print(f"{platform.machine()}, Python {platform.python_version()}, pandas {version('pandas')}")
    print("verdicts   read, CPU s   in all, CPU s   peak MB")
    context = multiprocessing.get_context("spawn")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            found = context.SimpleQueue()
            child = context.Process(target=measure, args=(write_inputs(Path(folder), size), found))
            child.start()
            child.join()
            read_s, took, peak = found.get()
            print(f"{size:8,}   {read_s:11.1f}   {took:13.1f}   {peak:7.0f}", flush=True)


if __name__ == "__main__":
    main()
