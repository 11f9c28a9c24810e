"""The jobs of a graph: what they make together, their states, and how experiments share results."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.experiment import Experiment
from workflow.scripts.config.load import check_experiment, load_experiment
from workflow.scripts.data.resolve_pins import find_hub_names, pin
from workflow.scripts.graph.jobs import Graph
from workflow.scripts.graph.report_inputs import report_inputs
from workflow.scripts.graph.results import list_keys, list_results
from workflow.scripts.graph.runs import Run, list_runs
from workflow.scripts.graph.store import KEY

LRM = "models/lrm/tiny/seed1"
MODEL = "models/aligned/tiny/safechain/seed1"
SAMPLES = "generate/aligned/tiny/safechain/seed1/benign"


def graph_of(experiment: Experiment, root: Path) -> Graph:
    results = list_results(experiment, "it")
    runs, keys = list_runs(experiment), list_keys(results, root)
    return Graph("it", root, experiment, runs, results, keys, {}, ("report/it",))


def with_pins(name: str) -> Experiment:
    """Return an experiment with made-up pins."""
    experiment = load_experiment(name)
    lock: dict[str, Any] = {"models": {}, "datasets": {}}
    for kind, hub in find_hub_names(experiment.with_sources()):
        lock[f"{kind}s"][hub] = "a" * 40
    return pin(experiment, lock)


@pytest.fixture
def values(root: Path) -> dict[str, Any]:
    """every_key.yaml, to change it."""
    read = yaml.safe_load((root / "tests/experiments/every_key.yaml").read_text())
    return json.loads(json.dumps(read))  # without the objects that YAML's anchors share


@pytest.fixture(scope="module")
def every_key(root: Path) -> Graph:
    read = yaml.safe_load((root / "tests/experiments/every_key.yaml").read_text())
    return graph_of(check_experiment(read, "every_key.yaml"), root)


@pytest.fixture(scope="module", params=["paper", "careful"])
def large(root: Path, request: pytest.FixtureRequest) -> Graph:
    return graph_of(with_pins(request.param), root)


def rules_of(graph: Graph) -> Counter[str]:
    return Counter(job.rule for job in graph.jobs.values())


def test_every_result_has_a_key_a_folder_and_a_job_of_its_own(every_key, large):
    for graph in (every_key, large):
        made = [result.name for job in graph.jobs.values() for result in job.results]
        assert sorted(made) == sorted(graph.results) == sorted(graph.keys)
        assert len(set(graph.keys.values())) == len(graph.keys)
        assert all(re.fullmatch(KEY, key) for key in graph.keys.values())
        assert len({job.output for job in graph.jobs.values()}) == len(graph.jobs)
        assert len({job.log for job in graph.jobs.values()}) == len(graph.jobs)


def test_inputs_come_before_what_is_made_from_them(every_key, large):
    for graph in (every_key, large):
        seen: set[str] = set()
        for name, result in graph.results.items():
            assert seen.issuperset(result.made_from), name
            seen.add(name)


def test_no_job_waits_for_a_result_of_its_own(every_key, large):
    """Results that a job makes together must not be made from each other, nor over other jobs."""
    for graph in (every_key, large):
        level: dict[str, int] = {}
        # as deep as data, base, LRM, aligned, merged, development samples and scores, selected,
        # samples, scores, report; and in place of the merged two rungs of such a selection
        for _ in range(17):
            for job in graph.jobs.values():
                inputs = {graph.job_of[n].key for made in job.results for n in made.made_from}
                assert job.key not in inputs
                level[job.key] = 1 + max((level.get(key, 0) for key in inputs), default=0)
        assert max(level.values()) <= 16


def test_generated_data_are_one_job(every_key):
    jobs = [job for job in every_key.jobs.values() if job.rule == "make_micro_data"]
    assert [len(job.results) for job in jobs] == [11]  # one of them only where it is asked for


def asked_of(graph: Graph, run: Run) -> int:
    """Return on how many benchmarks a run is measured: all for testing, others as a candidate.

    An LRM is also asked the prompts of the training sets that it writes.
    """
    own = {one.name for one in graph.results.values() if one.for_data and not one.scorer}
    written = sum(name.startswith(f"generate/{run.name}/") for name in own)
    tests = sum(one.split != "development" for one in graph.experiment.benchmarks.values())
    candidate = {"directrefusal": 2, "retrained": 1}.get(run.id.alignment or "", 0)
    if run.benchmarks is not None:
        return len(run.benchmarks)
    if not run.evaluate:
        return 1 if run.method == "promote" else 2  # of every_key's selections
    chooses = "chosen" in graph.experiment.alignments and run.id.model == "tiny"
    return tests + written + candidate * chooses


def test_samples_of_the_same_weights_on_all_benchmarks_are_one_job(every_key, large):
    for graph in (every_key, large):
        jobs = [job for job in graph.jobs.values() if job.rule == "generate_samples"]
        made = Counter(result.run.name for job in jobs for result in job.results)
        assert made == {name: asked_of(graph, run) for name, run in graph.runs.items()}
        models = [{name for r in job.results for name in r.inputs["model"]} for job in jobs]
        assert all(len(names) == 1 for names in models)
        weights = {run.weights for run in graph.runs.values()}
        assert sorted(name for names in models for name in names) == sorted(
            f"models/{name}" for name in weights
        )


def test_samples_of_all_adapters_of_a_model_are_one_job_that_waits_for_that_model(values, root):
    values["seeds"] = [1, 2]
    kept = values["alignments"]["kept"]
    values["alignments"]["more"] = {**kept, "data": "directrefusal"}
    graph = graph_of(check_experiment(values, "it"), root)
    jobs = [
        job
        for job in graph.jobs.values()
        if job.rule == "generate_samples" and job.results[0].run.keeps_adapters
    ]
    assert [job.name for job in jobs] == [f"lrm/tiny/seed{seed}/adapters/hf" for seed in (1, 2)]
    for seed, job in enumerate(jobs, 1):
        runs = {result.run.name for result in job.results}
        assert runs == {f"aligned/tiny/{name}/seed{seed}" for name in ("kept", "more")}
        assert len(job.results) == 2 * asked_of(graph, job.results[0].run)
        assert graph.needs(job, "base") == [graph.awaited(f"models/lrm/tiny/seed{seed}")]
        assert len(graph.needs(job, "model")) == 2


def test_benchmarks_with_other_engines_are_jobs_of_their_own(values, root):
    values["benchmarks"]["letters"]["engine"] = "vllm"
    graph = graph_of(check_experiment(values, "it"), root)
    jobs = [job for job in graph.jobs.values() if job.rule == "generate_samples"]
    engines = {job.name: {one.sections["engine"] for one in job.results} for job in jobs}
    assert all(len(names) == 1 for names in engines.values())
    letters = {job.name for job in jobs if any(one.benchmark == "letters" for one in job.results)}
    assert letters == {name for name, (engine,) in engines.items() if engine == "vllm"}
    evaluated = {
        run.weights for run in graph.runs.values() if run.evaluate and run.benchmarks is None
    }
    assert len(letters) == len(evaluated)


def test_scores_by_rules_are_a_job_per_run_and_judges_that_are_loaded_one_per_family(every_key):
    scores: dict[tuple[str, ...], set[str]] = {}
    for job in every_key.jobs.values():
        if job.rule.startswith("score_samples"):
            scorers = tuple(sorted({result.scorer for result in job.results}))
            scores.setdefault(scorers, set()).add(job.name)
    by_rules = ("choice", "ngram", "refusal", "task", "verifier")
    attacked = {name for name, run in every_key.runs.items() if run.role == "attacked"}
    candidates = {name for name, run in every_key.runs.items() if not run.evaluate}
    assert scores[by_rules] == set(every_key.runs) - candidates - attacked
    assert scores[("ngram",)] == candidates  # on the development benchmark
    assert scores["ngram", "refusal"] == attacked
    families = {run.id.model for run in every_key.runs.values()}
    for scorer in ("llm", "classifier", "own_classifier"):
        assert scores[(scorer,)] == {f"{scorer}/{family}" for family in families}
    development = {"math/tiny/development"}  # it asks an extractor; before a model is selected
    assert scores[("math",)] == {f"math/{family}" for family in families} | development
    assert scores[("screen",)] == {"lrm/tiny/seed1/sampled"}
    assert len(scores) == 8


def test_what_a_training_set_is_made_from_does_not_wait_for_models_trained_on_it(values, root):
    """Also where a judge is loaded once for a family."""
    values["data"]["selfmade"]["sampled"].update(judge="classifier", passes={"harmful": False})
    graph = graph_of(check_experiment(values, "it"), root)
    job = graph.job_of["score/lrm/tiny/seed1/selfmade/classifier"]
    assert job.name == "classifier/tiny/sampled"
    assert [result.for_data for result in job.results] == [True]
    test_no_job_waits_for_a_result_of_its_own(graph, graph)


def test_a_mixture_with_a_set_that_lrms_write_is_one_for_each_lrm_and_seed(values, root):
    """Also for an alignment that goes on from another, and for its durability."""
    values["seeds"] = [1, 2]
    values["alignments"]["replayed"].update(data=["selfmade", {"set": "reasoning", "n": 4}])
    values["durability"]["undo"].update(data="selfmade")
    graph = graph_of(check_experiment(values, "it"), root)
    for seed in (1, 2):
        own = f"data/sampled/selfmade/tiny/seed{seed}"
        mixture = f"data/mixtures/selfmade+reasoning@4/tiny/seed{seed}"
        assert graph.results[mixture].inputs["sets"] == (own, "data/micro/reasoning")
        trained = graph.results[f"models/aligned/tiny/replayed/seed{seed}"]
        assert trained.inputs["data"] == (mixture,)
        attacked = graph.results[f"models/attacked/tiny/safechain/undo/seed{seed}"]
        assert attacked.inputs["data"] == (own,)
    attacked = graph.results["models/attacked/ready/directrefusal/undo/seed1"]
    assert attacked.inputs["data"] == ("data/sampled/selfmade/ready/hub",)
    test_no_job_waits_for_a_result_of_its_own(graph, graph)


def test_another_judge_of_a_sampled_set_filters_and_trains_again_and_generates_nothing(project):
    """Chosen by its name, or its settings."""

    def sampled(judge: str, **more: Any) -> Any:
        decoding = {"max_thinking_tokens": 16, "max_answer_tokens": 8, "temperature": 1}
        entry = {"prompts": "directrefusal", "samples": 2, "decoding": decoding, "judge": judge}
        return {"sampled": {**entry, **more}}

    def add(experiment: dict[str, Any]) -> None:
        experiment["data"]["own"] = sampled("ngram")
        experiment["alignments"]["own"] = {**experiment["alignments"]["safechain"], "data": "own"}

    project.edit(add)
    before = project.make_up()
    assert set(before.states().values()) == {"done"}
    own = "generate/lrm/tiny/seed1/own"
    for judge, more in (("refusal", {}), ("ngram", {"passes": {"refused": True}})):
        project.edit(lambda e, judge=judge, more=more: e["data"].update(own=sampled(judge, **more)))
        graph = project.read()
        to_run = {name for name, state in graph.states().items() if state != "done"}
        assert graph.keys[own] == before.keys[own] and own not in to_run
        assert {name for name in to_run if not name.startswith("score/")} == {
            "data/sampled/own/tiny/seed1",
            "models/aligned/tiny/own/seed1",
            *(f"generate/aligned/tiny/own/seed1/{b}" for b in graph.experiment.benchmarks),
            "report/tiny",
        }
        judged = {name for name in to_run if name.startswith("score/lrm/")}
        assert judged == ({f"score/lrm/tiny/seed1/own/{judge}"} if judge == "refusal" else set())


def test_reports_and_plans_show_benchmarks_alone(every_key):
    inputs = report_inputs(every_key)
    assert {score.benchmark for score in inputs.scores} == {
        name for name, one in every_key.experiment.benchmarks.items() if one.split != "development"
    }


def test_a_report_knows_the_samples_that_each_training_set_is_made_from(values, root):
    """Also those of a mixture."""
    values["alignments"]["replayed"].update(data=["selfmade", {"set": "reasoning", "n": 4}])
    graph = graph_of(check_experiment(values, "it"), root)
    sampled = report_inputs(graph).sampled
    assert sampled["aligned/tiny/replayed/seed1"] == (
        Path(graph.folder("generate/lrm/tiny/seed1/selfmade")),
    )
    assert "aligned/tiny/directrefusal/seed1" not in sampled and "lrm/tiny/seed1" not in sampled


def test_engines_and_judges_start_once_for_all_that_they_can_do(root):
    starts, judges = Counter[str](), Counter[str]()
    for name in ("paper", "careful"):
        graph = graph_of(with_pins(name), root)
        starts[name] = rules_of(graph)["generate_samples"]
        judges[name] = sum(job.name.startswith("beaver-dam/") for job in graph.jobs.values())
        families = {run.id.model for run in graph.runs.values()}
        assert judges[name] == len(families)
    assert starts["paper"] <= 40 and starts.total() <= 90


def test_a_job_of_several_results_has_a_key_of_all_of_them(every_key, values, root):
    values["benchmarks"]["benign"]["decoding"]["max_answer_tokens"] += 1
    after = graph_of(check_experiment(values, "it"), root)
    name = "generate/base/tiny/seed1/{}".format
    assert after.keys[name("harmful")] == every_key.keys[name("harmful")]
    assert after.keys[name("benign")] != every_key.keys[name("benign")]
    assert after.job_of[name("harmful")].key != every_key.job_of[name("harmful")].key


def test_results_are_done_stale_or_missing(project):
    assert set(project.read().states().values()) == {"missing"}
    graph = project.make_up()
    assert set(graph.states().values()) == {"done"}
    project.edit(lambda e: e["recipes"]["safety"].update(learning_rate=1e-4))
    states = project.read().states()
    stale = {name for name, state in states.items() if state == "stale"}
    assert stale == {name for name in states if "/aligned/" in name} | {"report/tiny"}
    assert {states[name] for name in states if name not in stale} == {"done"}


def test_a_deleted_result_that_nothing_needs_is_dispensable(project):
    graph = project.make_up()
    (project.root / graph.folder(LRM) / "result.json").unlink()
    states = project.read().states()
    assert states[LRM] == "dispensable" and states[MODEL] == "done"
    assert project.read().states([LRM])[LRM] == "missing"  # asked for by name
    (project.root / graph.folder(MODEL) / "result.json").unlink()
    states = project.read().states([MODEL])
    assert (states[LRM], states[MODEL]) == ("missing", "missing")


def test_a_changed_setting_that_is_changed_back_finds_its_results(project):
    before = project.make_up()
    project.edit(lambda e: e["recipes"]["safety"].update(learning_rate=1e-4))
    project.make_up()
    project.add_code("models.trainer")
    assert project.read().states()[LRM] == "stale"
    project.restore_code()
    project.edit(lambda e: e["recipes"]["safety"].update(learning_rate=4e-4))
    after = project.read()
    assert after.keys == before.keys
    assert set(after.states().values()) == {"done"}


def test_two_experiments_share_what_they_have_in_common(project):
    project.make_up()

    def change(experiment: dict[str, Any]) -> None:
        experiment["recipes"]["safety"].update(learning_rate=1e-4)

    project.edit(change, "other")
    other = project.read("other")
    tiny = project.read()
    own = {name for name in other.results if "/aligned/" in name} | {"report/other"}
    assert {name for name, state in other.states().items() if state == "done"} == (
        set(other.results) - own
    )
    for name in set(other.results) - own:
        assert other.folder(name) == tiny.folder(name)
    assert not {other.keys[name] for name in own} & set(tiny.keys.values())


def test_a_job_waits_for_the_results_that_are_missing_by_their_job_and_for_others_by_themselves(
    project,
):
    graph = project.read()
    score = graph.job_of["score/base/tiny/seed1/benign/refusal"]
    samples = [f"generate/base/tiny/seed1/{name}" for name in ("clock_sums", "harmful", "benign")]
    assert graph.needs(score, "samples") == [graph.job_of[samples[0]].output]
    graph = project.make_up(samples[0])
    assert graph.needs(score, "samples") == [
        f"{graph.folder(samples[0])}/result.json",
        graph.job_of[samples[1]].output,
    ]


def test_what_is_asked_for_by_name_brings_just_what_it_needs(project):
    from workflow.scripts.graph.jobs import read_graph

    whole = project.read()
    graph = read_graph("tiny", project.root, f"{SAMPLES} score/judges/*")
    assert graph.asked == ("score/judges/ngram", SAMPLES)
    data = {name for name in whole.results if name.startswith("data/micro/")}
    unused = {"data/micro/clock_sums", "data/micro/harmful", "data/micro/directrefusal"}
    assert set(graph.results) == (data - unused) | {
        *("models/base/tiny/seed1", LRM, MODEL, SAMPLES, "score/judges/ngram")
    }
    assert graph.keys == {name: whole.keys[name] for name in graph.results}
    with pytest.raises(InputError, match=r"^only: no result of tiny matches 'models/lrm/none'"):
        read_graph("tiny", project.root, "models/lrm/none")


def test_snakemakes_notes_change_nothing(project):
    graph = project.make_up()
    (project.root / ".snakemake" / "incomplete").mkdir(parents=True)
    (project.root / ".snakemake" / "incomplete" / "mark").write_text("")
    again = project.read()
    assert (again.keys, again.states()) == (graph.keys, graph.states())
