"""What every stage's rules share: the checked experiment, its runs, and tracked params.

NEEDS: config.yaml and experiments/<experiment>.yaml
MAKES: NAME, EXPERIMENT, RUNS, JOBS, KEYS; functions of wildcards for input and params
"""

import sys
import uuid
from functools import cache
from inspect import signature

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import RerunTrigger

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.experiment import list_runs, load_experiment
from workflow.scripts.common.io import canonical_json
from workflow.scripts.common.jobs import (
    GENERATION_KEYS,
    MICRO_FILES,
    asks_api,
    fetched_part,
    input_keys,
    list_fetched_judges,
    list_jobs,
    list_keys,
    report_section,
)
from workflow.scripts.common.resources import computing_gpus, fewest_gpus, parameters
from workflow.scripts.common.staleness import TO_RUN, hidden_triggers, read_states
from workflow.scripts.config.experiment import Config
from workflow.scripts.config.section import read_section
from workflow.scripts.data.resolve_pins import check_pins, pin, read_lock
from workflow.scripts.models.fit import check_fit
from workflow.scripts.models.recipe import batch_plan
from workflow.scripts.report.figures.registry import FIGURES

BASE = Path(workflow.basedir)
try:
    NAME = read_section(Config, config, "config.yaml").experiment
    # A name of the hub means the commit that the experiment's lock file holds.
    LOCK = read_lock(BASE / "experiments" / f"{NAME}.lock.json")
    EXPERIMENT = pin(load_experiment(NAME, BASE), LOCK)
    RUNS = list_runs(EXPERIMENT)
    JOBS = list_jobs(EXPERIMENT)
    KEYS = list_keys(JOBS, BASE)
except InputError as error:
    sys.exit(f"error: {error}")


def one_of(names):
    """Return the pattern of a wildcard that takes one of `names`."""
    return "|".join(map(re.escape, names)) or "none"


wildcard_constraints:
    experiment=re.escape(NAME),
    # by their parts: an alternation of thousands of runs would make every match slow
    run="|".join(sorted({re.sub(r"seed\d+", r"seed\\d+", re.escape(run)) for run in RUNS})),
    base=one_of(EXPERIMENT["bases"]),
    lrm=one_of(EXPERIMENT["lrms"]),
    alignment=one_of(EXPERIMENT["alignments"]),
    dataset=one_of(EXPERIMENT["data"]),
    benchmark=one_of(EXPERIMENT["benchmarks"]),
    scorer=one_of(EXPERIMENT["scorers"]),
    judge=one_of(EXPERIMENT.get("judges", {})),


# What every result is made from, and which results have to be made: see staleness.py.
ROOT_FOLDER = f"results/{NAME}/"


@cache
def states():
    """Return the state of every result; the driver alone asks, for it decides what runs."""
    if not workflow.is_main_process:
        return {}
    settings = workflow.dag_settings
    # All else that Snakemake compares (params, set of inputs, code, environment) either stands in
    # the keys or changes no result.
    settings.rerun_triggers = frozenset({RerunTrigger.MTIME})
    # A run that was killed goes on when the same command is typed again.
    settings.force_incomplete = True
    named = {target.removeprefix(ROOT_FOLDER) for target in settings.targets}
    forced = {target.removeprefix(ROOT_FOLDER) for target in settings.forcerun}
    return read_states(
        JOBS,
        KEYS,
        Path(ROOT_FOLDER),
        # a rule that gathers results, such as `models`, asks for all of them
        asked=named if named - {"make_report"} <= set(JOBS) else JOBS,
        forced={job.rule for job in JOBS.values()} if settings.forceall else forced,
    )


@cache
def hidden():
    """Return what a job has to be shown to depend on, see `hidden_triggers`."""
    return hidden_triggers(JOBS, states())


SAMPLES = [f"{ROOT_FOLDER}{path}" for path in JOBS if path.startswith("generate/")]
SCORES = [f"{ROOT_FOLDER}{path}" for path in JOBS if path.endswith("score.json")]
JUDGES = [
    f"results/{NAME}/score/judges/{judge}/judge.json" for judge in EXPERIMENT.get("judges", {})
]

STALE = ".snakemake/stale"
if workflow.is_main_process:
    # Snakemake compares file times, which a checkout or a copy changes. What stands in the results
    # decides instead: a job that has to run has the input STALE, a file that is always new, and the
    # inputs of every other job are exempt from file times.
    Path(STALE).parent.mkdir(exist_ok=True)
    Path(STALE).write_text(str(uuid.uuid4()))


def known(function):
    """Spare Snakemake the look at a function's parameters, which it takes at every call."""
    function.__signature__ = signature(function)
    return function


def stale(result):
    """Return an input function: what makes `result` run again when it is not current."""

    @known
    def get(wildcards):
        path = job_path(result, wildcards)
        if states().get(path) not in TO_RUN:
            return []
        return [STALE, *(ROOT_FOLDER + name for name in hidden().get(path, ()))]

    return get


def needs(result, files):
    """Return an input function; the files' times count only where `result` has to be made."""

    @known
    def get(wildcards):
        path = job_path(result, wildcards)
        found = files(wildcards) if callable(files) else files.format(**wildcards)
        return ancient(found) if found and states().get(path) not in TO_RUN else found

    return get


def job_path(result, wildcards):
    """Return the path of a job's result below the experiment's folder."""
    path = result.format(**wildcards)
    if path not in JOBS:
        raise WorkflowError(f"{ROOT_FOLDER}{path}: the experiment asks for no such result")
    return path


def provenance(result):
    """Return a params function: spec and key of the job that makes `result`, as JSON."""

    @known
    def get(wildcards):
        path = job_path(result, wildcards)
        spec = JOBS[path].spec(BASE)
        inputs = input_keys(JOBS[path], KEYS)
        return canonical_json({"key": KEYS[path], "spec": spec, "inputs": inputs})

    return get


def caption_of(figure):
    """Return the file that `snakemake --report` reads a figure's caption from."""
    path = Path(".snakemake", "captions", f"{figure}.rst").resolve()
    if workflow.is_main_process:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FIGURES[figure].CAPTION)
    return str(path)


def report_files(folder):
    """Return the outputs of a report, those for people marked for `snakemake --report`."""

    def shown(path, caption, category):
        return report(
            f"{folder}/{path}",
            caption=caption,
            category=category,
            labels={"file": path},
        )

    return {
        "table": f"{folder}/tradeoff.json",
        "csv": shown("tradeoff.csv", "../workflow/report/tradeoff.rst", "Tables"),
        "tables": [f"{folder}/tradeoff.{ending}" for ending in ("md", "tex")],
        "page": shown("index.html", "../workflow/report/page.rst", "Page"),
        "pictures": [shown(f"{figure}.png", caption_of(figure), "Figures") for figure in FIGURES],
        "figures": [
            f"{folder}/{figure}.{ending}" for figure in FIGURES for ending in ("svg", "csv")
        ],
        "cards": directory(f"{folder}/cards"),
    }


def report_inputs():
    """Return everything that a report reads, by name."""
    scores, prompts, models = [], {}, {}
    for path in SCORES:
        *run, benchmark, scorer, _ = Path(path).relative_to(f"{ROOT_FOLDER}score").parts
        name = "/".join(run)
        scores.append(
            {
                "run": name,
                "benchmark": benchmark,
                "scorer": scorer,
                "folder": str(Path(path).parent),
                "samples": f"{ROOT_FOLDER}generate/{name}/{benchmark}",
            }
        )
        models[name] = f"{ROOT_FOLDER}models/{name}"
        if EXPERIMENT["benchmarks"][benchmark]["kind"] == "harmful":
            prompts[benchmark] = benchmark_file(benchmark)
    return {
        "experiment": report_section(EXPERIMENT),
        "scores": scores,
        "models": models,
        "prompts": prompts,
        "overlap": f"{ROOT_FOLDER}data/overlap.json",
        "judges": {Path(path).parent.name: str(Path(path).parent) for path in JUDGES},
        "transcripts": bool(EXPERIMENT.get("report", {}).get("transcripts")),
    }


def as_json(function):
    """Return a params function that gives `function(wildcards)` as canonical JSON."""
    return known(lambda wildcards: canonical_json(function(wildcards)))


def target_readers(benchmark):
    """Return the scorers that compare a benchmark's answers with its targets."""
    section = EXPERIMENT["benchmarks"][benchmark]
    names = section["scorers"] if section["kind"] == "reasoning" else []
    return [EXPERIMENT["scorers"][name] for name in names]


def run_of(wildcards):
    """Return the run that a rule's output belongs to."""
    if hasattr(wildcards, "run"):
        return RUNS[wildcards.run]
    if hasattr(wildcards, "alignment"):
        return RUNS["aligned/{w.lrm}/{w.alignment}/{w.tail}".format(w=wildcards)]
    if hasattr(wildcards, "lrm"):
        return RUNS["lrm/{w.lrm}/{w.tail}".format(w=wildcards)]
    return RUNS["base/{w.base}/{w.tail}".format(w=wildcards)]


def dataset_file(dataset):
    """Return the path of a training set."""
    entry = EXPERIMENT["data"][dataset]
    if "generated" in entry:
        return f"results/{NAME}/data/micro/{entry['generated']}.jsonl"
    return f"results/{NAME}/data/records/{dataset}.jsonl"


def training_texts():
    """Return the path of everything that a model is trained on, by name."""
    corpus = {"corpus": f"results/{NAME}/data/micro/corpus.jsonl"}
    sets = {name: dataset_file(name) for name in EXPERIMENT["data"]}
    return {**(corpus if "micro_data" in EXPERIMENT else {}), **sets}


def benchmark_file(benchmark):
    """Return the path of a benchmark's prompts."""
    entry = EXPERIMENT["benchmarks"][benchmark]
    if "generated" in entry:
        return f"results/{NAME}/data/micro/{entry['generated']}.jsonl"
    return f"results/{NAME}/data/benchmarks/{benchmark}.jsonl"


def parent_manifest(wildcards):
    """Return the manifest of the run that this run is trained from."""
    return f"results/{NAME}/models/{run_of(wildcards).parent}/manifest.json"


def training_set(wildcards):
    """Return the records that this run is trained on."""
    return dataset_file(run_of(wildcards).data)


def probe_file(wildcards):
    """Return the probe problems of the recipe's gate, where it has one."""
    gate = run_of(wildcards).recipe.get("gate")
    return f"results/{NAME}/data/micro/{gate['probe']}.jsonl" if gate else []


def model_source(wildcards):
    """Return where a ready-made model comes from, without its revision."""
    section = run_of(wildcards).section
    return {key: section[key] for key in ("hub", "path", "package") if key in section}


def model_revision(wildcards):
    revision = run_of(wildcards).section.get("revision")
    return ["--revision", revision] if revision else []


def published_name(wildcards):
    """Return the repository that a model is published as."""
    if not config.get("publish_to"):
        raise WorkflowError(
            "publish_to is not set, expected your name on the hub: --config publish_to=NAME"
        )
    run = "-".join(Path(wildcards.run).parts)
    return f"{config['publish_to']}/{wildcards.experiment}-{run}"


def recipe(wildcards):
    return run_of(wildcards).recipe


def render(wildcards):
    return EXPERIMENT["data"][run_of(wildcards).data].get("render", {})


def generation(wildcards):
    """Return what the experiment says of a benchmark's generation, with its prompts' path."""
    benchmark = EXPERIMENT["benchmarks"][wildcards.benchmark]
    section = {key: benchmark[key] for key in GENERATION_KEYS if key in benchmark}
    return {**section, "data": benchmark_file(wildcards.benchmark)}


def judge_file(wildcards):
    """Return the trained judge of a scorer, where it has one."""
    judge = EXPERIMENT["scorers"][wildcards.scorer].get("judge")
    return f"results/{NAME}/score/judges/{judge}/judge.json" if judge else []


def fetched_judge(wildcards):
    """Return what says that the files of a scorer's classifier are here, where it has one."""
    fetched = wildcards.scorer in list_fetched_judges(EXPERIMENT)
    return f"results/{NAME}/score/judges/{wildcards.scorer}/fetched.json" if fetched else []


def training_runtime(rule):
    """Return a params function: the GPUs of a training job and its knobs, as JSON."""

    @known
    def get(wildcards, threads, resources):
        gpus = computing_gpus(EXPERIMENT, run_of(wildcards), gpus_of(resources), resources.nodes)
        knobs = EXPERIMENT.get("runtime", {}).get(rule, {})
        return canonical_json({"gpus": gpus, **({} if gpus else {"cpu_threads": threads}), **knobs})

    return get


def check_memory_of(jobs):
    """Make sure that every training job fits its GPUs, and its batch divides over them."""
    for job in jobs:
        if job.rule.name in ("reasoning_sft", "safety_sft"):
            run, nodes = run_of(job.wildcards), job.resources.nodes
            gpus = computing_gpus(EXPERIMENT, run, gpus_of(job.resources), nodes)
            knobs = EXPERIMENT.get("runtime", {}).get(job.rule.name, {})
            try:
                devices = max(1, gpus * nodes)
                batch_plan(run.recipe["global_batch"], devices, knobs.get("per_device_batch"))
            except InputError as error:
                raise InputError(f"{job.rule.name} {run.name}: {error}") from None
            size = parameters(EXPERIMENT, run)
            check_fit(run, RUNS, knobs, gpus, nodes, Path(ROOT_FOLDER, "models"), size)


def check_tensor_parallel(jobs):
    """Make sure that no job spreads a model over more GPUs than it asks for."""
    tensor = EXPERIMENT.get("runtime", {}).get("generate_samples", {}).get("tensor_parallel", 1)
    for job in jobs:
        if job.rule.name == "generate_samples":
            gpus = computing_gpus(EXPERIMENT, run_of(job.wildcards), gpus_of(job.resources))
            if 0 < gpus < tensor:
                raise InputError(
                    f"runtime.generate_samples.tensor_parallel is {tensor}, but generate_samples "
                    f"{job.wildcards.benchmark} asks for {gpus} GPUs: raise its `gpu` in resources"
                )


def check_api_keys(jobs):
    """Make sure that the keys of endpoints that will be asked are in the environment."""
    scorers = {job.wildcards.scorer for job in jobs if job.rule.name == "score_samples_api"}
    for scorer in sorted(scorers):
        section = EXPERIMENT["scorers"][scorer]
        for part in ("llm", "extractor"):
            variable = (section.get(part) or {}).get("api_key_env")
            if variable and not os.environ.get(variable):
                raise InputError(
                    f"scorers.{scorer}.{part}: the environment variable {variable} (api_key_env) "
                    "is not set"
                )


def generation_runtime(wildcards, resources):
    """Return how a generating job splits its GPUs, and its knobs, as JSON.

    A model takes as few GPUs as hold it; what is over serves further copies of it.
    """
    run = run_of(wildcards)
    gpus = computing_gpus(EXPERIMENT, run, gpus_of(resources))
    knobs = EXPERIMENT.get("runtime", {}).get("generate_samples", {})
    if not gpus:
        return canonical_json({**knobs, "gpus": 0, "tensor_parallel": 1})
    tensor = knobs.get("tensor_parallel") or min(gpus, fewest_gpus(parameters(EXPERIMENT, run)))
    split = {"tensor_parallel": tensor, "data_parallel": max(gpus // tensor, 1)}
    return canonical_json({**knobs, "gpus": gpus, **split})


def engine(wildcards):
    """Return the engine that a benchmark's samples come from."""
    return EXPERIMENT["benchmarks"][wildcards.benchmark].get("engine", "hf")
