"""Generate: each run's thinking and answers on each benchmark, at every evaluated checkpoint.

NEEDS: results/<experiment>/models/<run>/manifest.json and the benchmark's prompts
MAKES: results/<experiment>/generate/<run>/<benchmark>/{samples.jsonl,manifest.json}
"""

GENERATION = ("torch", "transformers", "tokenizers", "lm_eval")


def generation(wildcards):
    """Return what the experiment says of a benchmark's generation, with its prompts' path."""
    benchmark = EXPERIMENT["benchmarks"][wildcards.benchmark]
    keys = ("task", "kind", "n", "repeats", "decoding")
    section = {key: benchmark[key] for key in keys if key in benchmark}
    return {**section, "data": benchmark_file(wildcards.benchmark)}


rule generate_samples:
    """Let one run think and answer on one benchmark."""
    input:
        model="results/{experiment}/models/{run}/manifest.json",
        prompts=lambda w: benchmark_file(w.benchmark),
    output:
        samples="results/{experiment}/generate/{run}/{benchmark}/samples.jsonl",
        manifest="results/{experiment}/generate/{run}/{benchmark}/manifest.json",
    log:
        "results/{experiment}/logs/generate/{run}/{benchmark}.log",
    benchmark:
        "results/{experiment}/benchmarks/generate/{run}/{benchmark}.tsv"
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        gpu=1,
        nodes=1,
        mem_mb=2000,
        runtime=30,
    params:
        spec=spec(
            "generate.generate_samples",
            GENERATION,
            benchmark=generation,
            checkpoints=lambda w: RUNS[w.run].checkpoints,
        ),
        generation=as_json(generation),
        checkpoints=lambda w: ["--checkpoints", *RUNS[w.run].checkpoints],
    shell:
        r"""
        python -m workflow.scripts.generate.generate_samples \
            --model {input.model:q} {params.checkpoints:q} \
            --benchmark {params.generation:q} --benchmark-name {wildcards.benchmark} \
            --run {wildcards.run} --engine hf \
            --state results/{wildcards.experiment}/state/generate/{wildcards.run}/{wildcards.benchmark} \
            --out results/{wildcards.experiment}/generate/{wildcards.run}/{wildcards.benchmark} \
            &>{log:q}
        """
