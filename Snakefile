"""Make large reasoning models, align them for safety, and measure what that costs.

data -> models -> generate -> score -> report, one file of rules/ per stage.
"""

from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/slurm.smk"
include: "rules/data.smk"
include: "rules/models.smk"
include: "rules/generate.smk"
include: "rules/score.smk"
include: "rules/report.smk"
include: "rules/plan.smk"
include: "rules/run.smk"


localrules:
    models,
    samples,
    scores,


rule models:
    """Every model run of the experiment."""
    input:
        expand("results/{experiment}/models/{run}/manifest.json", experiment=NAME, run=RUNS),


rule samples:
    """Every model's samples on every benchmark."""
    input:
        SAMPLES,


rule scores:
    """Every score."""
    input:
        SCORES,


# (In an included file `default_target:` has no effect.)
workflow.default_target = "make_report"
