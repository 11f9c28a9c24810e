"""The staleness matrix on the publication's experiment: the keys that micro does not have."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.experiment import load_experiment
from workflow.scripts.common.jobs import list_jobs, list_keys
from workflow.scripts.data.resolve_pins import find_hub_names, pin

Paths = set[str]
CAREFUL, UPSTREAM = {"report/tradeoff.json"}, {"report/upstream/tradeoff.json"}
BOTH = CAREFUL | UPSTREAM
OVERLAP = {"data/overlap.json"}


@pytest.fixture(scope="module")
def paper() -> dict[str, Any]:
    experiment = json.loads(json.dumps(load_experiment("paper")))
    lock: dict[str, Any] = {"models": {}, "datasets": {}}
    for kind, name in find_hub_names(experiment):
        lock[f"{kind}s"][name] = "a" * 40
    return pin(experiment, lock)


@pytest.fixture(scope="module")
def keys(paper: dict[str, Any]) -> dict[str, str]:
    return list_keys(list_jobs(paper))


def holding(*parts: str, also: Paths = BOTH) -> Callable[[Paths], Paths]:
    """Return a selector of the results whose path holds one of `parts`, and `also`."""
    return lambda paths: {path for path in paths if any(part in path for part in parts)} | also


def nothing(paths: Paths) -> Paths:
    return set()


HERE = ("lrm/s1.1-here", "lrm/limo-here", "aligned/s1.1-here", "aligned/limo-here")
REVISION = "b" * 40
# (key, another value, what becomes stale)
MATRIX: list[tuple[str, Any, Callable[[Paths], Paths]]] = [
    (
        "data/directrefusal-upstream/prepare/constant_thinking",
        "No!",
        holding("/directrefusal-upstream", also=BOTH | OVERLAP),
    ),
    (
        "data/safechain/prepare/source/revision",
        REVISION,
        holding("records/safechain.", "/safechain/", also=BOTH | OVERLAP),
    ),
    (
        "data/directrefusal-upstream/render/newline_before_answer",
        True,
        holding("/directrefusal-upstream/"),
    ),
    ("bases/qwen2.5-32b/revision", REVISION, holding("base/qwen", *HERE)),
    ("lrms/deepseek-r1-32b/revision", REVISION, holding("/deepseek-r1-32b/")),
    ("lrms/deepseek-r1-32b/parameters_b", 33, holding()),
    (
        "alignments/directrefusal-upstream/chat_format",
        "chatml",
        holding("/directrefusal-upstream/", also=UPSTREAM),
    ),
    ("recipes/safety-upstream/precision", "bf16_mixed", holding("-upstream/seed")),
    ("recipes/safety/warmup_ratio", 0.1, holding("/directrefusal/seed", "/safechain/seed")),
    ("recipes/reasoning/learning_rate", 2e-5, holding(*HERE)),
    ("benchmarks/math500/decoding/seed", 1, holding("/math500/", also=CAREFUL)),
    (
        "benchmarks/math500-upstream/decoding/max_thinking_tokens",
        9,
        holding("/math500-upstream/", also=UPSTREAM),
    ),
    (
        "benchmarks/beavertails-upstream/decoding/force_answer",
        True,
        holding("/beavertails-upstream/", also=UPSTREAM),
    ),
    (
        "benchmarks/beavertails/prepare/deduplicate",
        "none",
        holding("/beavertails/", "benchmarks/beavertails.", also=BOTH | OVERLAP),
    ),
    (
        "benchmarks/gpqa_diamond-upstream/prepare/choices/seed",
        1,
        holding("gpqa_diamond-upstream", also=BOTH | OVERLAP),
    ),
    ("scorers/beaver-dam/windows", "first_256", holding("/beaver-dam/score")),
    ("scorers/beaver-dam-upstream/score_plus", False, holding("/beaver-dam-upstream/score")),
    ("scorers/beaver-dam/model/revision", REVISION, holding("/beaver-dam/")),
    ("scorers/choice-upstream/default_choice", "B", holding("/choice-upstream/")),
    ("scorers/integer-upstream/extractor/model", "x", holding("/integer-upstream/")),
    ("report/published", [], holding(also=UPSTREAM)),
    ("runtime/safety_sft/gpu_memory_gb", 80, nothing),
    ("runtime/generate_samples/max_num_seqs", 1, nothing),
    ("resources", {"generate_samples": {"gpu": 8}}, nothing),
]


@pytest.mark.slow
@pytest.mark.parametrize(("key", "value", "selects"), MATRIX, ids=[row[0] for row in MATRIX])
def test_a_changed_key_makes_exactly_these_results_stale(paper, keys, key, value, selects):
    after = copy.deepcopy(paper)
    *path, last = key.split("/")
    section = after
    for name in path:
        section = section[name]
    assert section.get(last) != value
    section[last] = value
    new = list_keys(list_jobs(after))
    assert set(new) == set(keys)
    assert {path for path in keys if keys[path] != new[path]} == selects(set(keys))


def test_careful_and_upstream_have_a_report_each_of_their_own_scores(paper):
    jobs = list_jobs(paper)
    for report, upstream in (
        ("report/tradeoff.json", False),
        ("report/upstream/tradeoff.json", True),
    ):
        scores = [path for path in jobs[report].inputs if path.endswith("score.json")]
        assert scores
        aligned = [path for path in scores if "/aligned/" in path]
        assert {"-upstream/seed" in path for path in aligned} == {upstream}
        shown = jobs[report].sections["experiment"]
        assert {name.endswith("-upstream") for name in shown["benchmarks"]} == {upstream}
        assert {name.endswith("-upstream") for name in shown["alignments"]} == {upstream}
        assert bool(shown["report"]["published"]) == upstream


def test_a_local_file_counts_by_its_content_and_is_named_when_it_is_absent(tmp_path):
    smollm = load_experiment("smollm")
    jobs = list_jobs(smollm)
    records = jobs["data/records/star1.json"]
    assert records.outside == ("data/star1.json",)
    with pytest.raises(InputError, match=r"^data/star1\.json: no such file or model folder"):
        records.spec(_project(tmp_path / "a"))
    specs = []
    for name, content in (("b", "[]"), ("c", "[] "), ("d", "[]")):
        root = _project(tmp_path / name)
        (root / "data").mkdir()
        (root / "data/star1.json").write_text(content)
        specs.append(records.spec(root)["file data/star1.json"])
    assert specs[0] == specs[2] != specs[1]


def _project(folder: Path) -> Path:
    """Return a folder with links to what staleness reads of the project."""
    folder.mkdir()
    for name in ("workflow", "rules", "envs"):
        (folder / name).symlink_to(Path(__file__).parents[2] / name)
    return folder


def test_a_suite_without_benchmarks_is_named(paper, tmp_path):
    import yaml

    after = copy.deepcopy(paper)
    after["alignments"]["directrefusal"]["suite"] = "upstraem"
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/mine.yaml").write_text(yaml.safe_dump(after, sort_keys=False))
    with pytest.raises(InputError) as error:
        load_experiment("mine", tmp_path)
    assert str(error.value) == (
        "experiments/mine.yaml: alignments.directrefusal.suite: 'upstraem' is no entry of "
        "the benchmarks' suites, expected upstream"
    )
