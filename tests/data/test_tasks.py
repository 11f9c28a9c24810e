"""lm-eval's tasks by name: which can be a benchmark, and what a change of a task file stales."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.data.local_hub import COMMIT, LocalHub, serve_hub
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, read_jsonl
from workflow.scripts.config.experiment import Experiment
from workflow.scripts.config.load import check_experiment
from workflow.scripts.config.source import Source
from workflow.scripts.data import tasks
from workflow.scripts.data.resolve_pins import find_hub_names, pin
from workflow.scripts.data.tasks import find_task
from workflow.scripts.graph.results import _outside_digest, list_keys, list_results

DECODING = {"max_thinking_tokens": 1, "max_answer_tokens": 1}
GOOD = {
    "task": "good",
    "dataset_path": "owner/sums",
    "test_split": "test",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{answer}}",
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}


@pytest.fixture(autouse=True)
def keep_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is found is kept in the test's folder, and forgotten after it."""
    monkeypatch.setattr(tasks, "KEPT", str(tmp_path / "kept.json"))
    find_task.cache_clear()
    yield
    find_task.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def write(folder: Path, **changes: Any) -> dict[str, Any]:
    """Write a task file; return the benchmark."""
    task = {**GOOD, **changes}
    task = {key: value for key, value in task.items() if value is not None}
    (folder / f"{task.get('task', 'group')}.yaml").write_text(yaml.safe_dump(task))
    return benchmark(folder)


def benchmark(folder: Path, **changes: Any) -> dict[str, Any]:
    about = {"task": "good", "include_path": str(folder), "kind": "reasoning"}
    return {**about, "decoding": DECODING, "scorers": ["task"], **changes}


def values_with(root: Path, entry: dict[str, Any], **scorer: Any) -> dict[str, Any]:
    experiment = json.loads(
        json.dumps(yaml.safe_load((root / "tests/experiments/tiny.yaml").read_text()))
    )
    experiment["benchmarks"]["told"] = entry
    experiment["scorers"]["task"] = {"type": "lm_eval", **scorer}
    return experiment


def experiment_with(root: Path, entry: dict[str, Any], **scorer: Any) -> Experiment:
    return check_experiment(values_with(root, entry, **scorer), "mine.yaml")


REFUSED = [
    ({"output_type": "multiple_choice"}, "'good' compares likelihoods (output_type: multiple_"),
    ({"output_type": "loglikelihood"}, "'good' compares likelihoods (output_type: loglikelihood)"),
    ({"doc_to_image": "picture"}, "'good' asks about images or sounds, expected text"),
    ({"unsafe_code": True}, "'good' runs code that the model wrote (unsafe_code)"),
    ({"custom_dataset": "rows.make"}, "'good' makes its rows by code (custom_dataset)"),
    ({"dataset_path": None}, "'good' makes its rows by code (custom_dataset)"),
    ({"repeats": 64}, "'good' scores 64 samples of an item together (repeats), expected 1"),
    ({"test_split": None}, "'good' has neither test_split nor validation_split"),
    (
        {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": "https://x.org/a.json"}}},
        "'good' reads ['https://x.org/a.json'], which no revision pins",
    ),
    (
        {"metric_list": [{"metric": "wiki_split", "aggregation": "mean"}]},
        "'good' takes the metric wiki_split from the hub, as code that would run here",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), REFUSED)
def test_what_cannot_be_a_benchmark_is_refused_at_the_start(
    root: Path, folder: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as error:
        experiment_with(root, write(folder, **changes))
    assert str(error.value).startswith(f"mine.yaml: benchmarks.told.task: {said}")
    assert "\n" not in str(error.value)


def test_an_unknown_name_a_group_and_a_tag_say_what_there_is(root: Path, folder: Path) -> None:
    entry = write(folder, tag="all_good")
    write(folder, task="better", tag="all_good")
    (folder / "broken.yaml").write_text("task: [")
    with pytest.raises(InputError, match=r"broken\.yaml: not YAML \(while parsing .*\)$"):
        experiment_with(root, entry)
    (folder / "broken.yaml").unlink()
    (folder / "g.yaml").write_text("group: both\ntask: [good, {task: better}]\n")
    for name, said in {
        "godo": f"'godo' is no task of {folder}, expected something like good",
        "both": "'both' is a group of 2 tasks, expected one task for a benchmark: good, better",
        "all_good": "'all_good' is a group of 2 tasks, expected one task for a benchmark: better, "
        "good",
    }.items():
        with pytest.raises(InputError) as error:
            experiment_with(root, {**entry, "task": name})
        assert str(error.value) == f"mine.yaml: benchmarks.told.task: {said}"
    with pytest.raises(InputError, match="nowhere: no such folder, expected one of"):
        experiment_with(root, {**entry, "include_path": str(folder / "nowhere")})


@pytest.mark.slow
def test_lm_evals_own_tasks_are_known_by_name(root: Path) -> None:
    """GSM8K has a train and a test split on the hub; of its two filters the strict one is first."""
    task = find_task("gsm8k")
    assert task.source == {"hub": "openai/gsm8k", "config": "main", "split": "test"}
    assert task.values == ("exact_match,strict-match", "exact_match,flexible-extract")
    assert not task.local and task.asks == task.scores == {} and task.code == task.data_files == ()
    page = (root / "docs/benchmarks.md").read_text()
    lines = re.search("## A task of lm-eval, in five lines\n\n```yaml\n(.*?)```", page, re.S)
    assert lines is not None
    given = yaml.safe_load(lines[1].replace("*decoding", json.dumps(DECODING)))
    found = experiment_with(root, given["benchmarks"]["gsm8k"])
    assert found.scorers["task"].without_defaults() == given["scorers"]["task"]
    said = {}
    for name in ("gsm8kk", "arc_easy", "humaneval", "bbh_cot_fewshot"):
        with pytest.raises(InputError) as error:
            find_task(name)
        said[name] = str(error.value)
    assert "is no task of lm-eval 0.4" in said["gsm8kk"] and "gsm8k" in said["gsm8kk"][10:]
    assert "(output_type: multiple_choice)" in said["arc_easy"]
    assert "unsafe_code" in said["humaneval"]
    assert said["bbh_cot_fewshot"].startswith("'bbh_cot_fewshot' is a group of ")
    assert " more" in said["bbh_cot_fewshot"]


def test_what_is_kept_is_found_without_lm_eval(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder)
    first = find_task("good", str(folder))
    find_task.cache_clear()
    monkeypatch.setitem(sys.modules, "lm_eval", None)  # to import it is an error
    assert find_task("good", str(folder)) == first
    find_task.cache_clear()
    write(folder, description="Hm.")
    with pytest.raises(ImportError):
        find_task("good", str(folder))


def test_a_task_goes_with_a_scorer_that_knows_it(root: Path, folder: Path) -> None:
    entry = write(folder)
    assert experiment_with(root, entry, metric="exact_match").benchmarks["told"].task == "good"
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        (entry, {"metric": "f1"}, "'task' has metric 'f1', expected one of exact_match,none"),
        ({**entry, "kind": "benign"}, {}, "'task' scores reasoning benchmarks, this one is benign"),
    ]
    plain = {"generated": "clock_sums", "kind": "reasoning", "decoding": DECODING}
    no_task = "'task' scores tasks of lm-eval, this benchmark has no task"
    cases.append(({**plain, "scorers": ["task"]}, {}, no_task))
    for given, scorer, said in cases:
        with pytest.raises(InputError) as error:
            experiment_with(root, given, **scorer)
        assert str(error.value) == f"mine.yaml: benchmarks.told.scorers: {said}"
    write(folder, metric_list=[{"metric": "bleu", "aggregation": "bleu", "higher_is_better": True}])
    find_task.cache_clear()
    with pytest.raises(InputError, match="needs a metric that is a mean over samples, of which"):
        experiment_with(root, entry)
    experiment_with(root, {**entry, "scorers": ["math"]})  # its gold answers serve other scorers
    for change, said in (
        ({"generated": "clock_sums"}, "has generated and task, expected one of generated, prepare"),
        ({"task": None}, "has no source, expected one of generated, prepare, task"),
        ({"task": None, "generated": "clock_sums"}, "has include_path, which goes with task"),
    ):
        with pytest.raises(InputError, match=said):
            experiment_with(root, {**entry, **change})


@pytest.fixture
def told(root: Path, tmp_path: Path) -> Callable[[], dict[str, str]]:
    """Return a function that gives the keys of an experiment with a task of files in `mine`."""
    shutil.copytree(root / "tests/tasks", tmp_path / "mine", dirs_exist_ok=True)
    entry = benchmark(tmp_path / "mine", task="told_sums")
    experiment = experiment_with(root, entry)

    def keys() -> dict[str, str]:
        find_task.cache_clear()
        _outside_digest.cache_clear()
        return list_keys(list_results(experiment, "it"))

    return keys


@pytest.mark.parametrize(
    ("file", "before", "after", "stale"),
    [
        ("told_sums.yaml", "tag: sums", "tag: sums  # a remark", set()),
        ("told_sums.yaml", "group_select: -1", "group_select: 0", {"score"}),
        ("told_sums.yaml", "version: 1.0", "version: 2.0", {"score"}),
        ("told_sums.yaml", "Q: {{question}}", "Ask: {{question}}", {"data", "generate", "score"}),
        ("told_sums.yaml", "num_fewshot: 2", "num_fewshot: 1", {"data", "generate", "score"}),
        ("sums.py", ") % 12", ") % 24", {"data", "generate", "score"}),
        ("told_near.yaml", "num_fewshot: 0", "num_fewshot: 1", set()),
    ],
)
def test_a_changed_task_file_stales_what_it_words_and_what_it_scores(
    told: Callable[[], dict[str, str]],
    tmp_path: Path,
    file: str,
    before: str,
    after: str,
    stale: set[str],
) -> None:
    """Never what belongs to other benchmarks; overlap and report hold all of them."""
    first, path = told(), tmp_path / "mine" / file
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    changed = {name for name, key in told().items() if first[name] != key}
    assert {name.partition("/")[0] for name in changed if "/told" in name} == stale
    assert {name for name in changed if "/told" not in name} <= {"data/overlap", "report/it"}


def test_packages_that_a_tasks_modules_import_are_its_pins(root: Path, folder: Path) -> None:
    write(folder)
    (folder / "own.py").write_text("import sympy.core, json\nfrom math_verify import parse\n")
    results = list_results(experiment_with(root, benchmark(folder)), "it")
    for name in ("data/benchmarks/told", "score/lrm/tiny/seed1/told/task"):
        packages = results[name].spec()["packages"]
        assert {"sympy", "math-verify", "lm-eval"} <= set(packages) and "json" not in packages
    assert "lm-eval" not in results["generate/lrm/tiny/seed1/told"].spec()["packages"]


def test_included_files_and_rows_count_wherever_they_are(
    root: Path, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(GOOD))
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"question": "a", "answer": "b"}\n')
    files = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(rows)}}}
    text = yaml.safe_dump({"include": "../base.yaml", **files})
    (folder / "good.yaml").write_text(text)
    experiment = experiment_with(root, benchmark(folder))
    assert experiment.benchmarks["told"].source == Source(path=str(rows))

    def key() -> str:
        find_task.cache_clear()
        _outside_digest.cache_clear()
        return list_keys(list_results(experiment, "it"))["data/benchmarks/told"]

    seen = {key()}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({**GOOD, "doc_to_text": "{{answer}}"}))
    seen.add(key())
    rows.write_text('{"question": "a", "answer": "c"}\n')
    seen.add(key())
    assert len(seen) == 3


def test_a_task_of_the_hub_is_pinned_as_other_data_are(root: Path, folder: Path) -> None:
    experiment = experiment_with(root, write(folder))
    assert list(find_hub_names(experiment.with_sources())) == [("dataset", "owner/sums")]
    pinned, other = (
        pin(experiment, {"models": {}, "datasets": {"owner/sums": commit}})
        for commit in (COMMIT, "b" * 40)
    )
    source = pinned.with_sources()["benchmarks"]["told"]["source"]
    assert source == {"hub": "owner/sums", "split": "test", "revision": COMMIT}
    key = "data/benchmarks/told"
    assert list_keys(list_results(pinned, "it"))[key] != list_keys(list_results(other, "it"))[key]
    own = write(folder, dataset_kwargs={"revision": "c" * 40})
    find_task.cache_clear()
    assert list(find_hub_names(experiment_with(root, own).with_sources())) == []


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    rows = [{"question": f"What is {n}?", "answer": str(n)} for n in range(3)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    with serve_hub() as hub:
        hub.files = {"datasets/owner/sums": {"test.jsonl": lines, "README.md": b"# sums\n"}}
        yield hub


@pytest.mark.slow
def test_rows_of_the_hub_are_fetched_at_their_pin_and_scored_without_it(
    root: Path, folder: Path, tmp_path: Path, hub: LocalHub
) -> None:
    """The scoring process has another, empty cache, and no network."""
    entry = write(folder)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}

    def run(script: str, *arguments: str, **environment: str) -> str:
        command = [sys.executable, "-m", f"workflow.scripts.{script}", *arguments]
        env = {**kept, **environment}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        return done.stderr if done.returncode else ""

    def prepare(revision: str, **environment: str) -> str:
        source = {"hub": "owner/sums", "split": "test", "revision": revision}
        section = {"task": "good", "include_path": str(folder), "source": source}
        given = ("--benchmark", json.dumps(section), "--name", "told", "--out", str(tmp_path / "p"))
        return run("data.prepare_benchmark", *given, HF_HOME=str(tmp_path / "home"), **environment)

    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump(values_with(root, entry)))
    assert run("data.resolve_pins", "--experiment", str(mine), **hub.environment) == ""
    assert read_json(tmp_path / "mine.lock.json")["datasets"] == {"owner/sums": COMMIT}
    assert "no such revision" in prepare("e" * 40, **hub.environment)
    assert prepare(COMMIT, **hub.environment) == ""
    served = {path for _, path, _ in hub.requests if "/resolve/" in path}
    assert served and all(f"/resolve/{COMMIT}/" in path for path in served)
    items = list(read_jsonl(tmp_path / "p/items.jsonl"))
    assert [(item["prompt"], item["target"]) for item in items] == [
        (f"What is {n}?", str(n)) for n in range(3)
    ]
    assert read_json(tmp_path / "p/report.json")["source"] == f"owner/sums@{COMMIT[:12]}"
    from tests.score.test_lm_eval import write_samples

    samples = write_samples(tmp_path / "g", items, ["0", "1", "7"])
    item = {"samples": str(samples), "prompts": str(tmp_path / "p"), "scorer_name": "task"}
    item |= {"scorer": {"type": "lm_eval"}, "out": str(tmp_path / "s")}
    (tmp_path / "items.json").write_text(json.dumps([item]))
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "empty")}
    assert run("score.score_samples", "--items", str(tmp_path / "items.json"), **offline) == ""
    verdicts = list(read_jsonl(tmp_path / "s/verdicts.jsonl"))
    assert [one["correct"] for one in verdicts] == [True, True, False]


@pytest.mark.slow
def test_a_task_of_lm_eval_by_name_is_read_from_the_hub(tmp_path: Path, hub: LocalHub) -> None:
    """GSM8K with its five examples of the train split; the rows are made up."""
    rows = {"train": range(100, 106), "test": range(3)}
    configs = [{"split": name, "path": f"main/{name}.jsonl"} for name in rows]
    card = yaml.safe_dump({"configs": [{"config_name": "main", "data_files": configs}]})
    hub.files["datasets/openai/gsm8k"] = {"README.md": f"---\n{card}---\n".encode()} | {
        f"main/{name}.jsonl": "".join(
            json.dumps({"question": f"What is {n}?", "answer": f"It is.\n#### {n}"}) + "\n"
            for n in numbers
        ).encode()
        for name, numbers in rows.items()
    }
    source = {"hub": "openai/gsm8k", "config": "main", "split": "test", "revision": COMMIT}
    section = json.dumps({"task": "gsm8k", "source": source})
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "workflow.scripts.data.prepare_benchmark"),
            *("--benchmark", section, "--name", "gsm8k", "--out", str(tmp_path / "p")),
        ],
        env={**kept, **hub.environment, "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    items = list(read_jsonl(tmp_path / "p/items.jsonl"))
    assert [item["target"] for item in items] == [f"It is.\n#### {n}" for n in range(3)]
    *shots, question = items[1]["prompt"].split("\n\n")
    assert question == "Question: What is 1?\nAnswer:"
    shot = r"Question: What is (10[0-5])\?\nAnswer: It is\.\n#### \1"
    assert len(set(shots)) == 5 and all(re.fullmatch(shot, one) for one in shots)
