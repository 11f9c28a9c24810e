"""Make large reasoning models, align them for safety, and measure what that costs.

data -> models -> generate -> score -> report, one file of rules/ per stage.
"""

from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


container: config.get("container")


localrules:
    all,
    models,
    samples,
    scores,


rule all:
    """The report, or what `--config only=PATTERN` asks for."""
    input:
        lambda w: awaited(GRAPH.asked),


include: "rules/common.smk"
include: "rules/cluster.smk"
include: "rules/data.smk"
include: "rules/models.smk"
include: "rules/generate.smk"
include: "rules/score.smk"
include: "rules/report.smk"
include: "rules/plan.smk"


rule models:
    """Every model run of the experiment."""
    input:
        of_stage("models"),


rule samples:
    """Every model's samples on every benchmark."""
    input:
        of_stage("generate"),


rule scores:
    """Every score."""
    input:
        of_stage("score"),
