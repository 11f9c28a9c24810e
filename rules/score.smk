"""Score: a verdict for each sample, and one score per run, benchmark and scorer.

NEEDS: results/store/generate/
MAKES: results/store/score/
"""


# On the driver's machine, which has the network that compute nodes may lack.
localrules:
    fetch_judge,


if not config.get("network_on_nodes"):

    localrules:
        score_samples_api,


rule train_judge:
    """Train the harm judge on labelled answers and test it on held-out ones (micro only)."""
    input:
        train=needs("train"),
        test=needs("test"),
    output:
        "results/store/score/judges/{name}-{key}/result.json",
    log:
        "results/store/score/judges/{name}-{key}/log.txt",
    benchmark:
        "results/store/score/judges/{name}-{key}/timing.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        train=file_of("train"),
        test=file_of("test"),
        recipe=as_json(lambda job: job.results[0].sections["judge"]),
        out=folder,
        result=result,
    shell:
        r"""
        python -m workflow.scripts.score.train_judge \
            --train {params.train:q} --test {params.test:q} --recipe {params.recipe:q} --seed 0 \
            --out {params.out:q} --result {params.result:q} &>{log:q}
        """


rule fetch_judge:
    """Bring the files of a classifier judge into the hub's cache; runs where the network is."""
    output:
        "results/store/score/fetched/{name}-{key}/result.json",
    log:
        "results/store/score/fetched/{name}-{key}/log.txt",
    benchmark:
        "results/store/score/fetched/{name}-{key}/timing.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        scorer=as_json(lambda job: job.results[0].sections["scorer"]),
        out=folder,
        result=result,
    shell:
        r"""
        python -m workflow.scripts.score.fetch_judge \
            --scorer {params.scorer:q} --out {params.out:q} --result {params.result:q} &>{log:q}
        """


rule score_samples:
    """Grade or judge samples; a judge is loaded once for all that it reads."""
    input:
        samples=needs("samples"),
        judge=needs("judge"),
        fetched=needs("fetched"),
        prompts=needs("prompts"),
    output:
        "results/store/jobs/score_samples/{name}-{key}.json",
    log:
        "results/store/jobs/score_samples/{name}-{key}.log",
    benchmark:
        "results/store/jobs/score_samples/{name}-{key}.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        scores=items(scoring_of),
        runtime=canonical_json(EXPERIMENT.runtime.score_samples.without_defaults()),
    shell:
        r"""
        python -m workflow.scripts.score.score_samples \
            --runtime {params.runtime:q} --replies results/store/replies \
            <<<{params.scores:q} &>{log:q} && touch {output:q}
        """


use rule score_samples as score_samples_api with:
    output:
        "results/store/jobs/score_samples_api/{name}-{key}.json",
    log:
        "results/store/jobs/score_samples_api/{name}-{key}.log",
    benchmark:
        "results/store/jobs/score_samples_api/{name}-{key}.tsv"
