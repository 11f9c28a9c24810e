"""Plan: what a run would make, why, and what it costs; on screen alone.

NEEDS: the experiment, and what is in results/store/
MAKES: nothing
"""


localrules:
    plan,


rule plan:
    """Show what a run would make, why, and what it costs."""
    log:
        f"results/{NAME}/logs/plan.log",
    conda:
        "../envs/train.yaml"
    params:
        experiment=NAME,
    shell:
        r"""
        python -m workflow.scripts.graph.plan --experiment {params.experiment:q} 2>&1 | tee {log:q}
        """
