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
        experiment=canonical_json(report_section(EXPERIMENT)),
        prompts=lambda w: harmful_prompts(),
        transcripts=lambda w: transcripts(),
        results=lambda w: ROOT_FOLDER,
        out=lambda w, output: str(Path(output.table).parent),
    shell:
        r"""
        python -m workflow.scripts.report.make_report \
            --score-files {input.scores:q} --overlap {input.overlap:q} \
            --experiment {params.experiment:q} --prompts {params.prompts:q} \
            --results {params.results:q} --out {params.out:q} &>{log:q}
        python -m workflow.scripts.report.draw_figures \
            --report {output.table:q} --out {params.out:q} &>>{log:q}
        python -m workflow.scripts.report.make_page \
            --report {output.table:q} {params.transcripts:q} --out {params.out:q} &>>{log:q}
        python -m workflow.scripts.report.write_cards \
            --report {output.table:q} --results {params.results:q} \
            --experiment {params.experiment:q} --out {params.out:q} &>>{log:q}
        python -m workflow.scripts.common.provenance \
            --result {output.table:q} --provenance {params.provenance:q} &>>{log:q}
        """
