"""Measure how long planning takes: three experiments, and grids of 1,000 and 10,000 results.

Each synthetic grid is the micro experiment with so many seeds; beside it, plain Snakemake plans as
many trivial jobs, `touch` for a command: as jobs of one rule per step of the chain, and as so many
rules. Everything is measured in this one run, as whole processes, in CPU seconds (which other users
of the machine disturb less than the clock), best of `--repeats`:

    python benchmarks/plan_speed.py --sizes 1000 10000

Columns: results; `make plan` and `snakemake -n` on our grid; `snakemake -n` on trivial jobs and
rules; how many times the trivial jobs' time the two take.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = (
    *("Snakefile", "config.yaml", "codes.lock"),
    *("rules", "workflow", "experiments", "envs", "profiles"),
)
# A chain per seed, as in the micro experiment: data, base, LRM, aligned models, samples, scores.
TRIVIAL = """
N = {chains}

rule all:
    input:
        [f"out/{{i}}/score/{{m}}/{{b}}" for i in range(N) for m in range(4) for b in range(3)],

rule data:
    output: "out/data"
    shell: "touch {{output}}"

rule base:
    input: "out/data"
    output: "out/{{i}}/base"
    shell: "touch {{output}}"

rule lrm:
    input: "out/{{i}}/base", "out/data"
    output: "out/{{i}}/lrm"
    shell: "touch {{output}}"

rule aligned:
    input: "out/{{i}}/lrm", "out/data"
    output: "out/{{i}}/model/{{m}}"
    shell: "touch {{output}}"

rule generate:
    input: "out/{{i}}/model/{{m}}", "out/data"
    output: "out/{{i}}/generate/{{m}}/{{b}}"
    shell: "touch {{output}}"

rule score:
    input: "out/{{i}}/generate/{{m}}/{{b}}"
    output: "out/{{i}}/score/{{m}}/{{b}}"
    shell: "touch {{output}}"
"""


def trivial_rules(chains: int) -> str:
    """Return the same graph with a rule of its own for every job."""
    rules: list[str] = []

    def add(output: str, *inputs: str) -> str:
        given = ", ".join(f'"{name}"' for name in inputs)
        rules.append(
            f'rule r{len(rules)}:\n    input: {given}\n    output: "{output}"\n'
            '    shell: "touch {output}"\n'
        )
        return output

    data, scores = add("out/data"), []
    for chain in range(chains):
        base = add(f"out/{chain}/base", data)
        lrm = add(f"out/{chain}/lrm", base, data)
        for model in range(4):
            weights = add(f"out/{chain}/model/{model}", lrm, data)
            for benchmark in range(3):
                samples = add(f"out/{chain}/generate/{model}/{benchmark}", weights, data)
                scores.append(add(f"out/{chain}/score/{model}/{benchmark}", samples))
    return f"rule all:\n    input: {scores}\n\n" + "\n".join(rules)


def cpu_seconds() -> float:
    """Return the CPU time of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds(command: list[str], folder: Path, repeats: int) -> float:
    """Return the least CPU time of a command in seconds; ends when it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    times = []
    for _ in range(repeats):
        begin = cpu_seconds()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        times.append(cpu_seconds() - begin)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: {done.stdout[-500:]}{done.stderr[-2000:]}")
    return min(times)


def snakemake(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "-n", "--quiet", "all", *arguments]


def planner(experiment: str) -> list[str]:
    return [sys.executable, "-m", "workflow.scripts.graph.plan", "--experiment", experiment]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sizes", nargs="*", type=int, default=[1000, 10_000], help="results")
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args(argv)
    import yaml

    with tempfile.TemporaryDirectory() as temporary:
        ours = Path(temporary) / "ours"
        ours.mkdir()
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, ours / name)
        for name in ("micro", "paper", "careful"):
            plan = seconds(planner(name), ours, arguments.repeats)
            dry_run = seconds(snakemake("--config", f"experiment={name}"), ours, arguments.repeats)
            print(f"{name}: {plan:.2f} s for make plan, {dry_run:.2f} s for snakemake -n")
        micro = yaml.safe_load((ROOT / "experiments/micro.yaml").read_text())
        print("results  make plan  snakemake -n  trivial rules (times)  trivial jobs (times)")
        for size in arguments.sizes:
            # per seed: base, LRM, 2 aligned models, 12 generations and 12 scores
            micro["seeds"] = list(range(round(size / 28)))
            name = f"grid{size}"
            (ours / f"experiments/{name}.yaml").write_text(yaml.safe_dump(micro, sort_keys=False))
            plan = seconds(planner(name), ours, arguments.repeats)
            dry_run = seconds(snakemake("--config", f"experiment={name}"), ours, arguments.repeats)
            # per chain: base, LRM, 4 models, 12 generations and 12 scores
            chains = round(size / 30)
            columns = f"{size:7d}  {plan:9.1f}  {dry_run:12.1f}"
            for text in (trivial_rules(chains), TRIVIAL.format(chains=chains)):
                folder = Path(tempfile.mkdtemp(dir=temporary))
                (folder / "Snakefile").write_text(text)
                plain = seconds(snakemake(), folder, arguments.repeats)
                columns += f"  {plain:6.1f} ({plan / plain:.2f}, {dry_run / plain:.2f})"
            print(columns, flush=True)


if __name__ == "__main__":
    main()
