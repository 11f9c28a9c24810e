"""What each result of an experiment is made from: the only place that says it.

A result's *spec* is all that can change it but its inputs: sections of the experiment, the code
that its script reaches, the pinned packages that this code imports, files outside the results. Its
*key* is a hash of its name, its spec and the keys of its inputs, so two results with the same key
are the same result, whichever experiment asked for it and whenever it was made. What only makes a
job faster (GPUs, batch per device) is in no key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow.scripts.common.codehash import ROOT, RULES, code_version, reached_packages
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import canonical_json, sha256_file, sha256_text
from workflow.scripts.common.pins import pinned_versions
from workflow.scripts.config.engines import ENGINES
from workflow.scripts.config.generation import Generation
from workflow.scripts.config.mixtures import list_plain_sets, list_sets, parts_of
from workflow.scripts.config.record_filter import Filter
from workflow.scripts.data.packages import package_version
from workflow.scripts.data.tasks import Task, find_task
from workflow.scripts.graph.runs import Run, list_runs
from workflow.scripts.graph.sampling import is_own, list_asked, list_sampled, own_set
from workflow.scripts.models import method_registry

if TYPE_CHECKING:
    from workflow.scripts.config.dataset import Dataset
    from workflow.scripts.config.experiment import Benchmark, Experiment

# Modules that are loaded by name, for some jobs of a rule only.
ENGINE_MODULES = {name: f"generate.{name}_engine" for name in ENGINES}
ADAPTER_MODULES = {"hf": ("generate.hf_adapters",)}  # by engine
CONVERSION = "models.convert_gguf"
TASK_ITEMS = "data.task_items"
GYM = {"data": "data.gym_records", "benchmark": "data.gym_items"}

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
# Made only where an entry of data asks for them.
MICRO_IF_ASKED = ("complied",)
# Sizes that reach one file only; every other key of micro_data reaches all files.
MICRO_SIZES = ("harmful", "benign", "judge_train", "judge_test")
# Sections that say how and where to run, and what `make gate` asks: they change no result.
KNOBS = ("resources", "hardware", "budget", "runtime", "gate")
# What trains the runs of a role, where its alignment's method does not say it.
SFT_RULES = {"lrm": "reasoning_sft", "attacked": "attack_sft"}
# Where a ready-made model comes from.
MODEL_SOURCE = ("hub", "revision", "path", "package")
MODEL_FILES = ("*.safetensors", "*.bin", "*.json", "tokenizer.model", "*.txt", "*.jinja")
PAGE = (
    *sorted(
        str(path.relative_to(ROOT))
        for pattern in ("workflow/scripts/report/page/*.*", "workflow/report/*.rst")
        for path in ROOT.glob(pattern)
    ),
)
GENERATION_KEYS = (*Generation.model_fields, "ask")
TASK_SECTION = ("task", "include_path")


@dataclass(frozen=True)
class Result:
    """One result: a folder of the store.

    Attributes:
        name: Stage and plain name, such as `models/lrm/tiny/seed1`: its folder in the store without
            the key, and its link below `results/<experiment>/`.
        rule: The rule that makes it.
        module: The script that makes it, such as `models.train_sft`.
        file: Its main file, which the results made from it read.
        sections: What of the experiment can change it, as JSON values.
        inputs: Names of the results that it is made from, by the name of the input.
        environment: The lock of `envs/` that pins the packages.
        outside: Files and model folders outside the results that it reads. Files count by their
            content, model folders by names, sizes and samples of their files.
        also: Further scripts of the rule, and modules that the script loads for this result.
        imports: Packages that code outside the project imports for it: a task's own modules.
        shared: A score whose scorer loads a model or asks a service: made with others of its kind.
        run: The model run that it makes or uses; None for the others.
        benchmark: The benchmark, for samples and scores.
        scorer: The scorer, for scores.
        development: Samples and scores of a development benchmark, which no report shows.
        for_data: Samples or scores that a training set is made from, which no report shows.
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
    imports: frozenset[str] = frozenset()
    shared: bool = False
    run: Run | None = None
    benchmark: str | None = None
    scorer: str | None = None
    development: bool = False
    for_data: bool = False

    @property
    def stage(self) -> str:
        return self.name.partition("/")[0]

    @property
    def is_shown(self) -> bool:
        """Whether a report shows it, of samples and scores."""
        return not (self.for_data or self.development)

    @property
    def made_from(self) -> tuple[str, ...]:
        """The names of all results that it is made from, each once."""
        return tuple(dict.fromkeys(name for names in self.inputs.values() for name in names))

    def spec(self, root: Path = ROOT) -> dict[str, Any]:
        """Return all that can change the result but its inputs."""
        modules = (self.module, *self.also)
        imports = self.imports.union(*(reached_packages(name, root) for name in modules))
        return {
            **self.sections,
            "code": {name: code_version(name, root) for name in modules},
            # score_samples_api has the command of score_samples
            "shell": code_version(f"{RULES}{self.rule.removesuffix('_api')}", root),
            "packages": pinned_versions(imports, self.environment),
            **{f"file {path}": _outside_digest(path, root) for path in self.outside},
        }


def list_results(experiment: Experiment, title: str) -> dict[str, Result]:
    """Return every result of an experiment by name, inputs before what is made from them.

    Args:
        experiment: The checked and pinned experiment.
        title: Its name.
    """
    found = _data(experiment)
    texts = list_texts(experiment)
    runs = list_runs(experiment)
    for run in runs.values():
        if run.weights == run.name:
            _add(found, _model(experiment, run, texts))
    _add_judges(experiment, found)
    _add_own_sets(experiment, texts, runs, found)
    asked = _asked_scores(experiment, runs.values())
    scores = [
        result
        for run in runs.values()
        for result in _measured(experiment, run, texts, found, asked)
        if _add(found, result) and result.stage == "score"
    ]
    training = list_training_texts(experiment)
    _add(
        found,
        Result(
            "data/overlap",
            "measure_overlap",
            "data.measure_overlap",
            "overlap.json",
            {
                "data": list_plain_sets(experiment),
                "benchmarks": list(experiment.benchmarks),
            },
            {
                "train": tuple(dict.fromkeys(training.values())),
                "benchmarks": tuple(texts[f"benchmark {name}"] for name in experiment.benchmarks),
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
                "scores": tuple(score.name for score in scores if score.is_shown),
                "overlap": ("data/overlap",),
                "judges": tuple(f"score/judges/{name}" for name in experiment.judges),
            },
            outside=PAGE,
        ),
    )
    return _in_order(found)


def _in_order(results: dict[str, Result]) -> dict[str, Result]:
    """Return results in their order, but each behind those that it is made from."""
    found: dict[str, Result] = {}

    def add(name: str) -> None:
        if name not in found:
            for one in results[name].made_from:
                add(one)
            found[name] = results[name]

    for name in results:
        add(name)
    return found


def _add_judges(experiment: Experiment, found: dict[str, Result]) -> None:
    """Add the judges that are trained here or fetched to `found`."""
    for name, judge in experiment.judges.items():
        inputs = {"train": (_micro("judge_train"),), "test": (_micro("judge_test"),)}
        _add(
            found,
            Result(
                f"score/judges/{name}",
                "train_judge",
                "score.train_judge",
                "judge.json",
                {"judge": judge.without_defaults()},
                inputs,
            ),
        )
    for name, scorer in experiment.scorers.items():
        if section := scorer.fetched_judge():
            _add(
                found,
                Result(
                    f"score/fetched/{name}",
                    "fetch_judge",
                    "score.fetch_judge",
                    "fetched.json",
                    {"scorer": section.without_defaults()},
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


def report_section(experiment: Experiment) -> dict[str, Any]:
    """Return what of the experiment a report shows: all but what says how and where to run."""
    shown = experiment.with_sources()
    return {key: value for key, value in shown.items() if key not in KNOBS}


def _add(found: dict[str, Result], result: Result) -> str:
    found[result.name] = result
    return result.name


def _micro(file: str) -> str:
    return f"data/micro/{file}"


def list_texts(experiment: Experiment) -> dict[str, str]:
    """Return the result that holds each training set (`data NAME`) and `benchmark NAME`.

    For a training set that LRMs write, the latter are the prompts that they are asked.
    """
    texts = {}
    for kind, section, folder in (
        ("data", "data", "records"),
        ("benchmark", "benchmarks", "benchmarks"),
    ):
        for name, entry in getattr(experiment, section).items():
            if kind == "data" and is_own(experiment, name):
                continue  # a text for each LRM
            if entry.generated:
                texts[f"{kind} {name}"] = _micro(entry.generated)
            else:
                place = "mixtures" if getattr(entry, "mix", None) else folder
                texts[f"{kind} {name}"] = f"data/{place}/{name}"
    for name, sampled in list_sampled(experiment).items():
        texts[f"benchmark {name}"] = texts[f"data {sampled.prompts}"]
    return texts


def list_training_texts(experiment: Experiment) -> dict[str, str]:
    """Return the results that hold the texts that models learn, by name; mixtures add none."""
    texts = list_texts(experiment)
    corpus = {"corpus": _micro("corpus")} if experiment.micro_data else {}
    sets = {name: texts[f"data {name}"] for name in list_plain_sets(experiment)}
    return {**corpus, **sets}


def _data(experiment: Experiment) -> dict[str, Result]:
    """Return the data stage's results but the overlap.

    One job generates all files of micro_data, but each is a result of its own: a longer benchmark
    does not make the models stale.
    """
    found: dict[str, Result] = {}
    asked = {entry.generated for entry in experiment.data.values()}
    sizes = experiment.micro_data.without_defaults() if experiment.micro_data else {}
    files = (*MICRO_FILES, *(file for file in MICRO_IF_ASKED if file in asked))
    for file in files if experiment.micro_data else ():
        kept = {key: value for key, value in sizes.items() if key not in MICRO_SIZES or key == file}
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
    texts = list_texts(experiment)
    for kind, section, rule, file in (
        ("data", "data", "prepare_records", "records"),
        ("benchmark", "benchmarks", "prepare_benchmark", "items"),
    ):
        for name, entry in getattr(experiment, section).items():
            if getattr(entry, "task", None):
                _add(found, _task_items(name, entry))
            if entry.reasoning_gym:
                _add(found, _drawn(kind, name, entry, texts))
            if entry.prepare is None:
                continue
            source = entry.prepare.source
            folder = "records" if kind == "data" else "benchmarks"
            _add(
                found,
                Result(
                    f"data/{folder}/{name}",
                    rule,
                    f"data.{rule}",
                    f"{file}.jsonl",
                    {kind: entry.prepare.without_defaults(), **_package(source.package)},
                    outside=(source.path,) if source.path else (),
                    benchmark=name if kind == "benchmark" else None,
                ),
            )
    for name, dataset in experiment.data.items():
        if dataset.mix and not is_own(experiment, name):
            _add(found, _mixture(experiment, name, texts))
    return found


def _mixture(
    experiment: Experiment, name: str, texts: dict[str, str], lrm: str | None = None
) -> Result:
    """Return a mixture; where LRMs write some of its sets, that of one of them."""
    entry = experiment.data[name]
    sets = (_text_of(experiment, one, texts, lrm) for one in list_sets(experiment, name))
    return Result(
        _text_of(experiment, name, texts, lrm),
        "mix_records",
        "data.mix_records",
        "records.jsonl",
        {
            "mixture": {
                "mix": [part.without_defaults() for part in parts_of(entry)],
                "seed": entry.seed,
            }
        },
        {"sets": tuple(sets)},
    )


def _text_of(experiment: Experiment, name: str, texts: dict[str, str], lrm: str | None) -> str:
    """Return the result that holds a training set, as an LRM wrote it where they do."""
    return texts.get(f"data {name}") or own_set(experiment, name, lrm)


def _add_own_sets(
    experiment: Experiment,
    texts: dict[str, str],
    runs: Mapping[str, Run],
    found: dict[str, Result],
) -> None:
    """Add to `found` the training sets of its models that LRMs write, and what these are made from.

    That is an LRM's samples and their verdicts, and mixtures with such sets.
    """
    asked = list_asked(experiment)
    waiting = [one for made in found.values() for one in made.made_from if one.startswith("data/")]
    for name in waiting:
        if name in found:
            continue
        _, place, entry, seed_of_lrm = name.split("/", 3)
        lrm = f"lrm/{seed_of_lrm}"
        if place == "mixtures":
            mixture = _mixture(experiment, entry, texts, lrm)
            _add(found, mixture)
            waiting += mixture.made_from
            continue
        sampled = list_sampled(experiment)[entry]
        samples = replace(_samples(asked[entry], runs[lrm], entry, texts), for_data=True)
        verdicts = _score(experiment, samples, sampled.judge, found)
        _add(found, samples)
        _add(found, verdicts)
        _add(
            found,
            Result(
                name,
                "filter_samples",
                "data.filter_samples",
                "records.jsonl",
                {"filter": sampled.without_defaults(Filter.model_fields)},
                {"samples": (samples.name,), "verdicts": (verdicts.name,)},
            ),
        )


def _task_items(name: str, entry: Benchmark) -> Result:
    """Return the items of a benchmark that is a task of lm-eval."""
    task, source = _task_of(entry), entry.source
    return Result(
        f"data/benchmarks/{name}",
        "prepare_benchmark",
        "data.prepare_benchmark",
        "items.jsonl",
        {
            "benchmark": {
                **entry.without_defaults(TASK_SECTION),
                **({"source": source.without_defaults()} if source else {}),
            },
            **({"task": task.asks} if task.local else {}),
        },
        outside=(*task.code, *task.data_files),
        also=(TASK_ITEMS,),
        imports=task.imports,
        benchmark=name,
    )


def _drawn(kind: str, name: str, entry: Dataset | Benchmark, texts: dict[str, str]) -> Result:
    """Return the records or items that are drawn from a task of reasoning-gym."""
    rule, file = {
        "data": ("prepare_records", "records"),
        "benchmark": ("prepare_benchmark", "items"),
    }[kind]
    return Result(
        texts[f"{kind} {name}"],
        rule,
        f"data.{rule}",
        f"{file}.jsonl",
        {kind: entry.without_defaults(("reasoning_gym", "split"))},
        also=(GYM[kind],),
        benchmark=name if kind == "benchmark" else None,
    )


def _task_of(benchmark: Benchmark) -> Task:
    return find_task(str(benchmark.task), benchmark.include_path)


def _package(name: str | None) -> dict[str, Any]:
    return {"package": {name: package_version(name)}} if name else {}


def _model(experiment: Experiment, run: Run, texts: dict[str, str]) -> Result:
    name = f"models/{run.name}"
    common = {"chat_format": run.chat_format, "seed": run.seed}
    if run.pretrain:
        return Result(
            name,
            "pretrain_base",
            "models.pretrain_base",
            "manifest.json",
            {"recipe": run.pretrain.without_defaults(), **common},
            {"corpus": (_micro("corpus"),), "probe": (_micro("probe"),)},
            run=run,
        )
    if run.method is None:
        model = run.section.without_defaults(MODEL_SOURCE)
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
        str(method.SCRIPT),
        "manifest.json",
        method.sections(run, experiment),
        {
            role: tuple(_input_of(experiment, kind, one, texts, run) for one in names)
            for role, (kind, *names) in method.inputs(run, experiment).items()
        },
        also=method_registry.list_modules(run, experiment),
        run=run,
    )


def _rule_of(run: Run, trains: bool) -> str:
    if run.role in SFT_RULES:
        return SFT_RULES[run.role]
    return "safety_sft" if trains else "derive_model"


def _input_of(experiment: Experiment, kind: str, name: str, texts: dict[str, str], run: Run) -> str:
    """Return the result that a method names as an input, see `models/method_registry.py`."""
    if kind in ("run", "score"):
        return f"models/{name}" if kind == "run" else f"score/{name}"
    if kind == "generated":
        return _micro(name)
    return _text_of(experiment, name, texts, run.lrm)


def _asked_scores(experiment: Experiment, runs: Iterable[Run]) -> frozenset[str]:
    """Return RUN/BENCHMARK/SCORER of all scores that models are made from."""
    inputs = [
        one
        for run in runs
        if run.method and run.weights == run.name
        for one in method_registry.get(run.method).inputs(run, experiment).values()
    ]
    return frozenset(name for kind, *names in inputs if kind == "score" for name in names)


def _measured(
    experiment: Experiment,
    run: Run,
    texts: dict[str, str],
    found: dict[str, Result],
    asked: Collection[str],
) -> Iterable[Result]:
    """Yield a run's samples and their scores.

    Test benchmarks are measured by all their scorers, unless its alignment is not evaluated;
    development benchmarks where a model is made from the score.
    """
    for name, benchmark in experiment.benchmarks.items():
        chosen = [
            one
            for one in benchmark.scorers
            if (f"{run.name}/{name}/{one}" in asked if is_development(benchmark) else run.evaluate)
        ]
        left_out = run.benchmarks is not None and name not in run.benchmarks
        if left_out or not chosen:
            continue
        samples = _samples(benchmark, run, name, texts)
        yield samples
        for scorer in chosen:
            yield _score(experiment, samples, scorer, found)


def _samples(benchmark: Benchmark, run: Run, name: str, texts: dict[str, str]) -> Result:
    """Return a run's samples on what it is asked, see `list_asked`."""
    engine = benchmark.engine
    return Result(
        f"generate/{run.name}/{name}",
        "generate_samples",
        "generate.generate_samples",
        "samples.jsonl",
        {
            "benchmark": benchmark.without_defaults(GENERATION_KEYS),
            "checkpoints": list(run.checkpoints),
            "engine": engine,
            **({"prompting": run.prompting.without_defaults()} if run.prompting else {}),
        },
        {
            "model": (f"models/{run.weights}",),
            "prompts": (texts[f"benchmark {name}"],),
            **({"base": (f"models/{run.parent}",)} if run.keeps_adapters else {}),
        },
        ENGINES[engine],
        also=(
            ENGINE_MODULES[engine],
            *(ADAPTER_MODULES.get(engine, ()) if run.keeps_adapters else ()),
        ),
        run=run,
        benchmark=name,
        development=is_development(benchmark),
    )


def is_development(benchmark: Benchmark) -> bool:
    """Tell whether a benchmark is there to choose models by, and not to measure them."""
    return benchmark.split == "development"


def _score(experiment: Experiment, samples: Result, name: str, found: dict[str, Result]) -> Result:
    """Return the score of samples by a scorer."""
    assert samples.run is not None and samples.benchmark is not None
    scorer, inputs = experiment.scorers[name], {"samples": (samples.name,)}
    if judge := scorer.trained_judge():
        inputs["judge"] = (f"score/judges/{judge}",)
    if (fetched := f"score/fetched/{name}") in found:
        inputs["fetched"] = (fetched,)
    local, asked = scorer.local_model(), bool(scorer.endpoints())
    score = Result(
        f"score/{samples.run.name}/{samples.benchmark}/{name}",
        "score_samples_api" if asked else "score_samples",
        "score.score_samples",
        "score.json",
        {"scorer": scorer.without_defaults()},
        inputs,
        outside=(local,) if local else (),
        also=scorer.modules(),
        shared=asked or scorer.parameters > 0,
        run=samples.run,
        benchmark=samples.benchmark,
        scorer=name,
        for_data=samples.for_data,
        development=samples.development,
    )
    if scorer.reads is None:
        return score
    score = replace(score, inputs={**inputs, "prompts": samples.inputs["prompts"]})
    if scorer.reads != "task":
        return score
    task = _task_of(experiment.benchmarks[samples.benchmark])
    return replace(
        score,
        sections={**score.sections, **({"task": task.scores} if task.local else {})},
        outside=task.code,
        imports=task.imports,
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
