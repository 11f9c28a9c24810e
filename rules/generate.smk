"""Generate: each run's thinking and answers on each benchmark, at every evaluated checkpoint.

NEEDS: results/store/models/ and results/store/data/
MAKES: results/store/generate/
"""


rule generate_samples:
    """Let the same weights, with all their adapters, answer all benchmarks in one engine start."""
    input:
        model=needs("model"),
        base=needs("base"),
        prompts=needs("prompts"),
    output:
        "results/store/jobs/generate_samples/{name}-{key}.json",
    log:
        "results/store/jobs/generate_samples/{name}-{key}.log",
    benchmark:
        "results/store/jobs/generate_samples/{name}-{key}.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        model=file_of("model"),
        run=of_run(lambda run: run.weights),
        checkpoints=of_run(lambda run: ["--checkpoints", *run.checkpoints]),
        python=of_job(lambda job: config["vllm_python"] if engine(job) == "vllm" else "python"),
        engine=of_job(engine),
        runtime=generation_runtime,
        benchmarks=items(prompts_of),
    shell:
        r"""
        {params.python:q} -m workflow.scripts.generate.generate_samples \
            --model {params.model:q} {params.checkpoints:q} --run {params.run:q} \
            --engine {params.engine} --runtime {params.runtime:q} \
            <<<{params.benchmarks:q} &>{log:q} && touch {output:q}
        """
