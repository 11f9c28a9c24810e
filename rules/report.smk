"""Report: the trade-off table and figures from every score.

NEEDS: results/<experiment>/score/, data/overlap.json
MAKES: results/<experiment>/report/
"""


rule make_report:
    """Put reasoning, harm and over-refusal of all models side by side."""
    default_target: True
    input:
        scores=score_files,
        overlap="results/{experiment}/data/overlap.json".format(experiment=NAME),
    output:
        tables=expand(
            "results/{experiment}/report/tradeoff.{format}",
            experiment=NAME,
            format=["csv", "md", "tex", "json"],
        ),
    log:
        f"results/{NAME}/logs/report/report.log",
    benchmark:
        f"results/{NAME}/benchmarks/report/report.tsv"
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        spec=spec(
            "report.make_report",
            ("scipy", "statsmodels", "pandas", "matplotlib"),
            experiment=EXPERIMENT,
        ),
        experiment=canonical_json(EXPERIMENT),
        out=f"results/{NAME}/report",
    shell:
        r"""
        python -m workflow.scripts.report.make_report \
            --score-files {input.scores:q} --overlap {input.overlap:q} \
            --experiment {params.experiment:q} --out {params.out:q} &>{log:q}
        """
