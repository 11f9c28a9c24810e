"""Models: base, LRM (reasoning SFT) and aligned models (safety SFT), each with a manifest.

NEEDS: results/<experiment>/data/
MAKES: results/<experiment>/models/<run>/manifest.json, written after the weights it names
"""


# On the driver's machine, which has the network that compute nodes may lack.
localrules:
    fetch_model,
    publish_model,


rule pretrain_base:
    """Train the base model from scratch (micro only)."""
    input:
        stale=stale("models/base/{base}/{tail}/manifest.json"),
        corpus=needs(
            "models/base/{base}/{tail}/manifest.json",
            "results/{experiment}/data/micro/corpus.jsonl",
        ),
        probe=needs(
            "models/base/{base}/{tail}/manifest.json",
            "results/{experiment}/data/micro/probe.jsonl",
        ),
    output:
        manifest="results/{experiment}/models/base/{base}/{tail}/manifest.json",
    log:
        "results/{experiment}/logs/models/base/{base}/{tail}.log",
    benchmark:
        "results/{experiment}/benchmarks/models/base/{base}/{tail}.tsv"
    wildcard_constraints:
        tail=r"seed\d+",
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        provenance=provenance("models/base/{base}/{tail}/manifest.json"),
        run=lambda w: run_of(w).name,
        recipe=as_json(recipe),
        chat_format=lambda w: run_of(w).chat_format,
        seed=lambda w: run_of(w).seed,
    shell:
        r"""
        python -m workflow.scripts.models.pretrain_base \
            --corpus {input.corpus:q} --probe {input.probe:q} \
            --recipe {params.recipe:q} --chat-format {params.chat_format:q} \
            --seed {params.seed} --run {params.run:q} \
            --out results/{wildcards.experiment}/models/{params.run} &>{log:q}
        python -m workflow.scripts.common.provenance \
            --result {output.manifest:q} --provenance {params.provenance:q} &>>{log:q}
        """


rule fetch_model:
    """Bring a ready-made model here; runs where the network is."""
    input:
        stale=stale("models/{run}/manifest.json"),
    output:
        manifest="results/{experiment}/models/{run}/manifest.json",
    log:
        "results/{experiment}/logs/models/{run}.log",
    benchmark:
        "results/{experiment}/benchmarks/models/{run}.tsv"
    wildcard_constraints:
        run=r"(base|lrm)/[^/]+/hub",
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        provenance=provenance("models/{run}/manifest.json"),
        model=as_json(model_source),
        revision=model_revision,
        role=lambda w: run_of(w).role,
        chat_format=lambda w: run_of(w).chat_format,
    shell:
        r"""
        python -m workflow.scripts.models.fetch_model \
            --model {params.model:q} {params.revision:q} \
            --run {wildcards.run:q} --role {params.role} --chat-format {params.chat_format:q} \
            --out results/{wildcards.experiment}/models/{wildcards.run} &>{log:q}
        python -m workflow.scripts.common.provenance \
            --result {output.manifest:q} --provenance {params.provenance:q} &>>{log:q}
        """


rule reasoning_sft:
    """Fine-tune a base model on long reasoning: the LRM."""
    input:
        stale=stale("models/lrm/{lrm}/{tail}/manifest.json"),
        parent=needs("models/lrm/{lrm}/{tail}/manifest.json", parent_manifest),
        data=needs("models/lrm/{lrm}/{tail}/manifest.json", training_set),
        probe=needs("models/lrm/{lrm}/{tail}/manifest.json", probe_file),
    output:
        manifest="results/{experiment}/models/lrm/{lrm}/{tail}/manifest.json",
    log:
        "results/{experiment}/logs/models/lrm/{lrm}/{tail}.log",
    benchmark:
        "results/{experiment}/benchmarks/models/lrm/{lrm}/{tail}.tsv"
    wildcard_constraints:
        tail=r"seed\d+(-epochs\d+)?",
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        provenance=provenance("models/lrm/{lrm}/{tail}/manifest.json"),
        run=lambda w: run_of(w).name,
        role=lambda w: run_of(w).role,
        recipe=as_json(recipe),
        render=as_json(render),
        chat_format=lambda w: run_of(w).chat_format,
        data=lambda w: run_of(w).data,
        seed=lambda w: run_of(w).seed,
        probe=lambda w, input: ["--probe", input.probe] if input.get("probe") else [],
        write_as=lambda w: ["--write-as", run_of(w).write_as] if run_of(w).write_as else [],
        runtime=training_runtime("reasoning_sft"),
        launch=launch_prefix,
    shell:
        r"""
        {params.launch} python -m workflow.scripts.models.train_sft \
            --parent {input.parent:q} --data {input.data:q} --data-name {params.data:q} \
            --recipe {params.recipe:q} --render {params.render:q} {params.write_as:q} \
            --chat-format {params.chat_format:q} --seed {params.seed} {params.probe:q} \
            --runtime {params.runtime:q} \
            --run {params.run:q} --role {params.role} \
            --out results/{wildcards.experiment}/models/{params.run} &>{log:q}
        python -m workflow.scripts.common.provenance \
            --result {output.manifest:q} --provenance {params.provenance:q} &>>{log:q}
        """


use rule reasoning_sft as safety_sft with:
    input:
        stale=stale("models/aligned/{lrm}/{alignment}/{tail}/manifest.json"),
        parent=needs("models/aligned/{lrm}/{alignment}/{tail}/manifest.json", parent_manifest),
        data=needs("models/aligned/{lrm}/{alignment}/{tail}/manifest.json", training_set),
        probe=needs("models/aligned/{lrm}/{alignment}/{tail}/manifest.json", probe_file),
    output:
        manifest="results/{experiment}/models/aligned/{lrm}/{alignment}/{tail}/manifest.json",
    log:
        "results/{experiment}/logs/models/aligned/{lrm}/{alignment}/{tail}.log",
    benchmark:
        "results/{experiment}/benchmarks/models/aligned/{lrm}/{alignment}/{tail}.tsv"
    params:
        provenance=provenance("models/aligned/{lrm}/{alignment}/{tail}/manifest.json"),
        runtime=training_runtime("safety_sft"),


rule publish_model:
    """Publish a model in a private repository; never made unless asked for by name."""
    input:
        model="results/{experiment}/models/{run}/manifest.json",
    output:
        published="results/{experiment}/publish/{run}.json",
    log:
        "results/{experiment}/logs/publish/{run}.log",
    benchmark:
        "results/{experiment}/benchmarks/publish/{run}.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        repository=published_name,
    shell:
        r"""
        python -m workflow.scripts.models.publish_model \
            --model {input.model:q} --repository {params.repository:q} \
            --out {output.published:q} &>{log:q}
        """
