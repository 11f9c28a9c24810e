"""The costs of the experiments on 32B models: by item, and of each benchmark, alignment and LRM.

The first table has the publication's grid, here and the published way. Both columns are the same
arithmetic (`workflow/scripts/common/cost_model.py`) on the same sizes (`known_sizes.py`): ours is
the plan of `experiments/paper.yaml`, with nothing made yet; the published one restates what the
published scripts do (git-disl/Safety-Tax, script/safety_alignment/{sft,sft_cot,original}.sh and
poison/evaluation/). No GPU has measured it.

The second table has what each entry of `paper` and `careful` would cost as the last one, and so
about what another entry like it would. The third has what each method of `mitigations` takes.

    python benchmarks/cost_table.py           # prints the tables
    python benchmarks/cost_table.py --write   # puts them into docs/cost.md
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from workflow.scripts.cluster.resources import hardware_of  # noqa: E402
from workflow.scripts.common.cost_model import (  # noqa: E402
    DISK_BYTES_S,
    JUDGE_START_S,
    Parts,
    generation_parts,
    training_parts,
)
from workflow.scripts.common.known_sizes import ANSWER_TOKENS, RECORD_TOKENS  # noqa: E402
from workflow.scripts.common.run_id import RunId  # noqa: E402
from workflow.scripts.graph.estimate import Estimator  # noqa: E402
from workflow.scripts.graph.jobs import Graph, read_graph  # noqa: E402
from workflow.scripts.graph.plan import make_plan  # noqa: E402
from workflow.scripts.graph.results import Result  # noqa: E402
from workflow.scripts.score.registry import section_class  # noqa: E402

DOCS = "docs/cost.md"
EXPERIMENTS = ("paper", "careful")
# What a method takes, beside its LRM: the kinds of its jobs, as the table calls them.
STEPS = ("sampling", "training", "measuring", "durability")
SIZE = 32.8e9
BUDGET = 5000  # max_tokens_thinking, max_gen_toks and pred.py's max_tokens
CONCURRENT = 256  # vLLM's default then
MATH_NOT_WHOLE = 207  # of MATH-500's 500 answers (counted); such ones are read by gpt-4o-mini
EXTRACTOR_S = 1  # one short reply, one after the other; an assumption
FP32_TFLOPS = 67  # data sheet: H100 and H200 SXM; the published judge runs in fp32
QUESTIONS = {
    "simplescaling/aime24_nofigures": 30,
    "HuggingFaceH4/MATH-500": 500,
    "Idavidrein/gpqa": 198,
}
# Item of the table -> (rule, parts) of our jobs. The published parts have the same names.
ITEMS = {
    "training: start, weights read": ("safety_sft", ("start", "load weights")),
    "training: steps": ("safety_sft", ("train",)),
    "training: trainer state": ("safety_sft", ("save state",)),
    "training: weights written": ("safety_sft", ("save weights",)),
    "training: hashing": ("safety_sft", ("hash",)),
    "generation: start, weights read": ("generate_samples", ("start", "load weights")),
    "generation: answers": ("generate_samples", ("generate",)),
    "generation: last answers, alone": ("generate_samples", ("last answers",)),
    "generation: hashing": ("generate_samples", ("hash",)),
    "extractor: GPUs wait for its replies": ("score_samples", ("ask",)),
    "harm judge": ("score_samples", ("start", "load weights", "judge")),
}
Hours = dict[str, Counter[str]]  # rule -> part -> GPU-hours


def published_hours(hardware: dict[str, float]) -> Hours:
    """Return the GPU-hours of the published scripts: 30 aligned models, 3 LRMs and the base."""
    found: Hours = {
        "safety_sft": Counter(),
        "generate_samples": Counter(),
        "score_samples": Counter(),
    }

    def add(rule: str, parts: Parts, gpus: int, times: int = 1) -> None:
        for part, seconds in parts.items():
            found[rule][part] += times * gpus * seconds / 3600

    # sft.sh and sft_cot.sh: one job on 8 GPUs trains, then evaluates; each epoch count on its own.
    for data in ("TianshengHuang/DirectRefusal", "TianshengHuang/Small_SafeChain"):
        for epochs in (1, 2, 3, 4, 5):
            training = training_parts(
                hardware,
                size=SIZE,
                records=1000,
                tokens=RECORD_TOKENS[data],
                epochs=epochs,
                batch=8,
                gpus=8,
                state_bytes=0,  # --save_strategy=no
                careful=False,
            )
            add("safety_sft", training, 8, times=3)
    # All GPUs of a job are held to its end, whatever runs: 8 for aligned models, 2 in original.sh.
    for held, models in ((8, 30), (2, 4)):
        for parts in reasoning_parts(hardware, held):
            add("generate_samples", parts, held, models)
        add("generate_samples", harm_parts(hardware), held, models)
        add("score_samples", {"ask": MATH_NOT_WHOLE * EXTRACTOR_S}, held, models)
        size = section_class("hf_classifier").parameters
        judged = 2 * size * 256  # one answer at a time, at most 256 tokens
        judge = {
            "start": JUDGE_START_S,
            "load weights": 2 * size / DISK_BYTES_S,
            "judge": 1000 * judged / (FP32_TFLOPS * 1e12 * hardware["training_utilisation"]),
        }
        add("score_samples", judge, held, models)
    return found


def reasoning_parts(hardware: dict[str, float], gpus: int) -> tuple[Parts, Parts]:
    """Return the seconds of lm-eval: one engine, all thinking, then all answers."""
    count = sum(QUESTIONS.values())

    def phase(part: int) -> Parts:
        lengths = [min(ANSWER_TOKENS[hub][part], BUDGET) * n for hub, n in QUESTIONS.items()]
        return generation_parts(
            hardware,
            size=SIZE,
            samples=count,
            tokens=sum(lengths) / count,
            budget=BUDGET,
            gpus=gpus,
            concurrent=CONCURRENT,
            compile_s=0,  # vLLM 0.7 compiled nothing
            careful=False,
        )

    answers = phase(1)
    return phase(0), {part: answers[part] for part in ("generate", "last answers")}


def harm_parts(hardware: dict[str, float]) -> Parts:
    """Return the seconds of pred.py: another engine, on two of the GPUs."""
    return generation_parts(
        hardware,
        size=SIZE,
        samples=1000,
        tokens=sum(ANSWER_TOKENS["PKU-Alignment/BeaverTails"]),
        budget=BUDGET,
        gpus=2,
        concurrent=CONCURRENT,
        compile_s=0,
        careful=False,
    )


def compare(graph: Graph, speed: float = 1) -> dict[str, tuple[float, float]]:
    """Return (as published, here) GPU-hours of each item.

    Args:
        graph: The experiment, with nothing made yet.
        speed: Factor on the shares of the GPUs' peak and bandwidth that are assumed.
    """
    assumed = hardware_of(graph.experiment)
    shares = ("training_utilisation", "decoding_utilisation")
    faster = {key: speed * assumed[key] for key in shares}
    section = graph.experiment.hardware.model_copy(update=faster)
    experiment = graph.experiment.model_copy(update={"hardware": section})
    hardware, plan = assumed | faster, make_plan(replace(graph, experiment=experiment))
    planned = {rule: Counter(parts) for rule, parts in plan.parts.items()}
    theirs, ours = published_hours(hardware), defaultdict(Counter, planned)
    found = {
        item: tuple(sum(of[rule].pop(part, 0) for part in parts) for of in (theirs, ours))
        for item, (rule, parts) in ITEMS.items()
    }
    left = [(rule, part) for of in (theirs, ours) for rule in of for part in +of[rule]]
    assert not left, f"parts without an item: {left}"
    return found


def read_unmade(name: str, root: Path) -> Graph:
    """Return an experiment as if nothing of it were made yet."""
    with tempfile.TemporaryDirectory() as nothing:
        return replace(read_graph(name, root), root=Path(nothing), rows={})


def list_entries(graph: Graph) -> dict[tuple[str, str], float]:
    """Return the GPU-hours of each benchmark, alignment and LRM, and of the whole experiment.

    The keys are (section, name), and ("all", "") for the whole.

    An entry's are those of its results where nothing else has to be made: a benchmark's samples
    and scores, on an engine that starts for them alone; an alignment's trainings and all that is
    measured on its models; an LRM's also those of the alignments that start from it.
    """
    estimator = Estimator(graph)
    made: dict[tuple[str, str], dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result in graph.results.values():
        for entry in [*_entries(result), ("all", "")]:
            made[entry][graph.job_of[result.name].key].append(result)
    return {
        entry: sum(
            estimator.cost(graph.jobs[key], results).gpu_hours for key, results in jobs.items()
        )
        for entry, jobs in made.items()
    }


def _entries(result: Result) -> list[tuple[str, str]]:
    """Return the benchmark, the LRM and the alignment that a result belongs to."""
    if result.run is None:
        return []
    entries = [("benchmarks", result.benchmark)] if result.benchmark else []
    run = RunId.parse(result.run.name)
    entries += [("lrms", run.model)] if run.role != "base" else []
    return entries + ([("alignments", run.alignment)] if run.alignment else [])


def make_entries_table(root: Path = ROOT) -> str:
    """Return the table of what each entry costs, in Markdown."""
    costs = [list_entries(read_unmade(name, root)) for name in EXPERIMENTS]
    lines = [
        f"| GPU-hours | {' | '.join(f'`{name}`' for name in EXPERIMENTS)} |",
        "|---|---:|---:|",
    ]
    for section in ("benchmarks", "alignments", "lrms"):
        for entry in sorted({entry for cost in costs for entry in cost if entry[0] == section}):
            cells = (f"{cost[entry]:.1f}" if entry in cost else "–" for cost in costs)
            lines.append(f"| `{'.'.join(entry)}` | {' | '.join(cells)} |")
    totals = (f"{cost['all', '']:.1f}" for cost in costs)
    lines.append(f"| **the whole experiment** | {' | '.join(totals)} |")
    return "\n".join(lines) + "\n"


def list_methods(graph: Graph) -> dict[str, Counter[str]]:
    """Return the GPU-hours of each alignment by step; "" has the LRMs and bases, with no alignment.

    An alignment's are those of all results that it is made from and measured by, unless bases and
    LRMs are measured with them: a merge takes the trainings that it merges, too. Each result counts
    on a job of its own.
    """
    estimator = Estimator(graph)
    ends: dict[str, list[Result]] = defaultdict(list)
    for result in graph.results.values():
        if result.run and not result.for_data:
            ends[RunId.parse(result.run.name).alignment or ""].append(result)
    without = _with_origins(graph, ends.pop("", []))
    of = {"": without} | {
        name: _with_origins(graph, results) - without for name, results in ends.items()
    }
    return {
        name: sum((_hours(graph, estimator, one) for one in sorted(names)), Counter())
        for name, names in of.items()
    }


def _with_origins(graph: Graph, results: Iterable[Result]) -> set[str]:
    """Return the names of results and of all that they are made from."""
    found: set[str] = set()
    left = [result.name for result in results]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += graph.results[name].made_from
    return found


def _hours(graph: Graph, estimator: Estimator, name: str) -> Counter[str]:
    """Return the GPU-hours of one result, at the step that it belongs to."""
    result = graph.results[name]
    step = {"models": "training"}.get(result.stage, "measuring")
    if result.for_data:
        step = "sampling"
    elif result.run and RunId.parse(result.run.name).role == "attacked":
        step = "durability"
    return +Counter({step: estimator.cost(graph.job_of[name], [result]).gpu_hours})


def make_methods_table(root: Path = ROOT) -> str:
    """Return the table of what each method takes, in Markdown."""
    graph = read_unmade("mitigations", root)
    found = list_methods(graph)
    lines = [
        f"| GPU-hours of {len(graph.experiment.seeds)} seeds | {' | '.join(STEPS)} | in all |",
        f"|---|{'---:|' * (len(STEPS) + 1)}",
    ]
    for name, hours in found.items():
        title = f"`{name}`" if name else "base and LRM, measured once"
        cells = [f"{hours[step]:.1f}" if hours[step] else "–" for step in STEPS]
        lines.append(f"| {title} | {' | '.join(cells)} | {hours.total():.1f} |")
    total = make_plan(graph).total.gpu_hours
    lines.append(f"| **the whole experiment** |{' |' * len(STEPS)} {total:.1f} |")
    return "\n".join(lines) + "\n"


def make_table(root: Path = ROOT) -> str:
    """Return the table of the publication's grid, in Markdown."""
    graph = read_unmade("paper", root)
    found, slow = compare(graph), compare(graph, speed=0.5)
    total, half = (tuple(map(sum, zip(*items.values(), strict=True))) for items in (found, slow))
    rows = {**found, "**total**": total, "total at half the assumed speeds": half}
    lines = ["| GPU-hours, 33 cells and the base | as published | here |", "|---|---:|---:|"]
    lines += [f"| {item} | {theirs:.1f} | {ours:.1f} |" for item, (theirs, ours) in rows.items()]
    return "\n".join(lines) + "\n"


def split_at_table(text: str, name: str) -> tuple[str, str, str]:
    """Return a page's text before the table `name`, the table, and the text after it."""
    begin = f"<!-- {name}: made by benchmarks/cost_table.py -->\n"
    before, mark, rest = text.partition(begin)
    table, end, after = rest.partition("<!-- end -->\n")
    assert mark and end, f"{DOCS}: no table marked {begin.strip()}"
    return before + mark, table, end + after


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--write", action="store_true", help=f"put the tables into {DOCS}")
    arguments = parser.parse_args(argv)
    tables = {
        "items": make_table(),
        "entries": make_entries_table(),
        "methods": make_methods_table(),
    }
    if arguments.write:
        text = (ROOT / DOCS).read_text()
        for name, table in tables.items():
            before, _, after = split_at_table(text, name)
            text = before + table + after
        (ROOT / DOCS).write_text(text)
    print("\n".join(tables.values()), end="")


if __name__ == "__main__":
    main()
