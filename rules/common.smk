"""What every stage's rules share: the graph of the experiment, and functions that ask it.

NEEDS: config.yaml and experiments/<experiment>.yaml
MAKES: NAME, EXPERIMENT, RUNS, TEXTS, GRAPH; functions of wildcards for input and params
"""

import re
import sys
from contextlib import suppress
from functools import cache
from inspect import signature

from snakemake.cli import get_argument_parser
from snakemake.exceptions import WorkflowError

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import canonical_json
from workflow.scripts.cluster.resources import computing_gpus, fewest_gpus, parameters
from workflow.scripts.config.experiment import Config
from workflow.scripts.config.kinds import KINDS
from workflow.scripts.config.section import read_section
from workflow.scripts.data.resolve_pins import check_pins
from workflow.scripts.graph.jobs import read_graph
from workflow.scripts.graph.report_inputs import report_inputs
from workflow.scripts.graph.results import list_texts, list_training_texts
from workflow.scripts.graph.runs import origin_of
from workflow.scripts.graph.store import KEY, remove_false_receipts
from workflow.scripts.graph.targets import check_targets
from workflow.scripts.graph.view import update_view
from workflow.scripts.models.fit import check_fit
from workflow.scripts.models import method_registry
from workflow.scripts.models.recipe import batch_plan
from workflow.scripts.report.figures.registry import FIGURES, title_of
from workflow.scripts.report.overview import describe_experiment

BASE = Path(workflow.basedir)
try:
    CONFIG = read_section(Config, config, "config.yaml")
    NAME = CONFIG.experiment
    GRAPH = read_graph(NAME, BASE, CONFIG.only)
    if workflow.is_main_process and any("/" in word for word in sys.argv[1:]):
        # the workflow itself is told its targets when it is too late for a word on them
        check_targets(get_argument_parser().parse_known_args(sys.argv[1:])[0].targets, GRAPH)
except InputError as error:
    sys.exit(f"error: {error}")
EXPERIMENT, RUNS = GRAPH.experiment, GRAPH.runs
TEXTS = list_texts(EXPERIMENT)
if workflow.is_main_process:
    remove_false_receipts(GRAPH)
    # here, for a run that has nothing to do calls no handler; a clone may be somebody else's
    with suppress(PermissionError):
        update_view(GRAPH)


wildcard_constraints:
    key=KEY,


def known(function):
    """Spare Snakemake the look at a function's parameters, which it takes at every call."""
    function.__signature__ = signature(function)
    return function


def job_of(wildcards):
    """Return the graph's job that a rule's output belongs to."""
    if wildcards.key not in GRAPH.jobs:
        raise WorkflowError(
            f"{wildcards.name}-{wildcards.key}: {NAME} asks for no such result; if this run was "
            "going on, its code or its experiment changed meanwhile: start it again"
        )
    return GRAPH.jobs[wildcards.key]


def of_job(function):
    """Return a function of wildcards that gives `function(job)`."""
    return known(lambda wildcards: function(job_of(wildcards)))


def of_run(function):
    """Return a function of wildcards that gives `function(run)` of a job on one model run."""
    return of_job(lambda job: function(job.results[0].run))


def needs(role):
    """Return an input function: the results that a job is made from under this name.

    A result is complete or absent, so the times of its files say nothing.
    """
    return of_job(lambda job: [ancient(file) for file in GRAPH.needs(job, role)])


def file_of(role):
    """Return a params function: the main file of an input."""
    return of_job(lambda job: GRAPH.path(job.results[0].inputs[role][0]))


def files_of(role):
    """Return a params function: the main files of an input that is several results."""
    return of_job(lambda job: [GRAPH.path(name) for name in job.results[0].inputs[role]])


def option(flag, role):
    """Return a params function: a flag with an input's main file; nothing without the input."""

    def get(job):
        return [flag, *(GRAPH.path(name) for name in job.results[0].inputs.get(role, ()))]

    return of_job(lambda job: get(job) if len(get(job)) > 1 else [])


def as_json(function):
    """Return a params function that gives `function(job)` as JSON."""
    return of_job(lambda job: canonical_json(function(job)))


# What a job makes: the folder of its result, and what `result.json` shall say of it.
folder = of_job(lambda job: GRAPH.folder(job.results[0].name))
result = as_json(lambda job: GRAPH.record(job.results[0]))


def items(describe):
    """Return a params function: all that a job makes, as a JSON list, each with folder and record.

    Args:
        describe: Gives the other fields of one result.
    """
    return as_json(
        lambda job: [
            {
                **describe(made),
                "out": GRAPH.folder(made.name),
                "result": GRAPH.record(made),
            }
            for made in job.results
        ]
    )


def awaited(names):
    """Return the files that tell Snakemake that results are complete."""
    return list(dict.fromkeys(map(GRAPH.awaited, names)))


def of_stage(stage):
    """Return what Snakemake makes for all results of a stage."""
    return awaited(name for name in GRAPH.results if name.startswith(f"{stage}/"))


def target_readers(benchmark):
    """Return the scorers that compare a benchmark's answers with its targets."""
    section = EXPERIMENT.benchmarks[benchmark]
    names = section.scorers if KINDS[section.kind].has_target else ()
    return [EXPERIMENT.scorers[name].without_defaults() for name in names]


def training_texts():
    """Return NAME=FILE of everything that a model is trained on."""
    texts = list_training_texts(EXPERIMENT)
    return [f"{name}={GRAPH.path(text)}" for name, text in texts.items()]


def benchmark_items():
    """Return NAME=FILE of every benchmark's items."""
    return [f"{b}={GRAPH.path(TEXTS[f'benchmark {b}'])}" for b in EXPERIMENT.benchmarks]


def model_source(run):
    """Return where a ready-made model comes from, without its revision."""
    return run.section.without_defaults(("hub", "path", "package"))


def model_revision(run):
    revision = run.section.revision
    return ["--revision", revision] if revision else []


def method_of_run(run):
    return method_registry.get(run.method)


def alignments_that(train):
    """Return a regular expression of the alignments whose method trains, or of those that do not."""
    methods = {n: method_registry.method_of(one) for n, one in EXPERIMENT.alignments.items()}
    found = [re.escape(n) for n, one in methods.items() if one.SCRIPT and one.TRAINS == train]
    return "|".join(found) or r"(?!)"


def input_options(job):
    """Return `--NAME FILE` for each input of a method's script."""
    inputs = [(role, name) for role, names in job.results[0].inputs.items() for name in names]
    return [text for role, name in inputs for text in (f"--{role}", GRAPH.path(name))]


def published_name(wildcards):
    """Return the repository that a model is published as."""
    if not config.get("publish_to"):
        raise WorkflowError(
            "publish_to is not set, expected your name on the hub: --config publish_to=NAME"
        )
    run = "-".join(Path(wildcards.run).parts)
    return f"{config['publish_to']}/{NAME}-{run}"


def training_runtime(rule):
    """Return a params function: the GPUs of a training job and its knobs, as a JSON option."""

    @known
    def get(wildcards, threads, resources):
        run = job_of(wildcards).results[0].run
        if not method_of_run(run).TRAINS:
            return []
        gpus = computing_gpus(EXPERIMENT, run, gpus_of(resources), resources.nodes)
        knobs = getattr(EXPERIMENT.runtime, rule).without_defaults()
        runtime = {"gpus": gpus, **({} if gpus else {"cpu_threads": threads}), **knobs}
        return ["--runtime", canonical_json(runtime)]

    return get


def engine(job):
    return job.results[0].sections["engine"]


def prompts_of(samples):
    """Return what the experiment says of a benchmark's generation, with its items' path."""
    (items,) = samples.inputs["prompts"]
    section = {**samples.sections["benchmark"], "data": GRAPH.path(items)}
    told = {key: samples.sections[key] for key in ("prompting",) if key in samples.sections}
    if told or samples.run.keeps_adapters:
        told["run"] = run_of(samples)
    return {"name": samples.benchmark, "section": section, **told}


def run_of(samples):
    """Return the run that writes samples, where a job has those of several."""
    base = samples.inputs.get("base")
    return {
        "name": samples.run.name,
        "model": GRAPH.path(samples.inputs["model"][0]),
        "checkpoints": samples.run.checkpoints,
        **({"base": GRAPH.path(base[0])} if base else {}),
    }


@known
def generation_runtime(wildcards, resources):
    """Return how a generating job splits its GPUs, and its knobs, as JSON.

    A model takes as few GPUs as hold it; what is over serves further copies of it.
    """
    run = job_of(wildcards).results[0].run
    gpus = computing_gpus(EXPERIMENT, run, gpus_of(resources))
    knobs = EXPERIMENT.runtime.generate_samples.without_defaults()
    if not gpus:
        return canonical_json({**knobs, "gpus": 0, "tensor_parallel": 1})
    tensor = knobs.get("tensor_parallel") or min(gpus, fewest_gpus(parameters(EXPERIMENT, run)))
    split = {"tensor_parallel": tensor, "data_parallel": max(gpus // tensor, 1)}
    return canonical_json({**knobs, "gpus": gpus, **split})


def scoring_of(score):
    """Return what score_samples needs to know of one score."""
    (samples,) = score.inputs["samples"]
    judges, prompts = (score.inputs.get(role, ()) for role in ("judge", "prompts"))
    return {
        "samples": GRAPH.folder(samples),
        "scorer": score.sections["scorer"],
        "scorer_name": score.scorer,
        "judge": GRAPH.folder(judges[0]) if judges else None,
        "prompts": GRAPH.folder(prompts[0]) if prompts else None,
    }


def caption(name, text):
    """Return a file with a text for `snakemake --report`."""
    path = Path(".snakemake", "captions", f"{name}.rst").resolve()
    if workflow.is_main_process:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(path)


def overview():
    """Return the file that `snakemake --report` opens with."""
    folder = BASE / "results" / NAME / "report"
    return caption("overview", describe_experiment(NAME, EXPERIMENT.description, folder))


def report_files(folder):
    """Return the outputs of a report, those for people marked for `snakemake --report`."""

    def shown(path, text, category, title):
        return report(
            f"{folder}/{path}",
            caption=text,
            category=category,
            labels={"what": title},
        )

    page, table = (f"../workflow/report/{name}.rst" for name in ("page", "tradeoff"))
    return {
        "csv": shown("tradeoff.csv", table, "Tables", "Every number"),
        "page": shown("index.html", page, "Page", "The whole report"),
        "pictures": [
            shown(f"{name}.png", caption(name, figure.CAPTION), "Figures", title_of(name))
            for name, figure in FIGURES.items()
        ],
    }
