"""Data: training sets as records, benchmarks as prompts, and how much they overlap.

NEEDS: the experiment's sections micro_data, data and benchmarks
MAKES: results/<experiment>/data/
"""


rule make_micro_data:
    """Generate the corpus, the training sets, the benchmarks and the judge's labels."""
    input:
        stale=stale("data/micro/manifest.json"),
    output:
        files=expand("results/{{experiment}}/data/micro/{file}.jsonl", file=MICRO_FILES),
        manifest="results/{experiment}/data/micro/manifest.json",
    log:
        "results/{experiment}/logs/data/micro.log",
    benchmark:
        "results/{experiment}/benchmarks/data/micro.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        provenance=provenance("data/micro/manifest.json"),
        micro_data=canonical_json(EXPERIMENT.get("micro_data")),
    shell:
        r"""
        python -m workflow.scripts.data.make_micro_data \
            --spec {params.micro_data:q} \
            --out results/{wildcards.experiment}/data/micro &>{log:q}
        python -m workflow.scripts.common.provenance \
            --result {output.manifest:q} --provenance {params.provenance:q} --files {output.files:q} &>>{log:q}
        """


rule measure_overlap:
    """Measure how much each training set overlaps each benchmark."""
    input:
        stale=stale("data/overlap.json"),
        train=needs("data/overlap.json", lambda w: map(dataset_file, EXPERIMENT["data"])),
        benchmarks=needs(
            "data/overlap.json", lambda w: map(benchmark_file, EXPERIMENT["benchmarks"])
        ),
    output:
        overlap="results/{experiment}/data/overlap.json",
    log:
        "results/{experiment}/logs/data/overlap.log",
    benchmark:
        "results/{experiment}/benchmarks/data/overlap.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        provenance=provenance("data/overlap.json"),
        train=[f"{d}={dataset_file(d)}" for d in EXPERIMENT["data"]],
        benchmarks=[f"{b}={benchmark_file(b)}" for b in EXPERIMENT["benchmarks"]],
    shell:
        r"""
        python -m workflow.scripts.data.measure_overlap \
            --train {params.train:q} --benchmarks {params.benchmarks:q} \
            --out {output.overlap:q} &>{log:q}
        python -m workflow.scripts.common.provenance \
            --result {output.overlap:q} --provenance {params.provenance:q} &>>{log:q}
        """
