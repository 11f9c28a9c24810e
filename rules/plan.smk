"""Plan: what a run would make and cost; a budget; previous results kept until new ones stand.

NEEDS: the experiment, and what stands of it in results/<experiment>/
MAKES: nothing but results/<experiment>/previous/, while a run lasts
"""

from workflow.scripts.common.staleness import DISPENSABLE
from workflow.scripts.plan.experiment_state import ExperimentState
from workflow.scripts.plan.make_plan import check_budget, make_plan
from workflow.scripts.plan.previous import keep_previous, settle_previous


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
        python -m workflow.scripts.plan.make_plan --experiment {params.experiment:q} 2>&1 | tee {log:q}
        """


def begin_run():
    """Check the budget before anything is submitted, and keep what will be made anew."""
    jobs = [job for job in workflow.dag.needrun_jobs() if job.rule.name != "plan"]
    if not jobs:
        return
    outputs = {str(file).removeprefix(ROOT_FOLDER) for job in jobs for file in job.output}
    if budget := EXPERIMENT.get("budget"):
        # A run of some targets pays for these alone.
        asked = {
            path: state if path in outputs or state not in TO_RUN else DISPENSABLE
            for path, state in states().items()
        }
        folder = Path(ROOT_FOLDER)
        state = ExperimentState(NAME, BASE, folder, EXPERIMENT, RUNS, JOBS, KEYS, asked)
        check_budget(make_plan(state), budget)
    keep_previous(Path(ROOT_FOLDER), sorted(outputs & set(states())))


def end_run():
    """Put back the previous results where no new one stands."""
    if workflow.dryrun:
        return  # Snakemake calls its handlers then too
    for path in settle_previous(Path(ROOT_FOLDER)):
        print(f"The previous {ROOT_FOLDER}{path} is back in place, still stale.", file=sys.stderr)


# Snakemake keeps one handler of each kind.
begin_slurm, end_slurm = workflow._onstart, workflow._onerror


onstart:
    begin_slurm(log)
    try:
        begin_run()
    except InputError as error:
        sys.exit(f"error: {error}")


onsuccess:
    end_run()


onerror:
    end_slurm(log)
    end_run()
