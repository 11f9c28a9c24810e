"""What each job asks for, how a run starts, and what a job sets on its node.

NEEDS: the experiment's sizes; slurm/config.yaml where the run is on a cluster
MAKES: RESOURCES and THREADS of every rule; results/<experiment>/logs/slurm/
"""

import shlex

from snakemake_executor_plugin_slurm.partitions import read_partition_file

from workflow.scripts.common.driver import claim_experiment, remove_stale_locks
from workflow.scripts.common.node import check_gpus, job_environment
from workflow.scripts.common.resources import computing_gpus, list_resources, owns_nodes
from workflow.scripts.common.slurm import (
    Ask,
    attempt_logs,
    cancel_orphans,
    check_asks,
    check_profile,
    check_status_command,
    explain_failure,
    fail_lost_jobs,
    limit_nodes,
    query_nodes,
    room_to_grow,
)
from workflow.scripts.plan.show_status import last_line

CLONE = Path.cwd()
SLURM_LOGS = CLONE / "results" / NAME / "logs" / "slurm"


# What the profile's default-resources say, as text; empty without a profile.
PROFILE = {
    key: str(value.raw).strip("'\"")
    for key, value in (workflow.resource_settings.default_resources or {}).items()
}
try:
    check_profile(PROFILE)
except InputError as error:
    sys.exit(f"error: {error}")

# The most that any job may ask for, and from a job's second attempt on what its partition has.
LIMITS = {
    key: int(PROFILE[setting])
    for key, setting in (("mem_mb", "max_mem_mb"), ("runtime", "max_runtime"))
    if setting in PROFILE
}
ROOM = {}


def identity(wildcards, rulename):
    """Return what the needs of a job depend on: rule, run, benchmark and scorer."""
    of_a_run = any(hasattr(wildcards, name) for name in ("run", "base", "lrm"))
    return (
        rulename,
        run_of(wildcards).name if of_a_run else None,
        wildcards.get("benchmark"),
        wildcards.get("scorer"),
    )


def asks(key):
    """Return a function of a job that gives one of its resources."""

    @known
    def get(wildcards, attempt, rulename):
        return resources_of(identity(wildcards, rulename), attempt)[key]

    return get


@cache
def resources_of(job, attempt):
    name, run, benchmark, scorer = job
    most = {**LIMITS, **(ROOM.get(job, {}) if attempt > 1 else {})}
    rows = LOCK.get("rows")
    return list_resources(name, EXPERIMENT, RUNS.get(run), benchmark, scorer, attempt, rows, most)


# The Slurm plugin turns `gpu` into --gpus; where the profile has `gres`, `gpus` carries the number.
GRES, MODEL = PROFILE.get("gres", ""), PROFILE.get("gpu_model", "")
GPU = "gpus" if GRES else "gpu"
THREADS = asks("threads")
RESOURCES = {GPU: asks("gpu"), **{key: asks(key) for key in ("nodes", "mem_mb", "runtime")}}


def gpus_of(resources):
    """Return how many GPUs a job asks for, on all its nodes together."""
    return resources.get(GPU, 0)


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
    gpus = computing_gpus(EXPERIMENT, run_of(wildcards), gpus_of(resources), nodes)
    if nodes == 1 or not gpus or not resources.get("mpi"):
        return ""
    return (
        f"srun --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1 --gpus-per-node={gpus} "
        f"--cpus-per-task={threads} --kill-on-bad-exit"
    )


if PROFILE:
    RESOURCES["slurm_extra"] = lambda wildcards, attempt, rulename: (
        PROFILE.get("slurm_extra", "")
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


def for_gpu_jobs(value):
    """Return a resource function that gives `value(GPUs per node)` to jobs with GPUs, else ""."""

    def get(wildcards, attempt, rulename):
        gpus, nodes = (asks(key)(wildcards, attempt, rulename) for key in ("gpu", "nodes"))
        return value(gpus // nodes) if gpus else ""

    return get


# The Slurm plugin would give a GPU to every job with a model, even to one that asks for none.
if GRES:
    RESOURCES["gres"] = for_gpu_jobs(lambda gpus: ":".join(filter(None, (GRES, MODEL, str(gpus)))))
    RESOURCES["gpu_model"] = lambda wildcards: ""
elif MODEL:
    RESOURCES["gpu_model"] = for_gpu_jobs(lambda gpus: MODEL)

# What the driver fetched is found by every job, and by a run that is started from another shell: in
# the clone, which login and compute nodes share.
os.environ.setdefault("HF_HOME", str(CLONE / ".cache" / "huggingface"))
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
    executor = workflow.scheduler.get_executor(jobs[0])
    settings = workflow.executor_settings
    nodes = limit_nodes(query_nodes(), partition_limits(settings.partition_config))
    check_status_command(settings.status_command)
    asked = {identity(job.wildcards, job.rule.name): job for job in jobs}
    for job, ask in ((job, ask_of(asked[job], executor)) for job in asked):
        check_asks([ask], nodes)
        ROOM[job] = room_to_grow(ask, nodes)
    if orphans := cancel_orphans(NAME, CLONE):
        print(f"Cancelled jobs of an earlier run: {', '.join(orphans)}", file=sys.stderr)
    # so that squeue tells the experiment, and the logs lie beside its results
    executor.run_uuid = f"{NAME}_{uuid.uuid4()}"
    executor.slurm_logdir = SLURM_LOGS
    plugin = sys.modules[type(executor).__module__]
    plugin.query_job_status = fail_lost_jobs(plugin.query_job_status)
    print(f"Slurm jobs are named {executor.run_uuid}; logs: {SLURM_LOGS}", file=sys.stderr)


def partition_limits(file):
    """Return the memory and minutes that `slurm-partition-config` gives each partition."""
    if not file:
        return {}
    found = read_partition_file(file)
    return {p.name: (p.limits.max_mem_mb, p.limits.max_runtime) for p in found}


def ask_of(job, executor):
    """Return what a job asks of one node, in the partition that the plugin will choose for it."""
    gpus, nodes = gpus_of(job.resources), job.resources.get("nodes", 1)
    return Ask(
        job.rule.name,
        "".join(shlex.split(executor.get_partition_arg(job))[1:]),
        gpus // nodes,
        job.threads,
        job.resources.get("mem_mb", 0),
        job.resources.get("runtime", 0),
        MODEL if gpus else "",
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
        name = f"{job.rule.name} {', '.join(job.wildcards)}"
        last = next(
            (f"{last_line(log)} ({log})" for log in job.log + logs if last_line(log)), None
        )
        reason = explain_failure(logs, sys.executable) or last or "wrote nothing into its log"
        print(f"error: {name}: {reason}", file=sys.stderr)
