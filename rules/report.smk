"""Report: the trade-off tables, figures, page and model cards from every score.

NEEDS: results/store/score/ and the overlap of training sets and benchmarks
MAKES: results/store/report/, shown as results/<experiment>/report/
"""


report: overview()


rule make_report:
    """Put reasoning, harm and over-refusal of all models side by side."""
    input:
        scores=needs("scores"),
        overlap=needs("overlap"),
        judges=needs("judges"),
    output:
        "results/store/report/{name}-{key}/result.json",
        **report_files("results/store/report/{name}-{key}"),
    log:
        "results/store/report/{name}-{key}/log.txt",
    benchmark:
        "results/store/report/{name}-{key}/timing.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        inputs=as_json(lambda job: report_inputs(GRAPH).without_defaults()),
        out=folder,
        result=result,
    shell:
        r"""
        python -m workflow.scripts.report.make_report --inputs /dev/stdin \
            --out {params.out:q} --result {params.result:q} <<<{params.inputs:q} &>{log:q}
        """
