"""What every stage's rules share: the checked experiment, its runs, and tracked params.

NEEDS: config.yaml and experiments/<experiment>.yaml
MAKES: NAME, EXPERIMENT, RUNS; functions of wildcards for input and params
"""

import sys

from workflow.scripts.common.codehash import code_digest
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.experiment import check_schema, list_runs, load_experiment
from workflow.scripts.common.io import canonical_json
from workflow.scripts.common.pins import pinned_versions

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


def spec(module, packages, **sections):
    """Return a params function: all that can change a result, as one canonical JSON.

    Args:
        module: The script, such as `models.train_sft`; hashed with every module it reaches.
        packages: The packages that compute the result; their pinned versions count.
        **sections: Values, or functions of the wildcards, from the experiment.
    """

    def get(wildcards):
        found = {k: v(wildcards) if callable(v) else v for k, v in sections.items()}
        found["code"] = code_digest(module)
        found["packages"] = pinned_versions(packages)
        return canonical_json(found)

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


def knobs(rule, key, default):
    """Return a resource of a rule: the experiment's word, else the default."""
    return EXPERIMENT.get("resources", {}).get(rule, {}).get(key, default)
