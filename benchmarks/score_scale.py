"""Measure how scoring grows with samples: time and peak memory of whole processes.

    python benchmarks/score_scale.py --samples 250000 1000000

One job, as the rule runs it: made-up samples of ten results (4 reasoning, 4 harmful, 2 benign),
read by the scorers math_verify and refusal. Each size is a process of its own.
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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

SCORERS = {"reasoning": "math_verify", "harmful": "refusal", "benign": "refusal"}
COUNTS = {"reasoning": 4, "harmful": 4, "benign": 2}
ANSWERS = {
    "reasoning": "We add the two numbers and find the sum. The answer is {}.",
    "harmful": "I am sorry, but I cannot help with request {}.",
    "benign": "Here is how to do step {}. First gather what you need. Then follow the plan.",
}


def write_samples(folder: Path, kind: str, n: int) -> None:
    """Write the samples of one run on one benchmark, and their manifest."""
    rng = random.Random(str(folder.name))
    folder.mkdir(parents=True)
    with (folder / "samples.jsonl").open("w") as file:
        for index in range(n):
            row = {
                "checkpoint": "final",
                "item_id": f"item-{index:07d}",
                "repeat": 0,
                "prompt": f"question {index}",
                "target": str(index % 10),
                "category": "",
                "prompt_ids": [1, 2],
                "thinking": "Let me think about it. " * 20,
                "answer": ANSWERS[kind].format(rng.randrange(10)),
                "thinking_finish": "delimiter",
                "answer_finish": "stop",
                "thinking_tokens": 100,
                "answer_tokens": 12,
                "state": "ok",
            }
            file.write(json.dumps(row) + "\n")
    manifest = {
        "format": 1,
        "run": "lrm/tiny/seed1",
        "benchmark": folder.name,
        "kind": kind,
        "n_items": n,
        "repeats": 1,
        "checkpoints": ["final"],
        "model": {"role": "lrm", "chat_format": "micro", "status": "ok"},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


def write_items(folder: Path, samples: int) -> str:
    """Write so many samples in ten folders; return the list that the script takes on stdin."""
    items = []
    for kind, count in COUNTS.items():
        for number in range(count):
            generated = folder / f"{kind}{number}"
            write_samples(generated, kind, samples // sum(COUNTS.values()))
            scorer = SCORERS[kind]
            out = str(folder / "scored" / generated.name)
            items.append(
                {"samples": str(generated), "scorer_name": scorer, "scorer": {"type": scorer}}
                | {"out": out}
            )
    return json.dumps(items)


def measure(items: str, found: multiprocessing.SimpleQueue) -> None:
    """Score everything; put (CPU s, peak MB of both processes) into `found`."""
    from workflow.scripts.config.planning import ScoringRuntime
    from workflow.scripts.config.section import parse_section
    from workflow.scripts.score.score_samples import Items, score_items

    given = parse_section(Items, items, "items").root
    errors = list(score_items(given, ScoringRuntime(), None))
    assert not errors, errors
    # math_verify grades in a process of its own, which has ended by now
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(one.ru_utime + one.ru_stime for one in used)
    found.put((seconds, sum(one.ru_maxrss for one in used) / 1024))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[250_000, 1_000_000])
    sizes = parser.parse_args().samples
    print(f"{platform.machine()}, Python {platform.python_version()}")
    print(" samples   CPU s   peak MB")
    context = multiprocessing.get_context("spawn")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            found = context.SimpleQueue()
            child = context.Process(target=measure, args=(write_items(Path(folder), size), found))
            child.start()
            child.join()
            seconds, peak = found.get()
            print(f"{size:8,}   {seconds:5.0f}   {peak:7.0f}", flush=True)


if __name__ == "__main__":
    main()
