"""Score: a verdict for each sample, and one score per run, benchmark and scorer.

NEEDS: results/<experiment>/generate/<run>/<benchmark>/
MAKES: results/<experiment>/score/<run>/<benchmark>/<scorer>/{verdicts.jsonl,score.json}
"""

score_files = [
    f"results/{NAME}/score/{run}/{name}/{scorer}/score.json"
    for run in RUNS
    for name, benchmark in EXPERIMENT["benchmarks"].items()
    for scorer in benchmark["scorers"]
]


def judge_file(wildcards):
    """Return the trained judge of a scorer, where it has one."""
    judge = EXPERIMENT["scorers"][wildcards.scorer].get("judge")
    return f"results/{NAME}/score/judges/{judge}/judge.json" if judge else []


rule train_judge:
    """Train the harm judge on labelled answers and test it on held-out ones (micro only)."""
    input:
        train="results/{experiment}/data/micro/judge_train.jsonl",
        test="results/{experiment}/data/micro/judge_test.jsonl",
    output:
        "results/{experiment}/score/judges/{judge}/judge.json",
    log:
        "results/{experiment}/logs/score/judges/{judge}.log",
    benchmark:
        "results/{experiment}/benchmarks/score/judges/{judge}.tsv"
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=spec(
            "score.train_judge",
            ("scikit-learn",),
            judge=lambda w: EXPERIMENT["judges"][w.judge],
        ),
        recipe=as_json(lambda w: EXPERIMENT["judges"][w.judge]),
    shell:
        r"""
        python -m workflow.scripts.score.train_judge \
            --train {input.train:q} --test {input.test:q} --recipe {params.recipe:q} \
            --out results/{wildcards.experiment}/score/judges/{wildcards.judge} &>{log:q}
        """


rule score_samples:
    """Grade or judge one run's samples on one benchmark."""
    input:
        samples="results/{experiment}/generate/{run}/{benchmark}/manifest.json",
        judge=judge_file,
    output:
        verdicts="results/{experiment}/score/{run}/{benchmark}/{scorer}/verdicts.jsonl",
        score="results/{experiment}/score/{run}/{benchmark}/{scorer}/score.json",
    log:
        "results/{experiment}/logs/score/{run}/{benchmark}/{scorer}.log",
    benchmark:
        "results/{experiment}/benchmarks/score/{run}/{benchmark}/{scorer}.tsv"
    conda:
        "../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=spec(
            "score.score_samples",
            ("math-verify", "scikit-learn", "statsmodels"),
            scorer=lambda w: EXPERIMENT["scorers"][w.scorer],
        ),
        scorer=as_json(lambda w: EXPERIMENT["scorers"][w.scorer]),
        judge=lambda w, input: (
            ["--judge", str(Path(input.judge).parent)] if input.get("judge") else []
        ),
    shell:
        r"""
        python -m workflow.scripts.score.score_samples \
            --samples results/{wildcards.experiment}/generate/{wildcards.run}/{wildcards.benchmark} \
            --scorer {params.scorer:q} --scorer-name {wildcards.scorer} {params.judge:q} \
            --out results/{wildcards.experiment}/score/{wildcards.run}/{wildcards.benchmark}/{wildcards.scorer} \
            &>{log:q}
        """
