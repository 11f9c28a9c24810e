"""Data: training sets as records, benchmarks as prompts, and how much they overlap.

NEEDS: the experiment's sections micro_data, data and benchmarks
MAKES: results/<experiment>/data/
"""

MICRO_FILES = (
    "corpus reasoning directrefusal safechain clock_sums harmful benign probe judge_train judge_test"
).split()


def dataset_file(dataset):
    """Return the path of a training set."""
    entry = EXPERIMENT["data"][dataset]
    if "generated" in entry:
        return f"results/{NAME}/data/micro/{entry['generated']}.jsonl"
    return f"results/{NAME}/data/records/{dataset}.jsonl"


def benchmark_file(benchmark):
    """Return the path of a benchmark's prompts."""
    entry = EXPERIMENT["benchmarks"][benchmark]
    if "generated" in entry:
        return f"results/{NAME}/data/micro/{entry['generated']}.jsonl"
    return f"results/{NAME}/data/benchmarks/{benchmark}.jsonl"


rule make_micro_data:
    """Generate the corpus, the training sets, the benchmarks and the judge's labels."""
    output:
        expand("results/{{experiment}}/data/micro/{file}.jsonl", file=MICRO_FILES),
    log:
        "results/{experiment}/logs/data/micro.log",
    benchmark:
        "results/{experiment}/benchmarks/data/micro.tsv"
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        spec=spec("data.make_micro_data", (), micro_data=EXPERIMENT.get("micro_data")),
        micro_data=canonical_json(EXPERIMENT.get("micro_data")),
    shell:
        r"""
        python -m workflow.scripts.data.make_micro_data \
            --spec {params.micro_data:q} \
            --out results/{wildcards.experiment}/data/micro &>{log:q}
        """


rule measure_overlap:
    """Measure how much each training set overlaps each benchmark."""
    input:
        train=[dataset_file(dataset) for dataset in EXPERIMENT["data"]],
        benchmarks=[benchmark_file(benchmark) for benchmark in EXPERIMENT["benchmarks"]],
    output:
        "results/{experiment}/data/overlap.json",
    log:
        "results/{experiment}/logs/data/overlap.log",
    benchmark:
        "results/{experiment}/benchmarks/data/overlap.tsv"
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        spec=spec("data.measure_overlap", ("statsmodels",)),
        train=[f"{d}={dataset_file(d)}" for d in EXPERIMENT["data"]],
        benchmarks=[f"{b}={benchmark_file(b)}" for b in EXPERIMENT["benchmarks"]],
    shell:
        r"""
        python -m workflow.scripts.data.measure_overlap \
            --train {params.train:q} --benchmarks {params.benchmarks:q} \
            --out {output:q} &>{log:q}
        """
