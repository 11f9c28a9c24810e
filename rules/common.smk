"""What every stage's rules share: the checked experiment, its runs, and tracked params.

NEEDS: config.yaml and experiments/<experiment>.yaml
MAKES: NAME, EXPERIMENT, RUNS; functions of wildcards for input and params
"""

import sys
import uuid

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.experiment import check_schema, list_runs, load_experiment
from workflow.scripts.common.io import canonical_json
from workflow.scripts.common.jobs import MICRO_FILES, list_jobs, list_keys, report_section
from workflow.scripts.common.provenance import is_current, read_provenance

try:
    check_schema(config, "config", "config.yaml")
    NAME = config["experiment"]
    EXPERIMENT = load_experiment(NAME, Path(workflow.basedir))
    RUNS = list_runs(EXPERIMENT)
except InputError as error:
    sys.exit(f"error: {error}")


wildcard_constraints:
    experiment=re.escape(NAME),
    run="|".join(map(re.escape, RUNS)),
    base="|".join(map(re.escape, EXPERIMENT["bases"])),
    lrm="|".join(map(re.escape, EXPERIMENT["lrms"])),
    alignment="|".join(map(re.escape, EXPERIMENT["alignments"])),
    dataset="|".join(map(re.escape, EXPERIMENT["data"])),
    benchmark="|".join(map(re.escape, EXPERIMENT["benchmarks"])),
    scorer="|".join(map(re.escape, EXPERIMENT["scorers"])),
    judge="|".join(map(re.escape, EXPERIMENT.get("judges", {})) or ["none"]),


# What every result is made from, and which results are still what they would be if made anew.
JOBS = list_jobs(EXPERIMENT)
KEYS = list_keys(JOBS, Path(workflow.basedir))
CURRENT = {
    path for path in JOBS if is_current(read_provenance(Path("results", NAME, path)), KEYS[path])
}
SCORES = [
    f"results/{NAME}/score/{run}/{name}/{scorer}/score.json"
    for run in RUNS
    for name, benchmark in EXPERIMENT["benchmarks"].items()
    for scorer in benchmark["scorers"]
]

JUDGES = [
    f"results/{NAME}/score/judges/{judge}/judge.json" for judge in EXPERIMENT.get("judges", {})
]

STALE = ".snakemake/stale"
if workflow.is_main_process:
    # Snakemake compares file times and its own memory (.snakemake/), which a checkout, a copy or a
    # loss changes. What stands in the results decides instead: every job has the input STALE, a
    # file that is always new, and the inputs of a current result are exempt from file times.
    Path(STALE).parent.mkdir(exist_ok=True)
    Path(STALE).write_text(str(uuid.uuid4()))


def stale(result):
    """Return an input function: what makes `result` run again when it is not current."""
    return needs(result, STALE)


def provenance(result):
    """Return a params function: spec and key of the job that makes `result`, as JSON."""

    def get(wildcards):
        path = result.format(**wildcards)
        job = JOBS[path]
        return canonical_json({"key": KEYS[path], "spec": job.spec(Path(workflow.basedir))})

    return get


def needs(result, files):
    """Return an input function; the files' times do not count while `result` is current."""

    def get(wildcards):
        found = files(wildcards) if callable(files) else files.format(**wildcards)
        return ancient(found) if result.format(**wildcards) in CURRENT and found else found

    return get


def as_json(function):
    """Return a params function that gives `function(wildcards)` as canonical JSON."""
    return lambda wildcards: canonical_json(function(wildcards))


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


def recipe(wildcards):
    return run_of(wildcards).recipe


def render(wildcards):
    return EXPERIMENT["data"][run_of(wildcards).data].get("render", {})


def generation(wildcards):
    """Return what the experiment says of a benchmark's generation, with its prompts' path."""
    benchmark = EXPERIMENT["benchmarks"][wildcards.benchmark]
    keys = ("task", "kind", "n", "repeats", "decoding")
    section = {key: benchmark[key] for key in keys if key in benchmark}
    return {**section, "data": benchmark_file(wildcards.benchmark)}


def judge_file(wildcards):
    """Return the trained judge of a scorer, where it has one."""
    judge = EXPERIMENT["scorers"][wildcards.scorer].get("judge")
    return f"results/{NAME}/score/judges/{judge}/judge.json" if judge else []
