"""Models: base, LRM (reasoning SFT) and aligned models (safety SFT), each with a manifest.

NEEDS: results/store/data/
MAKES: results/store/models/
"""


# On the driver's machine, which has the network that compute nodes may lack.
localrules:
    fetch_model,
    publish_model,


rule pretrain_base:
    """Train the base model from scratch (micro only)."""
    input:
        corpus=needs("corpus"),
        probe=needs("probe"),
    output:
        "results/store/models/base/{name}-{key}/result.json",
    log:
        "results/store/models/base/{name}-{key}/log.txt",
    benchmark:
        "results/store/models/base/{name}-{key}/timing.tsv"
    wildcard_constraints:
        name=r"[^/]+/seed\d+",
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        corpus=file_of("corpus"),
        probe=file_of("probe"),
        recipe=as_json(lambda job: job.results[0].sections["recipe"]),
        chat_format=of_run(lambda run: run.chat_format),
        seed=of_run(lambda run: run.seed),
        run=of_run(lambda run: run.name),
        out=folder,
        result=result,
    shell:
        r"""
        python -m workflow.scripts.models.pretrain_base \
            --corpus {params.corpus:q} --probe {params.probe:q} \
            --recipe {params.recipe:q} --chat-format {params.chat_format:q} \
            --seed {params.seed} --run {params.run:q} \
            --out {params.out:q} --result {params.result:q} &>{log:q}
        """


rule fetch_model:
    """Bring a ready-made model here; runs where the network is."""
    output:
        "results/store/models/{name}-{key}/result.json",
    log:
        "results/store/models/{name}-{key}/log.txt",
    benchmark:
        "results/store/models/{name}-{key}/timing.tsv"
    wildcard_constraints:
        name=r"(base|lrm)/[^/]+/hub",
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        model=as_json(lambda job: model_source(job.results[0].run)),
        revision=of_run(model_revision),
        role=of_run(lambda run: run.role),
        chat_format=of_run(lambda run: run.chat_format),
        out=folder,
        result=result,
    shell:
        r"""
        python -m workflow.scripts.models.fetch_model \
            --model {params.model:q} {params.revision:q} \
            --run {wildcards.name:q} --role {params.role} --chat-format {params.chat_format:q} \
            --out {params.out:q} --result {params.result:q} &>{log:q}
        """


rule safety_sft:
    """Align an LRM by training; its method says with which script, and on what."""
    input:
        parent=needs("parent"),
        data=needs("data"),
        retain=needs("retain"),
        probe=needs("probe"),
        other=needs("other"),
        candidate=needs("candidate"),
        score=needs("score"),
        rejected=needs("rejected"),
        teacher=needs("teacher"),
        reasoning=needs("reasoning"),
        judge=needs("judge"),
        fetched=needs("fetched"),
    output:
        "results/store/models/aligned/{name}-{key}/result.json",
    log:
        "results/store/models/aligned/{name}-{key}/log.txt",
    benchmark:
        "results/store/models/aligned/{name}-{key}/timing.tsv"
    wildcard_constraints:
        name=rf"[^/]+/({alignments_that(train=True)})/[^/]+",
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        script=of_job(lambda job: job.results[0].module),
        inputs=of_job(input_options),
        arguments=of_run(lambda run: method_of_run(run).arguments(run, EXPERIMENT)),
        chat_format=of_run(lambda run: run.chat_format),
        seed=of_run(lambda run: run.seed),
        run=of_run(lambda run: run.name),
        role=of_run(lambda run: run.role),
        runtime=training_runtime("safety_sft"),
        launch=launch_prefix,
        out=folder,
        result=result,
    shell:
        r"""
        {params.launch} python -m workflow.scripts.{params.script} \
            {params.inputs:q} {params.arguments:q} {params.runtime:q} \
            --chat-format {params.chat_format:q} --seed {params.seed} \
            --run {params.run:q} --role {params.role} \
            --out {params.out:q} --result {params.result:q} &>{log:q}
        """


use rule safety_sft as derive_model with:
    wildcard_constraints:
        name=rf"[^/]+/({alignments_that(train=False)})/[^/]+",


use rule safety_sft as reasoning_sft with:
    output:
        "results/store/models/lrm/{name}-{key}/result.json",
    log:
        "results/store/models/lrm/{name}-{key}/log.txt",
    benchmark:
        "results/store/models/lrm/{name}-{key}/timing.tsv"
    wildcard_constraints:
        name=r"[^/]+/seed\d+",
    params:
        runtime=training_runtime("reasoning_sft"),


use rule safety_sft as attack_sft with:
    output:
        "results/store/models/attacked/{name}-{key}/result.json",
    log:
        "results/store/models/attacked/{name}-{key}/log.txt",
    benchmark:
        "results/store/models/attacked/{name}-{key}/timing.tsv"
    wildcard_constraints:
        name=r"[^/]+/[^/]+/[^/]+/[^/]+",
    params:
        runtime=training_runtime("attack_sft"),


rule publish_model:
    """Publish a model in a private repository; never made unless asked for by name."""
    input:
        lambda w: ancient(GRAPH.awaited(f"models/{w.run}")),
    output:
        f"results/{NAME}/publish/{{run}}.json",
    log:
        f"results/{NAME}/publish/{{run}}.log",
    wildcard_constraints:
        run="|".join(
            re.escape(name)
            for name, run in RUNS.items()
            if run.weights == name and run.role != "attacked"
        ),
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        model=lambda w: GRAPH.path(f"models/{w.run}"),
        repository=published_name,
    shell:
        r"""
        python -m workflow.scripts.models.publish_model \
            --model {params.model:q} --repository {params.repository:q} \
            --out {output:q} &>{log:q}
        """
