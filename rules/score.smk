"""Score: a verdict for each sample, and one score per run, benchmark and scorer.

NEEDS: results/<experiment>/generate/<run>/<benchmark>/
MAKES: results/<experiment>/score/<run>/<benchmark>/<scorer>/{verdicts.jsonl,score.json}
"""


# On the driver's machine, which has the network that compute nodes may lack.
localrules:
    fetch_judge,


if not config.get("network_on_nodes"):

    localrules:
        score_samples_api,


API_SCORERS = [name for name in EXPERIMENT["scorers"] if asks_api(EXPERIMENT, name)]
OTHER_SCORERS = [name for name in EXPERIMENT["scorers"] if name not in API_SCORERS]


rule train_judge:
    """Train the harm judge on labelled answers and test it on held-out ones (micro only)."""
    input:
        stale=stale("score/judges/{judge}/judge.json"),
        train=needs(
            "score/judges/{judge}/judge.json",
            "results/{experiment}/data/micro/judge_train.jsonl",
        ),
        test=needs(
            "score/judges/{judge}/judge.json",
            "results/{experiment}/data/micro/judge_test.jsonl",
        ),
    output:
        judge="results/{experiment}/score/judges/{judge}/judge.json",
    log:
        "results/{experiment}/logs/score/judges/{judge}.log",
    benchmark:
        "results/{experiment}/benchmarks/score/judges/{judge}.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        provenance=provenance("score/judges/{judge}/judge.json"),
        recipe=as_json(lambda w: EXPERIMENT["judges"][w.judge]),
    shell:
        r"""
        python -m workflow.scripts.score.train_judge \
            --train {input.train:q} --test {input.test:q} --recipe {params.recipe:q} --seed 0 \
            --out results/{wildcards.experiment}/score/judges/{wildcards.judge} &>{log:q}
        python -m workflow.scripts.common.provenance \
            --result {output.judge:q} --provenance {params.provenance:q} &>>{log:q}
        """


rule fetch_judge:
    """Bring the files of a classifier judge into the hub's cache; runs where the network is."""
    input:
        stale=stale("score/judges/{scorer}/fetched.json"),
    output:
        fetched="results/{experiment}/score/judges/{scorer}/fetched.json",
    log:
        "results/{experiment}/logs/score/judges/{scorer}.log",
    benchmark:
        "results/{experiment}/benchmarks/score/judges/{scorer}.tsv"
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        provenance=provenance("score/judges/{scorer}/fetched.json"),
        scorer=as_json(lambda w: fetched_part(EXPERIMENT["scorers"][w.scorer])),
    shell:
        r"""
        python -m workflow.scripts.score.fetch_judge \
            --scorer {params.scorer:q} \
            --out results/{wildcards.experiment}/score/judges/{wildcards.scorer} &>{log:q}
        python -m workflow.scripts.common.provenance \
            --result {output.fetched:q} --provenance {params.provenance:q} &>>{log:q}
        """


rule score_samples:
    """Grade or judge one run's samples on one benchmark."""
    input:
        stale=stale("score/{run}/{benchmark}/{scorer}/score.json"),
        samples=needs(
            "score/{run}/{benchmark}/{scorer}/score.json",
            "results/{experiment}/generate/{run}/{benchmark}/manifest.json",
        ),
        judge=needs("score/{run}/{benchmark}/{scorer}/score.json", judge_file),
        fetched=needs("score/{run}/{benchmark}/{scorer}/score.json", fetched_judge),
    output:
        verdicts="results/{experiment}/score/{run}/{benchmark}/{scorer}/verdicts.jsonl",
        score="results/{experiment}/score/{run}/{benchmark}/{scorer}/score.json",
    log:
        "results/{experiment}/logs/score/{run}/{benchmark}/{scorer}.log",
    benchmark:
        "results/{experiment}/benchmarks/score/{run}/{benchmark}/{scorer}.tsv"
    wildcard_constraints:
        scorer=one_of(OTHER_SCORERS),
    conda:
        "../envs/train.yaml"
    threads: THREADS
    resources:
        **RESOURCES,
    params:
        provenance=provenance("score/{run}/{benchmark}/{scorer}/score.json"),
        samples=lambda w, input, output: canonical_json(
            [
                {
                    "samples": str(Path(input.samples).parent),
                    "scorer": EXPERIMENT["scorers"][w.scorer],
                    "scorer_name": w.scorer,
                    "judge": str(Path(input.judge).parent) if input.get("judge") else None,
                    "out": str(Path(output.score).parent),
                }
            ]
        ),
        runtime=canonical_json(EXPERIMENT.get("runtime", {}).get("score_samples", {})),
    shell:
        r"""
        python -m workflow.scripts.score.score_samples \
            --runtime {params.runtime:q} --replies results/{wildcards.experiment}/state/replies \
            <<<{params.samples:q} &>{log:q}
python -m workflow.scripts.common.provenance \
    --result {output.score:q} --provenance {params.provenance:q} --files {output.verdicts:q} &>>{log:q}
        """


use rule score_samples as score_samples_api with:
    wildcard_constraints:
        scorer=one_of(API_SCORERS),
