"""Data: training sets as records, benchmarks as prompts, and how much they overlap.

NEEDS: the experiment's sections micro_data, data and benchmarks
MAKES: results/<experiment>/data/
"""


# On the driver's machine, which has the network that compute nodes may lack.
localrules:
    prepare_records,
    prepare_benchmark,


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
        files=canonical_json(
            [{"file": name, "out": f"results/{NAME}/data/micro"} for name in MICRO_FILES]
        ),
    shell:
        r"""
        echo {params.files:q} | python -m workflow.scripts.data.make_micro_data \
            --spec {params.micro_data:q} &>{log:q}
        python -m workflow.scripts.common.provenance \
            --result {output.manifest:q} --provenance {params.provenance:q} --files {output.files:q} &>>{log:q}
        """


rule prepare_records:
    """Make the records of a training set from its source; runs where the network is."""
    input:
        stale=stale("data/records/{dataset}.json"),
    output:
        records="results/{experiment}/data/records/{dataset}.jsonl",
        report="results/{experiment}/data/records/{dataset}.json",
    log:
        "results/{experiment}/logs/data/records/{dataset}.log",
    benchmark:
        "results/{experiment}/benchmarks/data/records/{dataset}.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        provenance=provenance("data/records/{dataset}.json"),
        dataset=as_json(lambda w: EXPERIMENT["data"][w.dataset]["prepare"]),
    shell:
        r"""
        python -m workflow.scripts.data.prepare_records \
            --dataset {params.dataset:q} --name {wildcards.dataset} \
            --out results/{wildcards.experiment}/data/records/{wildcards.dataset} &>{log:q}
        mv results/{wildcards.experiment}/data/records/{wildcards.dataset}/records.jsonl {output.records:q}
        mv results/{wildcards.experiment}/data/records/{wildcards.dataset}/report.json {output.report:q}
        python -m workflow.scripts.common.provenance \
            --result {output.report:q} --provenance {params.provenance:q} --files {output.records:q} &>>{log:q}
        """


rule prepare_benchmark:
    """Make the items of a benchmark from its source; runs where the network is."""
    input:
        stale=stale("data/benchmarks/{benchmark}.json"),
    output:
        prompts="results/{experiment}/data/benchmarks/{benchmark}.jsonl",
        report="results/{experiment}/data/benchmarks/{benchmark}.json",
    log:
        "results/{experiment}/logs/data/benchmarks/{benchmark}.log",
    benchmark:
        "results/{experiment}/benchmarks/data/benchmarks/{benchmark}.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        provenance=provenance("data/benchmarks/{benchmark}.json"),
        section=as_json(lambda w: EXPERIMENT["benchmarks"][w.benchmark]["prepare"]),
        scorers=as_json(lambda w: target_readers(w.benchmark)),
    shell:
        r"""
        python -m workflow.scripts.data.prepare_benchmark \
            --benchmark {params.section:q} --name {wildcards.benchmark} --scorers {params.scorers:q} \
            --out results/{wildcards.experiment}/data/benchmarks/{wildcards.benchmark} &>{log:q}
        mv results/{wildcards.experiment}/data/benchmarks/{wildcards.benchmark}/items.jsonl {output.prompts:q}
        mv results/{wildcards.experiment}/data/benchmarks/{wildcards.benchmark}/report.json {output.report:q}
        python -m workflow.scripts.common.provenance \
            --result {output.report:q} --provenance {params.provenance:q} --files {output.prompts:q} &>>{log:q}
        """


rule measure_overlap:
    """Measure how much each training set overlaps each benchmark."""
    input:
        stale=stale("data/overlap.json"),
        train=needs("data/overlap.json", lambda w: training_texts().values()),
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
        train=[f"{name}={path}" for name, path in training_texts().items()],
        benchmarks=[f"{b}={benchmark_file(b)}" for b in EXPERIMENT["benchmarks"]],
    shell:
        r"""
        python -m workflow.scripts.data.measure_overlap \
            --train {params.train:q} --benchmarks {params.benchmarks:q} \
            --out results/{wildcards.experiment}/data &>{log:q}
        python -m workflow.scripts.common.provenance \
            --result {output.overlap:q} --provenance {params.provenance:q} &>>{log:q}
        """
