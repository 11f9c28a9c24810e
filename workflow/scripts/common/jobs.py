"""What each result of an experiment is made from: the one place that decides what is stale.

A job's *spec* is all that can change its result: sections of the experiment, the code that its
script reaches, the pinned packages that compute it. Its *key* is a digest over its spec and the
keys of its inputs, so that two results with the same key are the same result, wherever and
whenever they were made. Nothing that merely speeds a job up (GPUs, batch per device) is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow.scripts.common.codehash import ROOT, code_digest
from workflow.scripts.common.experiment import Run, list_runs
from workflow.scripts.common.io import canonical_json, sha256_file, sha256_text
from workflow.scripts.common.pins import pinned_versions

TRAINING = ("torch", "transformers", "trl", "accelerate", "peft", "tokenizers")
PRETRAINING = ("torch", "transformers", "tokenizers")
GENERATION = ("torch", "transformers", "tokenizers", "lm_eval")
SCORING = ("math-verify", "scikit-learn", "statsmodels")
REPORTING = ("scipy", "statsmodels", "pandas", "matplotlib")

MICRO_FILES = (
    "corpus",
    "reasoning",
    "directrefusal",
    "safechain",
    "clock_sums",
    "harmful",
    "benign",
    "probe",
    "judge_train",
    "judge_test",
)
# Sizes that reach one file alone; every other key of micro_data reaches all files.
MICRO_SIZES = ("harmful", "benign", "judge_train", "judge_test")
GENERATION_KEYS = ("task", "kind", "n", "repeats", "decoding")


@dataclass(frozen=True)
class Job:
    """One result: a JSON file that is written last and carries the job's spec and key.

    Attributes:
        path: The JSON file, below `results/<experiment>/`; or one of the generated data files,
            which have keys of their own but one manifest.
        rule: The rule that makes it.
        module: The rule's script, such as `models.train_sft`.
        packages: The packages that compute it.
        sections: What of the experiment can change it.
        inputs: Paths of the results it is made from.
        environment: The lock of `envs/` that pins the packages.
        outside: Files outside the results that it reads; their content counts.
    """

    path: str
    rule: str
    module: str
    packages: tuple[str, ...] = ()
    sections: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    environment: str = "train"
    outside: tuple[str, ...] = ()

    def spec(self, root: Path = ROOT) -> dict[str, Any]:
        """Return all that can change the result but its inputs."""
        return {
            **self.sections,
            "code": code_digest(self.module, root),
            "packages": pinned_versions(self.packages, self.environment),
            **{f"file {path}": sha256_file(root / path) for path in self.outside},
        }


def list_jobs(experiment: dict[str, Any]) -> dict[str, Job]:
    """Return every job of an experiment by path, inputs before what is made from them."""
    jobs: dict[str, Job] = {}

    def add(job: Job) -> str:
        jobs[job.path] = job
        return job.path

    files = _data_jobs(experiment, add)
    runs = list_runs(experiment)
    for run in runs.values():
        add(_model_job(experiment, run, files))
    judges = {
        name: add(
            Job(
                f"score/judges/{name}/judge.json",
                "train_judge",
                "score.train_judge",
                ("scikit-learn",),
                {"judge": judge},
                (files["judge_train"], files["judge_test"]),
            )
        )
        for name, judge in experiment.get("judges", {}).items()
    }
    scores = []
    for run in runs.values():
        for name, benchmark in experiment["benchmarks"].items():
            samples = add(_generation_job(run, name, benchmark, files))
            for scorer in benchmark["scorers"]:
                section = experiment["scorers"][scorer]
                judge = [judges[section["judge"]]] if "judge" in section else []
                scores.append(
                    add(
                        Job(
                            f"score/{run.name}/{name}/{scorer}/score.json",
                            "score_samples",
                            "score.score_samples",
                            SCORING,
                            {"scorer": section},
                            (samples, *judge),
                        )
                    )
                )
    training_files = [files[f"data {name}"] for name in experiment["data"]]
    benchmark_files = [files[f"benchmark {name}"] for name in experiment["benchmarks"]]
    overlap = add(
        Job(
            "data/overlap.json",
            "measure_overlap",
            "data.measure_overlap",
            ("statsmodels",),
            {"data": list(experiment["data"]), "benchmarks": list(experiment["benchmarks"])},
            tuple(dict.fromkeys([*training_files, *benchmark_files])),
        )
    )
    add(
        Job(
            "report/tradeoff.json",
            "make_report",
            "report.make_report",
            REPORTING,
            {"experiment": report_section(experiment)},
            (*scores, overlap, *judges.values()),
        )
    )
    return jobs


def report_section(experiment: dict[str, Any]) -> dict[str, Any]:
    """Return what of the experiment the report shows: all but the knobs of the run time."""
    return {key: value for key, value in experiment.items() if key != "resources"}


def list_keys(jobs: dict[str, Job], root: Path = ROOT) -> dict[str, str]:
    """Return the key of each job, by path."""
    keys: dict[str, str] = {}
    for path, job in jobs.items():
        inputs = {name: keys[name] for name in job.inputs}
        keys[path] = sha256_text(canonical_json({"spec": job.spec(root), "inputs": inputs}))[:16]
    return keys


def _data_jobs(experiment: dict[str, Any], add: Callable[[Job], str]) -> dict[str, str]:
    """Add the data stage's jobs; return the path that stands for each training set and benchmark.

    The generated files come from one job, but each has a key of its own: a longer benchmark does
    not make the models stale.
    """
    files: dict[str, str] = {}
    if "micro_data" in experiment:
        spec = experiment["micro_data"]
        for name in MICRO_FILES:
            kept = {k: v for k, v in spec.items() if k not in MICRO_SIZES or k == name}
            files[name] = add(
                Job(
                    f"data/micro/{name}.jsonl",
                    "make_micro_data",
                    "data.make_micro_data",
                    (),
                    {"micro_data": kept},
                )
            )
        add(
            Job(
                "data/micro/manifest.json",
                "make_micro_data",
                "data.make_micro_data",
                inputs=tuple(files[name] for name in MICRO_FILES),
            )
        )
    for kind, section, rule, folder in (
        ("data", "data", "prepare_records", "records"),
        ("benchmark", "benchmarks", "prepare_benchmark", "benchmarks"),
    ):
        for name, entry in experiment[section].items():
            if "generated" in entry:
                files[f"{kind} {name}"] = files[entry["generated"]]
                continue
            source = entry["prepare"]
            local = source["source"].get("path")
            files[f"{kind} {name}"] = add(
                Job(
                    f"data/{folder}/{name}.json",
                    rule,
                    f"data.{rule}",
                    ("datasets", "pyarrow", "pandas"),
                    {kind: source},
                    outside=(local,) if local else (),
                )
            )
    return files


def _model_job(experiment: dict[str, Any], run: Run, files: dict[str, str]) -> Job:
    path = f"models/{run.name}/manifest.json"
    common = {"chat_format": run.chat_format, "seed": run.seed}
    gate = run.recipe.get("gate")
    if run.role == "base" and run.recipe:
        return Job(
            path,
            "pretrain_base",
            "models.pretrain_base",
            PRETRAINING,
            {"recipe": run.recipe, **common},
            (files["corpus"], files["probe"]),
        )
    if run.data is None:
        return Job(path, "fetch_model", "models.fetch_model", (), {"model": run.section})
    inputs = [f"models/{run.parent}/manifest.json", files[f"data {run.data}"]]
    return Job(
        path,
        "reasoning_sft" if run.role == "lrm" else "safety_sft",
        "models.train_sft",
        TRAINING,
        {
            "recipe": run.recipe,
            "render": experiment["data"][run.data].get("render", {}),
            "data": run.data,
            **common,
        },
        tuple(inputs + ([files[gate["probe"]]] if gate else [])),
    )


def _generation_job(run: Run, name: str, benchmark: dict[str, Any], files: dict[str, str]) -> Job:
    engine = benchmark.get("engine", "hf")
    tasks = [
        str(path.relative_to(ROOT))
        for found in sorted((ROOT / "workflow" / "tasks").rglob(f"{benchmark['task']}.yaml"))
        for path in (found, *sorted(found.parent.glob("*.py")))
    ]
    return Job(
        f"generate/{run.name}/{name}/manifest.json",
        "generate_samples",
        "generate.generate_samples",
        GENERATION if engine == "hf" else (*GENERATION, "vllm"),
        {
            "benchmark": {key: benchmark[key] for key in GENERATION_KEYS if key in benchmark},
            "checkpoints": list(run.checkpoints),
            "engine": engine,
        },
        (f"models/{run.name}/manifest.json", files[f"benchmark {name}"]),
        "train" if engine == "hf" else "vllm",
        tuple(tasks),
    )
