"""Show how far a run of an experiment is: from any shell, while it runs or after.

Everything is read from the store and from what jobs write; no lock is taken. A driver is the
Snakemake process that a user started; see `cluster/driver.py`. A job is

- running, when its log was written since a driver that lives began, and it has not failed;
- failed, when its log ends with an error, or when its driver has ended before it;
- waiting for its retry, when an attempt on Slurm has failed so and the driver has more;
- queued, when a driver lives and all that it is made from is complete.

    python -m workflow.scripts.graph.status --experiment micro
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from workflow.scripts.cluster.driver import Work, read_work
from workflow.scripts.cluster.resources import GPUS_PER_NODE
from workflow.scripts.common.errors import run
from workflow.scripts.common.io import write_json
from workflow.scripts.common.result import STATE
from workflow.scripts.common.terminal import console_on
from workflow.scripts.graph.draw_status import draw
from workflow.scripts.graph.estimate import Cost, Estimator
from workflow.scripts.graph.jobs import DISPENSABLE, DONE, TO_RUN, Graph, Job, read_graph
from workflow.scripts.graph.plan import list_waits, list_work
from workflow.scripts.graph.results import Result
from workflow.scripts.graph.schedule import wall_time

RUNNING, QUEUED, FAILED, TO_DO = "running", "queued", "failed", "to do"
RETRY = "waiting for retry"
STAGES = ("data", "models", "generate", "score", "report")
COLUMNS = (DONE, RUNNING, QUEUED, RETRY, FAILED, TO_DO)
# Lines of logs that tell how far a job is: of a training, and of `common/progress.py`.
STEPS = re.compile(r"\bstep (\d+)(?: of (\d+))?(?:, loss [\d.]+)?(?:, (\d+) tokens/s)?", re.I)
TRACKED = re.compile(r": (\d+)/(\d+), \d+ min left$", re.M)
# The last line of a log whose job has failed: an error of ours, or of Python.
ERROR = re.compile(r"error: |[\w.]*(Error|Exception|Interrupt)\b")


@dataclass(frozen=True)
class Progress:
    """How far a running job is.

    Attributes:
        done: Steps, samples, batches or results that are finished.
        total: Of how many; 0 when unknown.
        unit: `steps`, `samples`, `batches` or `results`.
        tokens_per_s: For training and generation; 0 when unknown.
        elapsed: Seconds since it began.
    """

    done: int
    total: int
    unit: str
    tokens_per_s: float
    elapsed: float

    def seconds_left(self, estimate: float) -> float:
        """Return the seconds left, by its own speed, else by the estimate of its whole time."""
        if self.done and self.total:
            return self.elapsed * (self.total - self.done) / self.done
        return max(0.0, estimate - self.elapsed)


@dataclass(frozen=True)
class RunningJob:
    """A job that runs.

    Attributes:
        rule: Its rule.
        name: Its title.
        done: How much is finished, see `Progress`.
        total: Of how much; 0 when unknown.
        unit: Of what.
        tokens_per_s: For training and generation; 0 when unknown.
        elapsed_s: Seconds since it began.
        left_s: Seconds until it ends.
    """

    rule: str
    name: str
    done: int
    total: int
    unit: str
    tokens_per_s: float
    elapsed_s: float
    left_s: float


@dataclass(frozen=True)
class FailedJob:
    """A job of which an attempt has failed.

    Attributes:
        rule: Its rule.
        name: Its title.
        log: Its log, relative to the clone.
        said: What the log ends with.
    """

    rule: str
    name: str
    log: str
    said: str


@dataclass(frozen=True)
class GpuHours:
    """What the jobs that count take, in hours of one GPU.

    Attributes:
        spent: By those that are done, and by running ones so far.
        planned: By all, in the end.
    """

    spent: float
    planned: float


@dataclass(frozen=True)
class Status:
    """How far an experiment is, or the run of it that goes on.

    Attributes:
        experiment: Its name.
        driver: Whether a run goes on; then only what it makes and what is done counts.
        changed: Whether code or experiment have changed since the run began.
        jobs: How many jobs are in each of `COLUMNS`.
        stages: The same by stage, without the stages that have none.
        rules: Results in each of `COLUMNS` by rule.
        running: The jobs that run.
        failed: The jobs that have failed.
        retried: The jobs that wait for their retry.
        elapsed_s: Seconds since the run began; 0 where none goes on.
        left_s: Seconds until it ends; 0 where none goes on.
        waits: Whether jobs wait for nodes of a cluster.
        gpu_hours: Spent and planned.
    """

    experiment: str
    driver: bool
    changed: bool
    jobs: dict[str, int]
    stages: dict[str, dict[str, int]]
    rules: dict[str, dict[str, int]]
    running: tuple[RunningJob, ...]
    failed: tuple[FailedJob, ...]
    retried: tuple[FailedJob, ...]
    elapsed_s: float
    left_s: float
    waits: bool
    gpu_hours: GpuHours


def find_states(graph: Graph, work: dict[str, list[Result]]) -> dict[str, str]:
    """Return one of `COLUMNS` for each job that is not complete, by its key.

    Args:
        graph: The experiment.
        work: The jobs, see `list_work`.
    """
    began = started_at(graph.root, graph.name)
    lives = driver_lives(graph.root, graph.name)
    retries = read_work(graph.name, graph.root).retries if lives else 0
    # Another experiment may be making a result that both share.
    since = began if lives else _other_drivers(graph)
    found = {}
    for key, made in work.items():
        log = graph.root / graph.jobs[key].log
        written = log.stat().st_mtime if log.exists() else 0.0
        if written >= min(began, since) and ERROR.match(last_line(log)):
            attempts = _attempts(graph, graph.jobs[key], began)
            if any(_birth(attempt) > written for attempt in attempts):
                found[key] = RUNNING  # the job has begun again, and will write its log again
            else:
                # until the driver sees it, which takes Slurm a minute, and submits the job again
                found[key] = RETRY if 0 < len(attempts) <= retries else FAILED
        elif written >= since:
            found[key] = RUNNING
        elif written >= began:
            found[key] = FAILED
        else:
            inputs = {name for result in made for name in result.made_from}
            found[key] = QUEUED if lives and inputs <= graph.complete else TO_DO
    return found


def _attempts(graph: Graph, job: Job, began: float) -> list[Path]:
    """Return the logs of a job's attempts that Slurm has started for the last driver."""
    logs = (graph.root / "results" / graph.name / "logs" / "slurm" / f"rule_{job.rule}").glob(
        f"*_{job.key}/*.log"
    )
    return [log for log in logs if log.stat().st_mtime >= began]


def driver_lives(root: Path, experiment: str) -> bool:
    """Tell whether a driver runs the experiment."""
    try:
        with open(_driver(root, experiment)) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def started_at(root: Path, experiment: str) -> float:
    """Return when the last driver began, in seconds since 1970; infinity when there was none."""
    try:
        return _driver(root, experiment).stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _other_drivers(graph: Graph) -> float:
    """Return when the first of the other experiments' living drivers began; else infinity."""
    others = [path.parent.name for path in graph.root.glob("results/*/.driver")]
    living = [name for name in others if name != graph.name and driver_lives(graph.root, name)]
    return min((started_at(graph.root, name) for name in living), default=float("inf"))


def _driver(root: Path, experiment: str) -> Path:
    return root / "results" / experiment / ".driver"


def read_progress(graph: Graph, job: Job, estimator: Estimator, now: float) -> Progress:
    """Return how far a running job is, from its log and the state of its results.

    Args:
        graph: The experiment.
        job: The job.
        estimator: Knows how many samples a generating job makes.
        now: The present, in seconds since 1970.
    """
    log = graph.root / job.log
    elapsed = now - _began(log, started_at(graph.root, graph.name))
    if job.results[0].stage == "models":
        steps = STEPS.findall(_tail(log))
        # a training behind a gate may take several rounds: the last one counts
        done, total, speed = (int(one or 0) for one in steps[-1]) if steps else (0, 0, 0)
        return Progress(done, total, "steps", speed, elapsed)
    if job.rule == "generate_samples":
        return _generated(graph, job.results, estimator, elapsed)
    if len(job.results) > 1:
        done = sum(result.name in graph.complete for result in job.results)
        return Progress(done, len(job.results), "results", 0.0, elapsed)
    tracked = TRACKED.findall(_tail(log))
    done, total = map(int, tracked[-1]) if tracked else (0, 0)
    return Progress(done, total, "batches", 0.0, elapsed)


def _generated(
    graph: Graph, results: Sequence[Result], estimator: Estimator, elapsed: float
) -> Progress:
    """Return how many samples of a run are finished, those of complete results among them."""
    done = tokens = 0
    for result in results:
        if result.name in graph.complete:
            done += estimator.samples(result)
            continue
        partial = _partial_tokens(graph.root / graph.folder(result.name) / STATE)
        done += len(partial)
        tokens += sum(partial)
    total = sum(estimator.samples(result) for result in results)
    return Progress(done, total, "samples", tokens / max(elapsed, 1), elapsed)


def _began(log: Path, driver: float) -> float:
    """Return when a job began: when its log was made, but not before the driver."""
    birth = _birth(log)
    written = log.stat().st_mtime if log.exists() else birth
    return max(birth, min(driver, written))


def _birth(file: Path) -> float:
    """Return when a file was made, in seconds since 1970; 0 where the file system does not say."""
    told = subprocess.run(["stat", "--format=%.6W", str(file)], capture_output=True, text=True)
    with suppress(ValueError):
        return float(told.stdout)
    return 0.0


def _partial_tokens(folder: Path) -> list[int]:
    """Return the tokens of each sample that an unfinished result has so far."""
    tokens = []
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_bytes().split(b"\n")[:-1]:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            tokens.append(row["thinking_tokens"] + row["answer_tokens"])
    return tokens


def _tail(path: Path, size: int = 20_000) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - size))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def last_line(log: str | Path) -> str:
    """Return the last line of a log that is not empty; "" where there is none."""
    lines = _tail(Path(log), 2000).strip().splitlines()
    return lines[-1].strip() if lines else ""


def make_status(graph: Graph) -> Status:
    """Return how far an experiment is, or the run of it that goes on."""
    estimator = Estimator(graph)
    states = graph.states()
    driver = driver_lives(graph.root, graph.name)
    declared = read_work(graph.name, graph.root) if driver else Work()
    work = list_work(graph, states)
    own = {key: made for key, made in work.items() if _is_made(graph, made, declared)}
    changed = not _is_made(graph, graph.results.values(), declared)
    found = find_states(graph, own)
    costs = {key: estimator.cost(graph.jobs[key], made) for key, made in own.items()}
    running = {
        key: read_progress(graph, graph.jobs[key], estimator, time.time())
        for key, state in found.items()
        if state == RUNNING
    }
    stages = _by_stage(graph, states, found)
    done = [graph.results[one] for one, state in states.items() if state == DONE]
    spent = sum(estimator.spent(result).gpu_hours for result in done)
    planned = spent + sum(cost.gpu_hours for cost in costs.values())
    spent += sum(costs[key].gpu * one.elapsed / 3600 for key, one in running.items())
    elapsed = time.time() - started_at(graph.root, graph.name) if driver else 0.0
    rest = _seconds_left(graph, own, found, costs, running, declared) if driver else 0.0
    return Status(
        experiment=graph.name,
        driver=driver,
        changed=changed,
        jobs={key: sum(counts[key] for counts in stages.values()) for key in COLUMNS},
        stages=stages,
        rules=_by_rule(graph, states, found),
        running=tuple(
            _running(graph.jobs[key], one, costs[key].seconds) for key, one in running.items()
        ),
        failed=_ended(graph, found, FAILED),
        retried=_ended(graph, found, RETRY),
        elapsed_s=round(max(0.0, elapsed), 1),
        left_s=round(rest, 1),
        waits=driver and any(costs[k].gpu for k, one in found.items() if one in (QUEUED, RETRY)),
        gpu_hours=GpuHours(spent, planned),
    )


def _running(job: Job, progress: Progress, estimate: float) -> RunningJob:
    return RunningJob(
        rule=job.rule,
        name=title(job),
        done=progress.done,
        total=progress.total,
        unit=progress.unit,
        tokens_per_s=round(progress.tokens_per_s, 1),
        elapsed_s=round(progress.elapsed, 1),
        left_s=round(progress.seconds_left(estimate), 1),
    )


def _ended(graph: Graph, found: Mapping[str, str], wanted: str) -> tuple[FailedJob, ...]:
    """Return the jobs in a state that their logs' end tells, with these."""
    jobs = [graph.jobs[key] for key, state in found.items() if state == wanted]
    return tuple(FailedJob(job.rule, title(job), job.log, said(graph, job)) for job in jobs)


def _is_made(graph: Graph, results: Iterable[Result], declared: Work) -> bool:
    """Tell whether a run makes some of the results; one that has not said what it makes, all."""
    makes = set(declared.makes)
    return not makes or any(graph.folder(one.name) in makes for one in results)


def _by_stage(
    graph: Graph, states: Mapping[str, str], found: Mapping[str, str]
) -> dict[str, dict[str, int]]:
    """Return how many jobs of each stage are in each of `COLUMNS`."""
    stages = {stage: Counter[str]() for stage in STAGES}
    for key, job in graph.jobs.items():
        wanted = {states[result.name] for result in job.results} - {DISPENSABLE}
        if key in found or wanted == {DONE}:
            stages[job.results[0].stage][found.get(key, DONE)] += 1
    return {
        stage: {key: counts[key] for key in COLUMNS} for stage, counts in stages.items() if counts
    }


def _by_rule(
    graph: Graph, states: Mapping[str, str], found: Mapping[str, str]
) -> dict[str, dict[str, int]]:
    """Return how many results of each rule are in each of `COLUMNS`."""
    rules = {result.rule: Counter[str]() for result in graph.results.values()}
    for result in graph.results.values():
        state = states[result.name]
        if state in TO_RUN:
            state = found.get(graph.job_of[result.name].key, DISPENSABLE)
        rules[result.rule][state] += 1
    return {rule: {key: counts[key] for key in COLUMNS} for rule, counts in rules.items()}


def _seconds_left(
    graph: Graph,
    work: Mapping[str, Sequence[Result]],
    found: Mapping[str, str],
    costs: Mapping[str, Cost],
    running: Mapping[str, Progress],
    declared: Work,
) -> float:
    """Return the seconds until a run has made all that no failed job keeps from being made."""
    waits, possible = list_waits(graph, work), dict[str, list[str]]()
    for key, inputs in waits.items():
        if found[key] != FAILED and all(one in possible for one in inputs):
            possible[key] = list(inputs)
    rest = {
        key: replace(cost, parts={"left": running[key].seconds_left(cost.seconds)})
        if key in running
        else cost
        for key, cost in costs.items()
    }
    gpus, at_once = declared.gpus or GPUS_PER_NODE, declared.at_once or os.cpu_count() or 1
    return wall_time(possible, rest, gpus, at_once)


def title(job: Job) -> str:
    """Return what a job is called for people: its result, or its rule and what that is for."""
    return job.results[0].name if len(job.results) == 1 else f"{job.rule} {job.name}"


def said(graph: Graph, job: Job) -> str:
    """Return what the log of a failed job ends with."""
    last = last_line(graph.root / job.log)
    if not last:
        return "wrote nothing into its log"
    return last if ERROR.match(last) else f"was stopped; its last line: {last}"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--json", type=Path, help="write the status to this file as well")
    arguments = parser.parse_args(argv)
    status = make_status(read_graph(arguments.experiment, Path.cwd()))
    if arguments.json:
        write_json(arguments.json, asdict(status))
    console_on().print(draw(status))


if __name__ == "__main__":
    run(main)
