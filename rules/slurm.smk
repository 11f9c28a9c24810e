"""What each job asks for, how a run starts, and what a job sets on its node.

NEEDS: the experiment's sizes; slurm/config.yaml where the run is on a cluster
MAKES: RESOURCES and THREADS of every rule; results/<experiment>/logs/slurm/
"""

from workflow.scripts.common.driver import claim_experiment, remove_stale_locks
from workflow.scripts.common.node import check_gpus, job_environment
from workflow.scripts.common.resources import computing_gpus, list_resources, owns_nodes
from workflow.scripts.common.slurm import (
    Ask,
    attempt_logs,
    cancel_orphans,
    check_asks,
    explain_failure,
    query_nodes,
)

CLONE = Path.cwd()
SLURM_LOGS = CLONE / "results" / NAME / "logs" / "slurm"


def asks(key):
    """Return a function of a job that gives one of its resources."""

    @known
    def get(wildcards, attempt, rulename):
        of_a_run = any(hasattr(wildcards, name) for name in ("run", "base", "lrm"))
        return resources_of(
            rulename,
            run_of(wildcards).name if of_a_run else None,
            wildcards.get("benchmark"),
            wildcards.get("scorer"),
            attempt,
        )[key]

    return get


@cache
def resources_of(rule, run, benchmark, scorer, attempt):
    rows = LOCK.get("rows")
    return list_resources(rule, EXPERIMENT, RUNS.get(run), benchmark, scorer, attempt, rows)


THREADS = asks("threads")
RESOURCES = {key: asks(key) for key in ("gpu", "nodes", "mem_mb", "runtime")}


def default(key):
    """Return what the profile's default-resources say of a key, as text; empty without a profile."""
    defaults = workflow.resource_settings.default_resources
    return str(defaults.get(key).raw or "").strip("'\"") if defaults else ""


def on_several_nodes(value):
    """Return a resource function that gives a value, or calls it, for jobs on several nodes."""

    def get(wildcards, attempt, rulename):
        if asks("nodes")(wildcards, attempt, rulename) == 1:
            return None
        return value(wildcards, attempt, rulename) if callable(value) else value

    return get


def launch_prefix(wildcards, threads, resources):
    """Return what starts a training command once on each of several nodes; a params function."""
    nodes = resources.nodes
    gpus = computing_gpus(EXPERIMENT, run_of(wildcards), resources.gpu, nodes)
    if nodes == 1 or not gpus or not resources.get("mpi"):
        return ""
    return (
        f"srun --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1 --gpus-per-node={gpus} "
        f"--cpus-per-task={threads} --kill-on-bad-exit"
    )


if workflow.resource_settings.default_resources:
    RESOURCES["slurm_extra"] = lambda wildcards, attempt, rulename: (
        default("slurm_extra")
        + (
            " --exclusive"
            if owns_nodes(rulename, asks("gpu")(wildcards, attempt, rulename))
            else ""
        )
    )
    # several nodes: the plugin leaves it to the command to start a task on each, see `launch_prefix`
    RESOURCES["mpi"] = on_several_nodes("srun")
    RESOURCES["tasks"] = on_several_nodes(asks("nodes"))
    RESOURCES["tasks_per_gpu"] = on_several_nodes(0)
if default("gpu_model"):
    # The Slurm plugin would give a GPU to every job with a model, even to one that asks for none.
    RESOURCES["gpu_model"] = lambda wildcards, attempt, rulename: (
        default("gpu_model") if asks("gpu")(wildcards, attempt, rulename) else ""
    )

if workflow.is_main_process:
    remove_stale_locks(NAME, CLONE)
elif "SLURM_JOB_ID" in os.environ:
    try:
        check_gpus()
    except InputError as error:
        sys.exit(f"error: {error}")
    os.environ.update(job_environment(os.environ))
    # A retry removes the log of the attempt before, so Slurm's log of the attempt takes it in.
    for handler in workflow.logger_manager.logger.handlers:
        handler.formatter.show_failed_logs = True


def hand_to_slurm(jobs):
    """Make sure that the cluster can take the jobs, and that nobody else makes the same."""
    check_asks(map(ask_of, jobs), query_nodes())
    if orphans := cancel_orphans(NAME, CLONE):
        print(f"Cancelled jobs of an earlier run: {', '.join(orphans)}", file=sys.stderr)
    executor = workflow.scheduler.get_executor(jobs[0])
    # so that squeue tells the experiment, and the logs lie beside its results
    executor.run_uuid = f"{NAME}_{uuid.uuid4()}"
    executor.slurm_logdir = SLURM_LOGS
    print(f"Slurm jobs are named {executor.run_uuid}; logs: {SLURM_LOGS}", file=sys.stderr)


def ask_of(job):
    """Return what a job asks of one node."""
    asked = job.resources
    return Ask(
        job.rule.name,
        asked.get("slurm_partition"),
        asked.get("gpu", 0) // asked.get("nodes", 1),
        job.threads,
        asked.get("mem_mb", 0),
        asked.get("runtime", 0),
        asked.get("gpu_model", ""),
    )


onstart:
    global DRIVER  # a local name would let go of the lock when this handler returns
    try:
        check_pins(EXPERIMENT, NAME)
        check_memory_of(workflow.dag.needrun_jobs())
        check_api_keys(workflow.dag.needrun_jobs())
        check_tensor_parallel(workflow.dag.needrun_jobs())
        DRIVER = claim_experiment(NAME, CLONE)
        jobs = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
        if workflow.executor_plugin.name == "slurm" and jobs:
            hand_to_slurm(jobs)
    except InputError as error:
        sys.exit(f"error: {error}")


onerror:
    for job in workflow.scheduler.failed:
        logs = attempt_logs(SLURM_LOGS, job.rule.name, job.wildcards) + job.log
        if reason := explain_failure(logs, sys.executable):
            print(
                f"error: {job.rule.name} {', '.join(job.wildcards)}: {reason}", file=sys.stderr
            )
