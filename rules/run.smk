"""How a run begins and ends: a budget, and previous results kept until the new ones stand.

NEEDS: every rule, and the handlers of slurm.smk: included last
MAKES: results/<experiment>/previous/, while a run lasts
"""

from workflow.scripts.common.staleness import DISPENSABLE
from workflow.scripts.plan.experiment_state import ExperimentState
from workflow.scripts.plan.make_plan import check_budget, make_plan
from workflow.scripts.plan.previous import keep_previous, settle_previous


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
    # Snakemake calls its handlers after a dry-run too; and showing the plan is no run
    if workflow.dryrun or all(job.rule.name == "plan" for job in workflow.dag.jobs):
        return
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
