"""The staleness matrix on the publication's experiment: the keys that micro does not have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.experiment import Experiment
from workflow.scripts.config.load import load_experiment
from workflow.scripts.config.planning import Resources
from workflow.scripts.data.resolve_pins import find_hub_names, pin
from workflow.scripts.graph.results import list_keys, list_results

Names = set[str]
REPORT, OVERLAP = ("report/",), ("data/overlap",)


def pinned(name: str) -> Experiment:
    """Return an experiment with made-up pins."""
    experiment = load_experiment(name)
    lock: dict[str, Any] = {"models": {}, "datasets": {}}
    for kind, hub in find_hub_names(experiment.with_sources()):
        lock[f"{kind}s"][hub] = "a" * 40
    return pin(experiment, lock)


@pytest.fixture(scope="module")
def experiments() -> dict[str, Experiment]:
    return {name: pinned(name) for name in ("paper", "careful")}


@pytest.fixture(scope="module")
def keys(experiments) -> dict[str, dict[str, str]]:
    return {name: list_keys(list_results(value, name)) for name, value in experiments.items()}


def holding(*parts: str, also: tuple[str, ...] = REPORT) -> Callable[[Names], Names]:
    """Return a selector of the results whose name holds one of `parts` or of `also`.

    `benchmark NAME` means its samples and scores.
    """

    def holds(name: str) -> bool:
        measured = name.startswith(("generate/", "score/"))
        return any(
            measured and f"/{part.split()[1]}/" in f"{name}/"
            if part.startswith("benchmark ")
            else part in name
            for part in (*parts, *also)
        )

    return lambda names: {name for name in names if holds(name)}


def nothing(names: Names) -> Names:
    return set()


HERE = ("lrm/s1.1-here", "lrm/limo-here", "aligned/s1.1-here", "aligned/limo-here")
REVISION = "b" * 40
# (experiment and key, another value, what becomes stale)
MATRIX: list[tuple[str, Any, Callable[[Names], Names]]] = [
    (
        "paper/data/directrefusal/prepare/constant_thinking",
        "No!",
        holding("records/directrefusal", "/directrefusal/", also=REPORT + OVERLAP),
    ),
    (
        "careful/data/safechain/prepare/source/revision",
        REVISION,
        holding("records/safechain", "/safechain/", also=REPORT + OVERLAP),
    ),
    (
        "paper/data/directrefusal/render/newline_before_answer",
        True,
        holding("/directrefusal/"),
    ),
    ("paper/bases/qwen2.5-32b/revision", REVISION, holding("base/qwen")),
    ("careful/bases/qwen2.5-32b/revision", REVISION, holding("base/qwen", *HERE)),
    ("paper/lrms/deepseek-r1-32b/revision", REVISION, holding("/deepseek-r1-32b/")),
    ("paper/lrms/deepseek-r1-32b/parameters_b", 33, holding()),
    ("paper/alignments/directrefusal/chat_format", "chatml", holding("/directrefusal/")),
    ("paper/recipes/safety/precision", "bf16_mixed", holding("/aligned/")),
    ("careful/recipes/safety/warmup_ratio", 0.1, holding("/aligned/")),
    ("careful/recipes/reasoning/learning_rate", 2e-5, holding(*HERE)),
    ("careful/benchmarks/math500/decoding/seed", 1, holding("benchmark math500")),
    ("paper/benchmarks/math500/decoding/max_thinking_tokens", 9, holding("benchmark math500")),
    ("paper/benchmarks/beavertails/decoding/force_answer", True, holding("benchmark beavertails")),
    (
        "careful/benchmarks/beavertails/prepare/deduplicate",
        "none",
        holding("benchmark beavertails", "benchmarks/beavertails", also=REPORT + OVERLAP),
    ),
    (
        "paper/benchmarks/gpqa_diamond/prepare/choices/seed",
        1,
        holding("/gpqa_diamond", also=REPORT + OVERLAP),
    ),
    ("careful/scorers/beaver-dam/windows", "first_256", holding("beavertails/beaver-dam")),
    ("paper/scorers/beaver-dam/score_plus", False, holding("beavertails/beaver-dam")),
    ("careful/scorers/beaver-dam/model/revision", REVISION, holding("/beaver-dam")),
    ("paper/scorers/choice/default_choice", "B", holding("/choice")),
    ("paper/scorers/integer/extractor/model", "x", holding("/integer")),
    ("paper/report/published", (), holding()),
    ("careful/runtime/safety_sft/gpu_memory_gb", 80, nothing),
    ("paper/runtime/generate_samples/max_num_seqs", 1, nothing),
    ("paper/resources", {"generate_samples": Resources(gpu=8)}, nothing),
]


@pytest.mark.slow
@pytest.mark.parametrize(("key", "value", "selects"), MATRIX, ids=[row[0] for row in MATRIX])
def test_a_changed_key_makes_exactly_these_results_stale(experiments, keys, key, value, selects):
    name, *path = key.split("/")
    before = keys[name]
    new = list_keys(list_results(changed(experiments[name], path, value), name))
    assert set(new) == set(before)
    assert {path for path in before if before[path] != new[path]} == selects(set(before))


def changed(section: Any, path: list[str], value: Any) -> Any:
    """Return a section with another value at a place in it."""
    if not path:
        assert section != value
        return value
    key, *rest = path
    if isinstance(section, dict):
        return {**section, key: changed(section[key], rest, value)}
    return section.model_copy(update={key: changed(getattr(section, key), rest, value)})


def test_paper_and_careful_share_what_they_have_in_common_and_nothing_else(keys):
    """The models that both fetch, the benchmarks that both prepare alike, and the judge's files."""
    same = set(keys["paper"].items()) & set(keys["careful"].items())
    assert {path for path, _ in same} == {
        "models/base/qwen2.5-32b/hub",
        "models/lrm/s1.1-32b/hub",
        "models/lrm/deepseek-r1-32b/hub",
        "data/benchmarks/aime24",
        "data/benchmarks/math500",
        "score/fetched/beaver-dam",
    }
    assert len(set(keys["paper"].values()) & set(keys["careful"].values())) == len(same)


def test_a_local_file_counts_by_its_content_and_is_named_when_it_is_absent(tmp_path):
    smollm = load_experiment("smollm")
    results = list_results(smollm, "smollm")
    records = results["data/records/star1"]
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
