"""What each result of an experiment is made from: the only place that says it.

A result's *spec* is all that can change it but its inputs: sections of the experiment, the code
that its script reaches, the pinned packages that this code imports, files outside the results. Its
*key* is a hash of its name, its spec and the keys of its inputs, so two results with the same key
are the same result, whichever experiment asked for it and whenever it was made. What only makes a
job faster (GPUs, batch per device) is in no key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from workflow.scripts.common.codehash import ROOT, RULES, code_version, reached_packages
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import canonical_json, sha256_file, sha256_text
from workflow.scripts.common.pins import pinned_versions
from workflow.scripts.config.engines import ENGINES
from workflow.scripts.config.generation import Generation
from workflow.scripts.data.packages import package_version
from workflow.scripts.graph.runs import Run, list_runs
from workflow.scripts.graph.sampling import SAMPLED, filter_of, list_asked, list_sampled, set_of
from workflow.scripts.models import method_registry
from workflow.scripts.score.registry import read_scorer
from workflow.scripts.score.scorer import ScorerSection

# Modules that are loaded by name, for some jobs of a rule only.
ENGINE_MODULES = {name: f"generate.{name}_engine" for name in ENGINES}
CONVERSION = "models.convert_gguf"

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
# Sizes that reach one file only; every other key of micro_data reaches all files.
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
GENERATION_KEYS = (*Generation.model_fields, "ask")


@dataclass(frozen=True)
class Result:
    """One result: a folder of the store.

    Attributes:
        name: Stage and plain name, such as `models/lrm/tiny/seed1`: its folder in the store without
            the key, and its link below `results/<experiment>/`.
        rule: The rule that makes it.
        module: The script that makes it, such as `models.train_sft`.
        file: Its main file, which the results made from it read.
        sections: What of the experiment can change it.
        inputs: Names of the results that it is made from, by the name of the input.
        environment: The lock of `envs/` that pins the packages.
        outside: Files and model folders outside the results that it reads. Files count by their
            content, model folders by names, sizes and samples of their files.
        also: Further scripts of the rule, and modules that the script loads for this result.
        shared: A score whose scorer loads a model or asks a service: made with others of its kind.
        for_data: Samples or scores that a training set is made from; no report shows them.
        run: The model run that it makes or uses; None for the others.
        benchmark: The benchmark, for samples and scores.
        scorer: The scorer, for scores.
    """

    name: str
    rule: str
    module: str
    file: str
    sections: dict[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    environment: str = "train"
    outside: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    shared: bool = False
    for_data: bool = False
    run: Run | None = None
    benchmark: str | None = None
    scorer: str | None = None

    @property
    def stage(self) -> str:
        return self.name.partition("/")[0]

    @property
    def made_from(self) -> tuple[str, ...]:
        """The names of all results that it is made from, each once."""
        return tuple(dict.fromkeys(name for names in self.inputs.values() for name in names))

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


@dataclass(frozen=True)
class _Known:
    """An experiment and what is read off it once, see the functions of these names."""

    experiment: dict[str, Any]
    texts: dict[str, str]
    scorers: dict[str, ScorerSection]
    asked: dict[str, dict[str, Any]]


def list_results(experiment: dict[str, Any], title: str) -> dict[str, Result]:
    """Return every result of an experiment by name, inputs before what is made from them.

    Args:
        experiment: The checked and pinned experiment.
        title: Its name.
    """
    found = _data(experiment)
    texts, scorers = list_texts(experiment), read_scorers(experiment)
    known = _Known(experiment, texts, scorers, list_asked(experiment))
    _judges(known, found)
    runs = list_runs(experiment)
    for run in runs.values():
        model = _model(experiment, run, texts)
        for name in model.made_from:
            if name.startswith(f"{SAMPLED}/") and name not in found:
                _sampled(known, name, runs[str(run.parent)], found)
        _add(found, model)
    scores = [
        _add(found, result)
        for run in runs.values()
        for name in experiment["benchmarks"]
        for result in _measured(known, run, name, found)
        if result.stage == "score"
    ]
    corpus = [_micro("corpus")] if "micro_data" in experiment else []
    given = [name for name in experiment["data"] if f"data {name}" in texts]
    training = dict.fromkeys([*corpus, *(texts[f"data {name}"] for name in given)])
    _add(
        found,
        Result(
            "data/overlap",
            "measure_overlap",
            "data.measure_overlap",
            "overlap.json",
            {"data": given, "benchmarks": list(experiment["benchmarks"])},
            {
                "train": tuple(training),
                "benchmarks": tuple(
                    texts[f"benchmark {name}"] for name in experiment["benchmarks"]
                ),
            },
        ),
    )
    _add(
        found,
        Result(
            f"report/{title}",
            "make_report",
            "report.make_report",
            "tradeoff.json",
            {"experiment": report_section(experiment)},
            {
                "scores": tuple(scores),
                "overlap": ("data/overlap",),
                "judges": tuple(f"score/judges/{name}" for name in experiment.get("judges", {})),
            },
            outside=PAGE,
        ),
    )
    return found


def _judges(known: _Known, found: dict[str, Result]) -> None:
    """Add the judges that are trained here or fetched to `found`."""
    for name, judge in known.experiment.get("judges", {}).items():
        inputs = {"train": (_micro("judge_train"),), "test": (_micro("judge_test"),)}
        _add(
            found,
            Result(
                f"score/judges/{name}",
                "train_judge",
                "score.train_judge",
                "judge.json",
                {"judge": judge},
                inputs,
            ),
        )
    for name, scorer in known.scorers.items():
        if section := scorer.fetched_judge():
            _add(
                found,
                Result(
                    f"score/fetched/{name}",
                    "fetch_judge",
                    "score.fetch_judge",
                    "fetched.json",
                    {"scorer": section},
                ),
            )


def list_keys(results: dict[str, Result], root: Path = ROOT) -> dict[str, str]:
    """Return the key of each result, by name."""
    keys: dict[str, str] = {}
    for name, result in results.items():
        inputs = {role: [keys[one] for one in names] for role, names in result.inputs.items()}
        made_from = {"name": name, "spec": result.spec(root), "inputs": inputs}
        keys[name] = sha256_text(canonical_json(made_from))[:16]
    return keys


def report_section(experiment: dict[str, Any]) -> dict[str, Any]:
    """Return what of the experiment a report shows: all but what says how and where to run."""
    return {key: value for key, value in experiment.items() if key not in KNOBS}


def read_scorers(experiment: dict[str, Any]) -> dict[str, ScorerSection]:
    """Return the experiment's scorers by name, see score/scorers/."""
    return {
        name: read_scorer(section, f"scorers.{name}")
        for name, section in experiment["scorers"].items()
    }


def _add(found: dict[str, Result], result: Result) -> str:
    found[result.name] = result
    return result.name


def _micro(file: str) -> str:
    return f"data/micro/{file}"


def list_texts(experiment: dict[str, Any]) -> dict[str, str]:
    """Return the result that holds each training set (`data NAME`) and `benchmark NAME`.

    For a training set that LRMs write, the latter are the prompts that they are asked.
    """
    texts = {}
    for kind, section, folder in (
        ("data", "data", "records"),
        ("benchmark", "benchmarks", "benchmarks"),
    ):
        for name, entry in experiment[section].items():
            if "sampled" in entry:  # a text for each LRM
                continue
            generated = entry.get("generated")
            texts[f"{kind} {name}"] = _micro(generated) if generated else f"data/{folder}/{name}"
    for name, sampled in list_sampled(experiment).items():
        texts[f"benchmark {name}"] = texts[f"data {sampled['prompts']}"]
    return texts


def _data(experiment: dict[str, Any]) -> dict[str, Result]:
    """Return the data stage's results but the overlap.

    One job generates all files of micro_data, but each is a result of its own: a longer benchmark
    does not make the models stale.
    """
    found: dict[str, Result] = {}
    for file in MICRO_FILES if "micro_data" in experiment else ():
        kept = {
            key: value
            for key, value in experiment["micro_data"].items()
            if key not in MICRO_SIZES or key == file
        }
        _add(
            found,
            Result(
                _micro(file),
                "make_micro_data",
                "data.make_micro_data",
                f"{file}.jsonl",
                {"micro_data": kept},
            ),
        )
    for kind, section, rule, file in (
        ("data", "data", "prepare_records", "records"),
        ("benchmark", "benchmarks", "prepare_benchmark", "items"),
    ):
        for name, entry in experiment[section].items():
            if "prepare" not in entry:
                continue
            source = entry["prepare"]
            local = source["source"].get("path")
            folder = "records" if kind == "data" else "benchmarks"
            _add(
                found,
                Result(
                    f"data/{folder}/{name}",
                    rule,
                    f"data.{rule}",
                    f"{file}.jsonl",
                    {kind: source, **_package(source["source"].get("package"))},
                    outside=(local,) if local else (),
                    benchmark=name if kind == "benchmark" else None,
                ),
            )
    return found


def _package(name: str | None) -> dict[str, Any]:
    return {"package": {name: package_version(name)}} if name else {}


def _model(experiment: dict[str, Any], run: Run, texts: dict[str, str]) -> Result:
    name = f"models/{run.name}"
    common = {"chat_format": run.chat_format, "seed": run.seed}
    if run.role == "base" and run.recipe:
        return Result(
            name,
            "pretrain_base",
            "models.pretrain_base",
            "manifest.json",
            {"recipe": run.recipe, **common},
            {"corpus": (_micro("corpus"),), "probe": (_micro("probe"),)},
            run=run,
        )
    if run.method is None:
        model = {key: run.section[key] for key in MODEL_SOURCE if key in run.section}
        package = model.get("package", {}).get("name")
        return Result(
            name,
            "fetch_model",
            "models.fetch_model",
            "manifest.json",
            {"model": model, "chat_format": run.chat_format, **_package(package)},
            outside=(model["path"],) if "path" in model else (),
            also=(CONVERSION,) if package else (),
            run=run,
        )
    method = method_registry.get(run.method)
    return Result(
        name,
        _rule_of(run, method.TRAINS),
        method.SCRIPT,
        "manifest.json",
        method.sections(run, experiment),
        {
            role: tuple(_input_of(kind, one, texts, run) for one in names)
            for role, (kind, *names) in method.inputs(run, experiment).items()
        },
        also=(f"models.methods.{run.method}",),  # tells the script's arguments
        run=run,
    )


def _rule_of(run: Run, trains: bool) -> str:
    if run.role == "lrm":
        return "reasoning_sft"
    return "safety_sft" if trains else "derive_model"


def _input_of(kind: str, name: str, texts: dict[str, str], run: Run) -> str:
    """Return the result that a method names as an input, see `models/method_registry.py`."""
    if kind == "run":
        return f"models/{name}"
    if kind == "data":
        return texts.get(f"data {name}") or set_of(name, run)
    return _micro(name)


def _sampled(known: _Known, name: str, lrm: Run, found: dict[str, Result]) -> None:
    """Add a training set that an LRM writes, with its samples and their verdicts, to `found`."""
    entry = name.split("/")[2]
    samples, verdicts = _measured(known, lrm, entry, found, for_data=True)
    _add(found, verdicts)
    sampled = known.experiment["data"][entry]["sampled"]
    _add(
        found,
        Result(
            name,
            "filter_samples",
            "data.filter_samples",
            "records.jsonl",
            {"filter": filter_of(sampled)},
            {"samples": (samples.name,), "verdicts": (verdicts.name,)},
        ),
    )


def _measured(
    known: _Known, run: Run, name: str, found: dict[str, Result], for_data: bool = False
) -> Iterable[Result]:
    """Add a run's samples on a benchmark to `found`; yield them and their scores."""
    benchmark = known.asked[name]
    engine = benchmark.get("engine", "hf")
    samples = Result(
        f"generate/{run.name}/{name}",
        "generate_samples",
        "generate.generate_samples",
        "samples.jsonl",
        {
            "benchmark": {key: benchmark[key] for key in GENERATION_KEYS if key in benchmark},
            "checkpoints": list(run.checkpoints),
            "engine": engine,
        },
        {"model": (f"models/{run.name}",), "prompts": (known.texts[f"benchmark {name}"],)},
        ENGINES[engine],
        task_files(benchmark.get("task", "prompts")),
        (ENGINE_MODULES[engine],),
        for_data=for_data,
        run=run,
        benchmark=name,
    )
    _add(found, samples)
    yield samples
    for scorer_name in benchmark["scorers"]:
        scorer = known.scorers[scorer_name]
        inputs = {"samples": (samples.name,)}
        if judge := scorer.trained_judge():
            inputs["judge"] = (f"score/judges/{judge}",)
        if (fetched := f"score/fetched/{scorer_name}") in found:
            inputs["fetched"] = (fetched,)
        local, asked = scorer.local_model(), bool(scorer.endpoints())
        yield Result(
            f"score/{run.name}/{name}/{scorer_name}",
            "score_samples_api" if asked else "score_samples",
            "score.score_samples",
            "score.json",
            {"scorer": known.experiment["scorers"][scorer_name]},
            inputs,
            outside=(local,) if local else (),
            also=scorer.modules(),
            shared=asked or scorer.parameters > 0,
            for_data=for_data,
            run=run,
            benchmark=name,
            scorer=scorer_name,
        )


@cache
def task_files(task: str) -> tuple[str, ...]:
    """Return the files of `workflow/tasks/` that define an lm-eval task."""
    return tuple(
        str(path.relative_to(ROOT))
        for found in sorted((ROOT / "workflow" / "tasks").rglob(f"{task}.yaml"))
        for path in (found, *sorted(found.parent.glob("*.py")))
    )


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
