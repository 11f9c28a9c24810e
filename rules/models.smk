"""Models: base, LRM (reasoning SFT) and aligned models (safety SFT), each with a manifest.

NEEDS: results/<experiment>/data/
MAKES: results/<experiment>/models/<run>/manifest.json, written after the weights it names
"""

TRAINING = ("torch", "transformers", "trl", "accelerate", "peft", "tokenizers")


def parent_manifest(wildcards):
    """Return the manifest of the run that this run is trained from."""
    return f"results/{NAME}/models/{run_of(wildcards).parent}/manifest.json"


def training_set(wildcards):
    """Return the records that this run is trained on."""
    return dataset_file(run_of(wildcards).data)


def probe_file(wildcards):
    """Return the probe problems of the recipe's gate, where it has one."""
    gate = run_of(wildcards).recipe.get("gate")
    return f"results/{NAME}/data/micro/{gate['probe']}.jsonl" if gate else []


def recipe(wildcards):
    return run_of(wildcards).recipe


def render(wildcards):
    return EXPERIMENT["data"][run_of(wildcards).data].get("render", {})


rule pretrain_base:
    """Train the base model from scratch (micro only)."""
    input:
        corpus="results/{experiment}/data/micro/corpus.jsonl",
        probe="results/{experiment}/data/micro/probe.jsonl",
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
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=spec(
            "models.pretrain_base",
            ("torch", "transformers", "tokenizers"),
            recipe=recipe,
            chat_format=lambda w: run_of(w).chat_format,
            seed=lambda w: run_of(w).seed,
        ),
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
        """


rule reasoning_sft:
    """Fine-tune a base model on long reasoning: the LRM."""
    input:
        parent=parent_manifest,
        data=training_set,
        probe=probe_file,
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
    threads: 1
    resources:
        gpu=8,
        nodes=1,
        mem_mb=2000,
        runtime=30,
    params:
        spec=spec(
            "models.train_sft",
            TRAINING,
            recipe=recipe,
            render=render,
            chat_format=lambda w: run_of(w).chat_format,
            data=lambda w: run_of(w).data,
            seed=lambda w: run_of(w).seed,
        ),
        run=lambda w: run_of(w).name,
        role=lambda w: run_of(w).role,
        recipe=as_json(recipe),
        render=as_json(render),
        chat_format=lambda w: run_of(w).chat_format,
        data=lambda w: run_of(w).data,
        seed=lambda w: run_of(w).seed,
        probe=lambda w, input: ["--probe", input.probe] if input.get("probe") else [],
    shell:
        r"""
        python -m workflow.scripts.models.train_sft \
            --model {input.parent:q} --data {input.data:q} --data-name {params.data:q} \
            --recipe {params.recipe:q} --render {params.render:q} \
            --chat-format {params.chat_format:q} --seed {params.seed} {params.probe:q} \
            --run {params.run:q} --role {params.role} \
            --state results/{wildcards.experiment}/state/models/{params.run} \
            --out results/{wildcards.experiment}/models/{params.run} &>{log:q}
        """


use rule reasoning_sft as safety_sft with:
    output:
        manifest="results/{experiment}/models/aligned/{lrm}/{alignment}/{tail}/manifest.json",
    log:
        "results/{experiment}/logs/models/aligned/{lrm}/{alignment}/{tail}.log",
    benchmark:
        "results/{experiment}/benchmarks/models/aligned/{lrm}/{alignment}/{tail}.tsv"
