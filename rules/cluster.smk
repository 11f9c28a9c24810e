"""What each job asks for, how a run starts and ends, and what a job sets on its node.

NEEDS: the experiment's sizes; slurm/config.yaml where the run is on a cluster
MAKES: RESOURCES and THREADS of every rule; results/<experiment>/logs/slurm/, the experiment's view
"""

import atexit

from snakemake.logging import logger
from snakemake_executor_plugin_slurm.partitions import get_best_partition, read_partition_file

from workflow.scripts.cluster.container import check_command, check_image
from workflow.scripts.cluster.driver import (
    Work,
    claim_experiment,
    declare_work,
    own_locks,
    remove_stale_locks,
)
from workflow.scripts.cluster.lost_jobs import LostJobs
from workflow.scripts.cluster.node import check_gpus, job_environment
from workflow.scripts.cluster.resources import (
    combine_resources,
    computing_gpus,
    list_resources,
    owns_nodes,
)
from workflow.scripts.cluster.slurm import (
    Ask,
    attempt_logs,
    cancel_orphans,
    check_asks,
    check_names,
    check_profile,
    check_requeue,
    check_status_command,
    explain_failure,
    limit_nodes,
    query_nodes,
    room_to_grow,
)
from workflow.scripts.graph.follow import (
    Failures,
    Follower,
    ShowLogs,
    say_failures,
    say_where,
    takes_over,
)
from workflow.scripts.graph.plan import check_budget, make_plan
from workflow.scripts.graph.reasons import describe
from workflow.scripts.graph.status import last_line
from workflow.scripts.score.judge_memory import NVIDIA, check_judge, judge_gb, machine_gb

CLONE = Path.cwd()
SLURM_LOGS = CLONE / "results" / NAME / "logs" / "slurm"


# What the profile's default-resources say, as text; empty without a profile.
PROFILE = {
    key: str(value.raw).strip("'\"")
    for key, value in (workflow.resource_settings.default_resources or {}).items()
}
IN_CONTAINER = "APPTAINER" in {one.name for one in workflow.deployment_settings.deployment_method}
try:
    check_profile(PROFILE)
    if IN_CONTAINER:
        check_image(CONFIG.container)
except InputError as error:
    sys.exit(f"error: {error}")

# The most that any job may ask for, and from a job's second attempt on what its partition has.
LIMITS = {
    key: int(PROFILE[setting])
    for key, setting in (("mem_mb", "max_mem_mb"), ("runtime", "max_runtime"))
    if setting in PROFILE
}
ROOM = {}


def asks(key):
    """Return a function of a job that gives one of its resources."""

    @known
    def get(wildcards, attempt, rulename):
        return resources_of(wildcards.get("key"), rulename, attempt)[key]

    return get


@cache
def resources_of(key, rulename, attempt):
    if key is None:  # a rule without a job of the graph
        return combine_resources([list_resources(rulename, EXPERIMENT)])
    job = GRAPH.jobs[key]
    most = {**LIMITS, **(ROOM.get(key, {}) if attempt > 1 else {})}
    asked = [
        list_resources(rulename, EXPERIMENT, made.run, made.benchmark, made.scorer, GRAPH.rows)
        for made in job.results
    ]
    return combine_resources(asked, attempt, most)


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
    run = job_of(wildcards).results[0].run
    gpus = computing_gpus(EXPERIMENT, run, gpus_of(resources), nodes)
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
    remove_stale_locks(CLONE)
elif "SLURM_JOB_ID" in os.environ:
    try:
        check_gpus()
    except InputError as error:
        sys.exit(f"error: {error}")
    os.environ.update(job_environment(os.environ))
    # A retry removes the log of the attempt before, so Slurm's log of the attempt takes it in.
    logger.addHandler(ShowLogs())


def hand_to_slurm(jobs):
    """Make sure that the cluster can take the jobs, and that nobody else makes the same.

    Returns what starts jobs again that are lost from then on.
    """
    settings = workflow.executor_settings
    check_names(settings.jobname_prefix, settings.logdir, NAME, SLURM_LOGS)
    check_requeue(settings.requeue)
    file = settings.partition_config or os.environ.get("SNAKEMAKE_SLURM_PARTITIONS")
    partitions = read_partition_file(file) if file else []
    limits = {p.name: (p.limits.max_mem_mb, p.limits.max_runtime) for p in partitions}
    nodes = limit_nodes(query_nodes(), limits)
    check_status_command(settings.status_command)
    for job in jobs:
        ask = ask_of(job, partitions)
        check_asks([ask], nodes)
        ROOM[job.wildcards.get("key")] = room_to_grow(ask, nodes)
    if orphans := cancel_orphans(NAME, CLONE):
        print(f"Cancelled jobs of an earlier run: {', '.join(orphans)}", file=sys.stderr)
    lost = LostJobs(NAME, CLONE, logger.warning)
    lost.start()
    print(f"Slurm jobs are named {NAME}_…; logs: {SLURM_LOGS}", file=sys.stderr)
    return lost


def ask_of(job, partitions):
    """Return what a job asks of one node, in the partition that the plugin will choose for it."""
    gpus, nodes = gpus_of(job.resources), job.resources.get("nodes", 1)
    partition = job.resources.get("slurm_partition")
    if not partition and partitions:
        partition = get_best_partition(partitions, job, logger)
    return Ask(
        job.rule.name,
        str(partition or ""),
        gpus // nodes,
        job.threads,
        job.resources.get("mem_mb", 0),
        job.resources.get("runtime", 0),
        MODEL if gpus else "",
    )


def check_memory_of(jobs):
    """Make sure that every training job fits its GPUs, and its batch divides over them."""
    for job in jobs:
        if job.rule.name in ("reasoning_sft", "safety_sft", "attack_sft"):
            run, nodes = job_of(job.wildcards).results[0].run, job.resources.nodes
            gpus = computing_gpus(EXPERIMENT, run, gpus_of(job.resources), nodes)
            knobs = getattr(EXPERIMENT.runtime, job.rule.name)
            try:
                devices = max(1, gpus * nodes)
                batch_plan(run.training.global_batch, devices, knobs.per_device_batch)
            except InputError as error:
                raise InputError(f"{job.rule.name} {run.name}: {error}") from None
            origin = origin_of(run, RUNS)
            source = BASE / GRAPH.folder(f"models/{origin.name}")
            check_fit(run, origin, source, knobs, gpus, nodes, parameters(EXPERIMENT, run))


def check_tensor_parallel(jobs):
    """Make sure that no job spreads a model over more GPUs than it asks for."""
    tensor = EXPERIMENT.runtime.generate_samples.tensor_parallel or 1
    for job in jobs:
        if job.rule.name == "generate_samples":
            run = job_of(job.wildcards).results[0].run
            gpus = computing_gpus(EXPERIMENT, run, gpus_of(job.resources))
            if 0 < gpus < tensor:
                raise InputError(
                    f"runtime.generate_samples.tensor_parallel is {tensor}, but generate_samples "
                    f"{run.name} asks for {gpus} GPUs: raise its `gpu` in resources"
                )


def check_api_keys(jobs):
    """Make sure that the keys of endpoints that will be asked are in the environment."""
    asking = [job_of(job.wildcards) for job in jobs if job.rule.name == "score_samples_api"]
    for scorer in sorted({made.scorer for job in asking for made in job.results}):
        for part, endpoint in EXPERIMENT.scorers[scorer].endpoints().items():
            variable = endpoint.api_key_env
            if variable and not os.environ.get(variable):
                raise InputError(
                    f"scorers.{scorer}.{part}: the environment variable {variable} (api_key_env) "
                    "is not set"
                )


def check_judges(jobs):
    """Say what memory the judges take that this machine will load, and refuse what it lacks."""
    scoring = [job for job in jobs if job.rule.name == "score_samples"]
    names = {made.scorer for job in scoring for made in job_of(job.wildcards).results}
    for name in sorted(names) if workflow.local_exec else ():
        fetched = f"score/fetched/{name}"
        folder = BASE / GRAPH.folder(fetched) if fetched in GRAPH.results else None
        if need := judge_gb(EXPERIMENT.scorers[name], folder):
            print(check_judge(name, need, machine_gb(), NVIDIA.exists()), file=sys.stderr)


def check_commands(jobs):
    """Make sure that the image has what the jobs start, where they run in one."""
    for job in jobs if IN_CONTAINER else ():
        vllm = job.rule.name == "generate_samples" and engine(job_of(job.wildcards)) == "vllm"
        name = " ".join([job.rule.name, job.wildcards.get("name", "")])
        check_command(name, job.resources.get("nodes", 1), CONFIG.vllm_python if vllm else None)


def check_budget_of(jobs):
    """Make sure that these jobs and what is done already are within the budget."""
    if EXPERIMENT.budget.without_defaults():
        outputs = {str(file) for job in jobs for file in job.output}
        asked = [
            result.name
            for job in GRAPH.jobs.values()
            if job.output in outputs
            for result in job.results
        ]
        check_budget(make_plan(GRAPH, asked=asked), EXPERIMENT.budget)


def work_of(jobs):
    """Return what this run works on, for those who start or collect while it goes on."""
    asked = [job_of(job.wildcards) for job in jobs if job.wildcards.get("key")]
    missing = {made.name for job in asked for made in job.results} - GRAPH.complete
    refers = {*map(GRAPH.folder, GRAPH.results), *(job.output for job in GRAPH.jobs.values())}
    inputs = {str(file) for job in workflow.dag.jobs for file in job.input}
    outputs = {str(file) for job in jobs for file in job.output}
    gpus = workflow.global_resources.get(GPU)
    return Work(
        tuple(sorted(map(GRAPH.folder, missing))),
        tuple(sorted(refers)),
        own_locks(CLONE, inputs, outputs),
        workflow.cores if workflow.local_exec else workflow.nodes,
        gpus.value if gpus else 0,
        workflow.execution_settings.retries,
    )


def check_settings_of(jobs):
    """Make sure of what the experiment and the options settle by themselves."""
    check_memory_of(jobs)
    check_tensor_parallel(jobs)
    check_budget_of(jobs)


def say_why():
    """Say at the end of a dry-run why each job runs; Snakemake says that its files are missing."""
    jobs = list(workflow.dag.needrun_jobs(exclude_finished=False)) if workflow.dag else []
    for line in describe(GRAPH, {job.wildcards.get("key") for job in jobs}):
        print(line)
    try:
        check_settings_of(jobs)
    except InputError as error:
        print(f"The run would end before its first job: {error}")


if workflow.is_main_process and workflow.output_settings.dryrun:
    atexit.register(say_why)


def failure_of(job):
    """Return what a failed job is called, why it failed, and its log."""
    logs = attempt_logs(SLURM_LOGS, job.rule.name, job.wildcards) + job.log
    name = ", ".join(value for key, value in job.wildcards.items() if key != "key")
    last = next(filter(None, map(last_line, job.log + logs)), None)
    reason = explain_failure(logs, sys.executable) or last or "wrote nothing into its log"
    return f"{job.rule.name} {name}", reason, next(map(str, job.log + logs), "none")


onstart:
    # a lock in a local name would be let go of when this handler returns
    global DRIVER, FAILED, FOLLOWER, LOST
    FOLLOWER = LOST = None
    jobs = list(workflow.dag.needrun_jobs())
    retries = workflow.execution_settings.retries
    FAILED = Failures({log: job for job in jobs for log in job.log}, retries)
    try:
        check_pins(EXPERIMENT, NAME)
        check_settings_of(jobs)
        check_api_keys(jobs)
        check_judges(jobs)
        check_commands(jobs)
        DRIVER = claim_experiment(NAME, CLONE)
        work = work_of(jobs)
        declare_work(DRIVER, CLONE, work)
        jobs = [job for job in jobs if not job.is_local]
        if workflow.executor_plugin.name == "slurm" and jobs:
            LOST = hand_to_slurm(jobs)
    except InputError as error:
        sys.exit(f"error: {error}")
    settings = workflow.output_settings
    # a run of other rules, such as `plan`, has a view of its own
    if work.makes and takes_over(settings, chosen=bool(settings.log_handler_settings)):
        FOLLOWER = Follower(GRAPH, logger)
        FOLLOWER.start()
    logger.addHandler(FAILED)  # after the view, which silences what was there before


onsuccess:
    if LOST:
        LOST.stop()
    if FOLLOWER:
        FOLLOWER.stop()
        say_where(GRAPH)


onerror:
    if LOST:
        LOST.stop(cancel=True)
    if FOLLOWER:
        FOLLOWER.stop()
    say_failures(map(failure_of, FAILED.final()), GRAPH)
