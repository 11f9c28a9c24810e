"""Data: training sets as records, benchmarks as items, and how much they overlap.

NEEDS: the experiment's sections micro_data, data and benchmarks; for training sets that LRMs
       write, their samples and verdicts
MAKES: results/store/data/
"""


# On the driver's machine, which has the network that compute nodes may lack; mixing and filtering
# take seconds.
localrules:
    prepare_records,
    prepare_benchmark,
    mix_records,
    filter_samples,


rule make_micro_data:
    """Generate the corpus, the training sets, the benchmarks and the judge's labels."""
    output:
        "results/store/jobs/make_micro_data/{name}-{key}.json",
    log:
        "results/store/jobs/make_micro_data/{name}-{key}.log",
    benchmark:
        "results/store/jobs/make_micro_data/{name}-{key}.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        micro_data=canonical_json(
            EXPERIMENT.micro_data and EXPERIMENT.micro_data.without_defaults()
        ),
        files=items(lambda made: {"file": made.name.rpartition("/")[2]}),
    shell:
        r"""
        python -m workflow.scripts.data.make_micro_data \
            --spec {params.micro_data:q} <<<{params.files:q} &>{log:q} && touch {output:q}
        """


rule prepare_records:
    """Make the records of a training set from its source; runs where the network is."""
    output:
        "results/store/data/records/{name}-{key}/result.json",
    log:
        "results/store/data/records/{name}-{key}/log.txt",
    benchmark:
        "results/store/data/records/{name}-{key}/timing.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        dataset=as_json(lambda job: job.results[0].sections["data"]),
        out=folder,
        result=result,
    shell:
        r"""
        python -m workflow.scripts.data.prepare_records \
            --dataset {params.dataset:q} --name {wildcards.name} \
            --out {params.out:q} --result {params.result:q} &>{log:q}
        """


rule mix_records:
    """Mix training sets into one, with exact counts of each."""
    input:
        sets=needs("sets"),
    output:
        "results/store/data/mixtures/{name}-{key}/result.json",
    log:
        "results/store/data/mixtures/{name}-{key}/log.txt",
    benchmark:
        "results/store/data/mixtures/{name}-{key}/timing.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        mixture=as_json(lambda job: job.results[0].sections["mixture"]),
        sets=files_of("sets"),
        out=folder,
        result=result,
    shell:
        r"""
        python -m workflow.scripts.data.mix_records \
            --mixture {params.mixture:q} --sets {params.sets:q} --name {wildcards.name:q} \
            --out {params.out:q} --result {params.result:q} &>{log:q}
        """


rule prepare_benchmark:
    """Make the items of a benchmark from its source; runs where the network is."""
    output:
        "results/store/data/benchmarks/{name}-{key}/result.json",
    log:
        "results/store/data/benchmarks/{name}-{key}/log.txt",
    benchmark:
        "results/store/data/benchmarks/{name}-{key}/timing.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        section=as_json(lambda job: job.results[0].sections["benchmark"]),
        scorers=as_json(lambda job: target_readers(job.results[0].benchmark)),
        out=folder,
        result=result,
    shell:
        r"""
        python -m workflow.scripts.data.prepare_benchmark \
            --benchmark {params.section:q} --name {wildcards.name} --scorers {params.scorers:q} \
            --out {params.out:q} --result {params.result:q} &>{log:q}
        """


rule filter_samples:
    """Make a training set of an LRM's own samples that a judge passes."""
    input:
        samples=needs("samples"),
        verdicts=needs("verdicts"),
    output:
        "results/store/data/sampled/{name}-{key}/result.json",
    log:
        "results/store/data/sampled/{name}-{key}/log.txt",
    benchmark:
        "results/store/data/sampled/{name}-{key}/timing.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        samples=lambda w: GRAPH.folder(job_of(w).results[0].inputs["samples"][0]),
        verdicts=lambda w: GRAPH.folder(job_of(w).results[0].inputs["verdicts"][0]),
        filter=as_json(lambda job: job.results[0].sections["filter"]),
        out=folder,
        result=result,
    shell:
        r"""
        python -m workflow.scripts.data.filter_samples \
            --samples {params.samples:q} --verdicts {params.verdicts:q} \
            --filter {params.filter:q} --name {wildcards.name:q} \
            --out {params.out:q} --result {params.result:q} &>{log:q}
        """


rule measure_overlap:
    """Measure how much each training set overlaps each benchmark."""
    input:
        train=needs("train"),
        benchmarks=needs("benchmarks"),
    output:
        "results/store/data/{name}-{key}/result.json",
    log:
        "results/store/data/{name}-{key}/log.txt",
    benchmark:
        "results/store/data/{name}-{key}/timing.tsv"
    wildcard_constraints:
        name="overlap",
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        train=lambda w: training_texts(),
        benchmarks=lambda w: benchmark_items(),
        out=folder,
        result=result,
    shell:
        r"""
        python -m workflow.scripts.data.measure_overlap \
            --train {params.train:q} --benchmarks {params.benchmarks:q} \
            --out {params.out:q} --result {params.result:q} &>{log:q}
        """
