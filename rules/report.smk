"""Report: the trade-off tables, figures, page and model cards from every score.

NEEDS: results/<experiment>/score/, data/overlap.json
MAKES: results/<experiment>/report/
"""


rule make_report:
    """Put reasoning, harm and over-refusal of all models side by side."""
    input:
        stale=stale("report/tradeoff.json"),
        scores=needs("report/tradeoff.json", lambda w: SCORES),
        overlap=needs("report/tradeoff.json", lambda w: f"results/{NAME}/data/overlap.json"),
        judges=needs("report/tradeoff.json", lambda w: JUDGES),
    output:
        **report_files(f"results/{NAME}/report"),
    log:
        f"results/{NAME}/logs/report/report.log",
    benchmark:
        f"results/{NAME}/benchmarks/report/report.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        provenance=provenance("report/tradeoff.json"),
        inputs=as_json(lambda w: report_inputs()),
        out=lambda w, output: str(Path(output.table).parent),
    shell:
        r"""
        python -m workflow.scripts.report.make_report \
            --inputs /dev/stdin --out {params.out:q} <<<{params.inputs:q} &>{log:q}
python -m workflow.scripts.common.provenance \
    --result {output.table:q} --provenance {params.provenance:q} &>>{log:q}
        """
