"""What a job costs: from what a like job took (`benchmark:` files, manifests), else from a model.

A job's *work* is what its time grows with: tokens times parameters per GPU for training, token
budget of all samples times parameters per GPU for generation, samples for scoring. A measured time
is scaled by work; the likest jobs count: the same result's earlier making, else the same rule on
the same benchmark or data set, else the same rule.

Without a like job the time comes from `common/cost_model.py`: what GPUs do, part by part, from the
sizes of `common/known_sizes.py`. Models below `resources.SMALL` parameters compute on one CPU core.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from workflow.scripts.common.cost_model import DISK_BYTES_S, Parts
from workflow.scripts.common.experiment import Run
from workflow.scripts.common.known_sizes import UNKNOWN_ROWS, answer_tokens, record_tokens
from workflow.scripts.common.resources import (
    SMALL,
    TRAINING,
    budget_of,
    count_rows,
    generation_times,
    hardware_of,
    list_resources,
    parameters,
    training_times,
)
from workflow.scripts.plan.experiment_state import ExperimentState, subject, tail_of

JUDGE_PARAMETERS = 7e9
JUDGE_START_S = 30  # Python, torch and CUDA; an assumption
JUDGED_TOKENS = 1000  # prompt, rubric and answer; an assumption
API_LATENCY_S = 3  # of a reply of a few hundred tokens; an assumption
SECONDS_PER_GRADED = 0.02  # a LaTeX answer takes math-verify 2 to 3 ms (measured), long ones more
BYTES_PER_SAMPLE_TOKEN = 12  # text, token ids and keys in samples.jsonl


@dataclass(frozen=True)
class Cost:
    """What one job takes.

    Attributes:
        seconds: Wall time.
        gpu: GPUs it holds; 0 for a model that computes on the CPU.
        nodes: Nodes it runs on.
        disk_gb: What its result takes.
        usd: For an API.
        parts: Seconds by part of the job; empty where it was measured.
        source: `measured` (scaled from a like job) or `model` (of the hardware).
    """

    seconds: float
    gpu: int
    nodes: int
    disk_gb: float
    usd: float
    source: str
    parts: Parts = field(default_factory=dict)

    @property
    def gpu_hours(self) -> float:
        return self.gpu * self.seconds / 3600


@dataclass(frozen=True)
class Measured:
    """A finished job: its time in seconds, its work and what it made."""

    path: str
    seconds: float
    work: float


class Estimator:
    """Estimates the jobs of one experiment.

    Args:
        state: The experiment and what stands of it.
        leave_out: Estimate each job from others alone where there are any, to check the estimates.
    """

    def __init__(self, state: ExperimentState, leave_out: bool = False) -> None:
        self.state, self.leave_out = state, leave_out
        self.hardware = hardware_of(state.experiment)
        self._manifests: dict[str, dict[str, Any]] = {}
        self._by: dict[tuple[str, ...], list[Measured]] = defaultdict(list)
        self._items: dict[str, int] = {}
        self._record_tokens: dict[str, float] = {}
        self._steps: list[float] = []
        for path in state.states:
            self._learn(path)
        for path in state.states:
            seconds = read_seconds(self.state.folder / "benchmarks" / f"{tail_of(path)}.tsv")
            if seconds is not None:
                measured = Measured(path, seconds, self._work_done(path))
                for group in self._groups(path):
                    self._by[group].append(measured)

    def cost(self, path: str) -> Cost:
        """Return what making a result takes."""
        job = self.state.jobs[path]
        run, benchmark, scorer = subject(path, self.state.runs)
        asked = list_resources(job.rule, self.state.experiment, run, benchmark, scorer)
        gpu = self._gpus(path)
        measured = self._scaled(path)
        parts = {} if measured is not None else self._modelled(path)
        return Cost(
            sum(parts.values()) if measured is None else measured,
            gpu,
            asked["nodes"],
            self._disk(path),
            self._usd(benchmark, scorer, run),
            "model" if measured is None else "measured",
            parts,
        )

    def disk_standing(self, path: str) -> float:
        """Return the gigabytes that a result takes on disk now."""
        found = self._manifest(path)
        if "checkpoints" in found and path.startswith("models/"):
            return (
                sum(f["bytes"] for files in found["checkpoints"].values() for f in files.values())
                / 1e9
            )
        folder = (self.state.folder / path).parent
        names = found.get("provenance", {}).get("files", {})
        return sum(_size(folder / name) for name in names) / 1e9

    def samples(self, path: str) -> int:
        """Return how many samples a job makes or scores; 0 for another kind of job."""
        run, benchmark, _ = subject(path, self.state.runs)
        return self._samples(benchmark, run) if run and benchmark else 0

    # What is known of the finished results.

    def _manifest(self, path: str) -> dict[str, Any]:
        """Return a result's JSON, of the rules alone that a cost is learnt from; else empty."""
        if path not in self._manifests:
            import json

            try:
                found = json.loads((self.state.folder / path).read_bytes())
            except (OSError, ValueError):
                found = {}
            self._manifests[path] = found if isinstance(found, dict) else {}
        return self._manifests[path]

    def _learn(self, path: str) -> None:
        """Take note of the sizes that a finished result tells: items, steps, tokens per record."""
        found = self._manifest(path) if path.startswith(("models/", "generate/")) else {}
        if "n_items" in found:
            self._items.setdefault(found["benchmark"], found["n_items"])
        train, data = found.get("train"), (found.get("lineage") or {}).get("data")
        if path.startswith("models/base/") and train:
            self._steps.append(train["steps"])
        elif train and data:
            passes = found["recipe"]["epochs"] * train.get("rounds", 1)
            self._record_tokens[data["name"]] = train["tokens"] / max(1, data["n"] * passes)

    def _work_done(self, path: str) -> float:
        """Return the work of a finished job, from its own figures where they tell."""
        found = self._manifest(path)
        run, _, _ = subject(path, self.state.runs)
        if path.startswith("models/") and found.get("train") and run:
            return found["train"]["tokens"] * self._per_gpu(path, run)
        if path.startswith("generate/") and "n_items" in found and run:
            samples = found["n_items"] * found["repeats"] * len(found["checkpoints"])
            return samples * budget_of(found["decoding"]) * self._per_gpu(path, run)
        if "checkpoints" in found and path.startswith("score/"):
            return max(1, sum(c["n"] for c in found["checkpoints"].values()))
        return self._work(path)

    # What is expected of a job.

    def _work(self, path: str) -> float:
        run, benchmark, scorer = subject(path, self.state.runs)
        rule = self.state.jobs[path].rule
        if rule in TRAINING and run:
            return self._training_tokens(run) * self._per_gpu(path, run)
        if benchmark and run:
            samples = self._samples(benchmark, run)
            if scorer:
                return samples
            decoding = self.state.experiment["benchmarks"][benchmark]["decoding"]
            return samples * budget_of(decoding) * self._per_gpu(path, run)
        return 1

    def _per_gpu(self, path: str, run: Run) -> float:
        return parameters(self.state.experiment, run) / max(1, self._gpus(path))

    def _gpus(self, path: str) -> int:
        run, benchmark, scorer = subject(path, self.state.runs)
        rule = self.state.jobs[path].rule
        if run and not scorer and parameters(self.state.experiment, run) < SMALL:
            return 0
        return list_resources(rule, self.state.experiment, run, benchmark, scorer)["gpu"]

    def _training_tokens(self, run: Run) -> float:
        if run.data is None:
            shape = run.recipe
            gate = shape.get("gate", {})
            longest = gate.get("max_steps", 1000) + shape.get("decay_steps", 0)
            steps = median(self._steps) if self._steps else longest
            return steps * shape["global_batch"] * 40
        records = self._rows("data", run.data)
        return records * self._tokens_per_record(run) * self._passes(run)

    def _passes(self, run: Run) -> float:
        """Return how often a training goes through its records."""
        rounds = (run.recipe.get("gate") or {}).get("max_rounds", 1)
        measured = self._manifest(f"models/{run.name}/manifest.json").get("train")
        if measured:
            rounds = measured.get("rounds", rounds)
        elif self._record_tokens:
            rounds = 1
        return run.recipe["epochs"] * rounds

    def _samples(self, benchmark: str, run: Run) -> int:
        repeats = self.state.experiment["benchmarks"][benchmark].get("repeats", 1)
        return self.items(benchmark) * repeats * max(1, len(run.checkpoints))

    def items(self, benchmark: str) -> int:
        """Return how many items a benchmark has, or is taken to have."""
        given = self.state.experiment["benchmarks"][benchmark].get("n")
        known = self._items.get(benchmark) or self._rows("benchmarks", benchmark)
        return min(given, known) if given else known

    def is_bound(self, benchmark: str) -> bool:
        """Say whether a benchmark may turn out to have fewer items: repeated ones are dropped."""
        prepare = self.state.experiment["benchmarks"][benchmark].get("prepare", {})
        file = self.state.folder / "data" / "benchmarks" / f"{benchmark}.jsonl"
        known = benchmark in self._items or file.exists()
        return prepare.get("deduplicate", "none") != "none" and not known

    def _rows(self, section: str, name: str) -> int:
        """Return how many rows a training set or benchmark has: of its file, else as is known."""
        entry = self.state.experiment[section][name]
        if "generated" in entry:
            micro = self.state.experiment["micro_data"]
            sizes = {"directrefusal": "safety_records", "safechain": "safety_records"}
            key = sizes.get(entry["generated"], entry["generated"])
            return micro.get(key) or micro.get(f"{key}_records") or UNKNOWN_ROWS
        folder = "records" if section == "data" else "benchmarks"
        file = self.state.folder / "data" / folder / f"{name}.jsonl"
        if file.exists():
            with open(file, "rb") as lines:
                return sum(1 for _ in lines)
        return count_rows(entry, self.state.pinned_rows)

    def _tokens_per_record(self, run: Run) -> float:
        assert run.data is not None
        if run.data in self._record_tokens:
            return self._record_tokens[run.data]
        file = self.state.folder / "data" / "records" / f"{run.data}.jsonl"
        if file.exists():
            found = file.stat().st_size / 4 / max(1, self._rows("data", run.data))
        else:
            found = record_tokens(self.state.experiment["data"][run.data].get("prepare", {}))
        return min(found, run.recipe.get("max_length", found))

    # The two ways to a time.

    def _groups(self, path: str) -> list[tuple[str, ...]]:
        """Return the groups of like jobs that a job belongs to, the likest first."""
        run, benchmark, scorer = subject(path, self.state.runs)
        rule = self.state.jobs[path].rule
        about = scorer or benchmark or (run.data if run and run.data else "")
        checkpoints = str(len(run.checkpoints)) if run else ""
        return [
            (rule, benchmark or "", about, checkpoints),
            (rule, benchmark or "", about),
            (rule, about),
            (rule,),
        ]

    def _scaled(self, path: str) -> float | None:
        work = self._work(path)
        own: list[Measured] = []
        for group in self._groups(path):
            like = self._by.get(group, [])
            own = [one for one in like if one.path == path]
            others = [one for one in like if one.path != path]
            if found := (others if self.leave_out else own or others):
                return median(one.seconds / one.work for one in found) * work
        return own[0].seconds if self.leave_out and own else None

    def _modelled(self, path: str) -> Parts:
        rule = self.state.jobs[path].rule
        run, benchmark, scorer = subject(path, self.state.runs)
        h = self.hardware
        if rule in TRAINING and run:
            return self._training(path, run)
        if rule == "generate_samples" and run and benchmark:
            return self._generating(path, run, benchmark)
        if scorer and run and benchmark:
            return self._scoring(run, benchmark, scorer)
        if rule == "fetch_model" and run:
            size = 2 * parameters(self.state.experiment, run)
            return {"start": h["start_s"], "download": size / (h["network_gb_s"] * 1e9)}
        return {"start": 2 * h["start_s"]}

    def _training(self, path: str, run: Run) -> Parts:
        h, gpus = self.hardware, self._gpus(path)
        size = parameters(self.state.experiment, run)
        if not gpus:
            flop = 8 * size * self._training_tokens(run)
            return {"start": h["start_s"], "train": flop / (h["cpu_gflops"] * 1e9)}
        assert run.data is not None
        return training_times(
            self.state.experiment,
            run,
            gpus,
            records=self._rows("data", run.data),
            tokens=self._tokens_per_record(run),
            epochs=self._passes(run),
        )

    def _generating(self, path: str, run: Run, benchmark: str) -> Parts:
        h, gpus = self.hardware, self._gpus(path)
        size = parameters(self.state.experiment, run)
        section = self.state.experiment["benchmarks"][benchmark]
        samples = self._samples(benchmark, run)
        tokens = answer_tokens(section, h["budget_share"])
        if not gpus:
            seconds = samples * tokens * (2 * size / (h["cpu_gflops"] * 1e9) + 1 / 2000)
            return {"start": h["start_s"], "generate": seconds}
        checkpoints = max(1, len(run.checkpoints))
        return generation_times(
            self.state.experiment, run, section, gpus, samples=samples / checkpoints, tokens=tokens
        )

    def _scoring(self, run: Run, benchmark: str, scorer: str) -> Parts:
        h = self.hardware
        section = self.state.experiment["scorers"][scorer]
        samples = self._samples(benchmark, run)
        if section["type"] == "hf_classifier":
            flop = 2 * JUDGE_PARAMETERS * JUDGED_TOKENS * samples
            return {
                "start": JUDGE_START_S,
                "load weights": 2 * JUDGE_PARAMETERS / DISK_BYTES_S,
                "judge": flop / (h["gpu_tflops"] * 1e12 * h["training_utilisation"]),
            }
        if llm := section.get("llm") or section.get("extractor"):
            asked = samples * API_LATENCY_S / llm.get("parallel", 8)
            return {"start": h["start_s"], "ask": asked}
        return {"start": h["start_s"], "grade": samples * SECONDS_PER_GRADED}

    def _disk(self, path: str) -> float:
        run, benchmark, scorer = subject(path, self.state.runs)
        standing = self.disk_standing(path)
        if standing and not self.leave_out:
            return standing
        if path.startswith("models/") and run:
            kept = run.recipe.get("epochs", 1) if run.recipe.get("checkpoints") != "last" else 1
            each = 4 if run.recipe.get("precision", "bf16") == "fp32" else 2
            kept = 1 if run.role == "base" or not run.recipe else kept
            return each * kept * parameters(self.state.experiment, run) / 1e9
        if benchmark and run and not scorer:
            section = self.state.experiment["benchmarks"][benchmark]
            tokens = answer_tokens(section, self.hardware["budget_share"])
            return self._samples(benchmark, run) * tokens * BYTES_PER_SAMPLE_TOKEN / 1e9
        return 0.0

    def _usd(self, benchmark: str | None, scorer: str | None, run: Run | None) -> float:
        if not (scorer and benchmark and run):
            return 0.0
        section = self.state.experiment["scorers"][scorer]
        llm = section.get("llm") or section.get("extractor")
        if not llm:
            return 0.0
        decoding = self.state.experiment["benchmarks"][benchmark]["decoding"]
        read = JUDGED_TOKENS + decoding["max_answer_tokens"] * self.hardware["budget_share"]
        written = llm.get("max_reply_tokens", 512) * self.hardware["budget_share"]
        each = read * llm.get("usd_per_million_input", 0) / 1e6
        each += written * llm.get("usd_per_million_output", 0) / 1e6
        found = self._samples(benchmark, run) * each
        return min(found, llm["max_usd"]) if llm.get("max_usd") else found


def read_seconds(path: Path) -> float | None:
    """Return the wall time in one of Snakemake's benchmark files; None when there is none."""
    try:
        with open(path, newline="") as file:
            return float(next(csv.DictReader(file, delimiter="\t"))["s"])
    except (OSError, StopIteration, KeyError, ValueError):
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
