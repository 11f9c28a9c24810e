"""Generate: each run's thinking and answers on each benchmark, at every evaluated checkpoint.

NEEDS: results/<experiment>/models/<run>/manifest.json and the benchmark's prompts
MAKES: results/<experiment>/generate/<run>/<benchmark>/{samples.jsonl,manifest.json}
"""


rule generate_samples:
    """Let one run think and answer on one benchmark."""
    input:
        stale=stale("generate/{run}/{benchmark}/manifest.json"),
        model=needs(
            "generate/{run}/{benchmark}/manifest.json",
            "results/{experiment}/models/{run}/manifest.json",
        ),
        prompts=needs(
            "generate/{run}/{benchmark}/manifest.json", lambda w: benchmark_file(w.benchmark)
        ),
    output:
        samples="results/{experiment}/generate/{run}/{benchmark}/samples.jsonl",
        manifest="results/{experiment}/generate/{run}/{benchmark}/manifest.json",
    log:
        "results/{experiment}/logs/generate/{run}/{benchmark}.log",
    benchmark:
        "results/{experiment}/benchmarks/generate/{run}/{benchmark}.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        provenance=provenance("generate/{run}/{benchmark}/manifest.json"),
        generation=as_json(generation),
        checkpoints=lambda w: ["--checkpoints", *RUNS[w.run].checkpoints],
        python=lambda w: config["vllm_python"] if engine(w) == "vllm" else "python",
        engine=engine,
        runtime=generation_runtime,
    shell:
        r"""
        {params.python:q} -m workflow.scripts.generate.generate_samples \
            --model {input.model:q} {params.checkpoints:q} \
            --benchmark {params.generation:q} --benchmark-name {wildcards.benchmark} \
            --run {wildcards.run} --engine {params.engine} --runtime {params.runtime:q} \
            --state results/{wildcards.experiment}/state/generate/{wildcards.run}/{wildcards.benchmark} \
            --out results/{wildcards.experiment}/generate/{wildcards.run}/{wildcards.benchmark} \
            &>{log:q}
        python -m workflow.scripts.common.provenance \
            --result {output.manifest:q} --provenance {params.provenance:q} --files {output.samples:q} &>>{log:q}
        rm -rf results/{wildcards.experiment}/state/generate/{wildcards.run}/{wildcards.benchmark}
        """
