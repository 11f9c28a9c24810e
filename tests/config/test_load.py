"""A wrong experiment ends in one line that names the file, the key and what was expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.load import load_experiment
from workflow.scripts.graph.runs import list_runs


@pytest.fixture
def tiny(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "tests/experiments/tiny.yaml").read_text())


def load(folder: Path, experiment: Any) -> dict[str, Any]:
    """Write an experiment into a folder of its own and load it."""
    (folder / "experiments").mkdir(exist_ok=True)
    text = (
        experiment if isinstance(experiment, str) else yaml.safe_dump(experiment, sort_keys=False)
    )
    (folder / "experiments" / "mine.yaml").write_text(text)
    return load_experiment("mine", folder)


def change(experiment: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for name in path:
        experiment = experiment[name]
    experiment[last] = value


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("seeds", [-1], "seeds.0 is -1, expected at least 0"),
        ("seeds", [], "seeds is [], expected at least 1 item"),
        ("recipes.safety.epochs", -1, "recipes.safety.epochs is -1, expected at least 1"),
        ("recipes.safety.lr", 1e-5, "recipes.safety.lr is unknown; expected some of learning_rate"),
        (
            "recipes.safety.epochs",
            "five",
            "recipes.safety.epochs is 'five', expected a whole number",
        ),
        ("lrms.tiny.base", "big", "lrms.tiny.base: 'big' is no entry of bases, expected tiny"),
        (
            "alignments.safechain.data",
            "safechian",
            "alignments.safechain.data: 'safechian' is no entry of data, expected reasoning, ",
        ),
        ("alignments.safechain.epochs", [9], "alignments.safechain.epochs: epoch 9 is past the"),
        ("benchmarks.benign.scorers", ["x"], "benchmarks.benign.scorers: 'x' is no entry of scor"),
        ("scorers.ngram.judge", "x", "scorers.ngram.judge: 'x' is no entry of judges, expected"),
        ("scorers.math.judge", "x", "scorers.math.judge is unknown; expected some of extractor"),
        ("micro_data.seeds", 3, "micro_data.seeds is unknown; did you mean seed? expected some of"),
        (
            "data.reasoning",
            {},
            "data.reasoning: has no source, expected one of generated",
        ),
        (
            "data.reasoning",
            {"prepare": {"source": {"hub": "a/b", "path": "c"}}},
            "data.reasoning.prepare.source: has hub and path, expected one of hub, path, package",
        ),
        ("bases.tiny", {"chat_format": "micro"}, "bases.tiny: has no source, expected"),
        ("lrms.tiny", {"base": "tiny", "data": "reasoning"}, "lrms.tiny: recipe is missing, as it"),
        ("lrms.tiny", {"hub": "org/model"}, "lrms.tiny: chat_format is missing, as it is ready-ma"),
        (
            "scorers.math",
            {"type": "hf_classifier", "model": {"revision": "a" * 40}},
            "scorers.math.model: has no source, expected one of hub, path",
        ),
        ("scorers.math.type", "hf_classifier", "scorers.math.model is missing"),
        ("scorers.math", {"type": "integer", "timeout_s": 5}, "scorers.math.timeout_s is unknown;"),
        ("resources", {"generate": {"gpu": 1}}, "resources.generate: no such rule, expected some"),
        ("resources", {"generate_samples/x": {"gpu": 1}}, "resources.generate_samples/x: no such"),
        (
            "scorers.refusal",
            {
                **{"type": "llm_judge", "rubric": "strongreject"},
                "llm": {"base_url": "http://x", "model": "y", "max_requests": 1},
            },
            "benchmarks.benign.scorers: 'refusal' scores harmful benchmarks, this one is benign",
        ),
        ("benchmarks.benign.scorers", ["math"], "benchmarks.benign.scorers: 'math' scores reasoni"),
        ("benchmarks.benign.decoding.top_p", 0, "benchmarks.clock_sums.decoding.top_p is 0, expe"),
        (
            "benchmarks.clock_sums",
            {
                "prepare": {"source": {"path": "sums.jsonl"}, "fields": {"prompt": "question"}},
                "kind": "reasoning",
                "decoding": {"temperature": 0, "max_thinking_tokens": 80, "max_answer_tokens": 48},
                "scorers": ["math"],
            },
            "benchmarks.clock_sums: prepare.fields has no target, expected the field of the gold",
        ),
        ("extra", 3, "extra is unknown; expected some of description, "),
    ],
)
def test_a_wrong_key_value_or_reference_is_named(tmp_path, tiny, key, value, said):
    change(tiny, key, value)
    with pytest.raises(InputError) as error:
        load(tmp_path, tiny)
    assert str(error.value).startswith(f"experiments/mine.yaml: {said}")
    assert "\n" not in str(error.value)


def test_generated_data_need_their_section(tmp_path, tiny):
    del tiny["micro_data"]
    with pytest.raises(InputError, match=r"data.reasoning.generated needs the section micro_data"):
        load(tmp_path, tiny)


def test_a_file_that_is_not_yaml_and_an_unknown_experiment_are_named(tmp_path):
    with pytest.raises(InputError, match=r"experiments/mine.yaml:1: not YAML"):
        load(tmp_path, "seeds: [1")
    with pytest.raises(InputError, match=r"no experiments/other.yaml, expected one of mine"):
        load_experiment("other", tmp_path)


def test_every_experiment_of_the_project_is_valid(root):
    names = [path.stem for path in (root / "experiments").glob("*.yaml")]
    assert "micro" in names
    for name in names:
        assert list_runs(load_experiment(name))


def test_runs_of_an_experiment_are_its_chains(tmp_path, tiny):
    tiny["seeds"] = [3, 4]
    runs = list_runs(load(tmp_path, tiny))
    assert list(runs) == [
        "base/tiny/seed3",
        "base/tiny/seed4",
        "lrm/tiny/seed3",
        "lrm/tiny/seed4",
        "aligned/tiny/directrefusal/seed3",
        "aligned/tiny/directrefusal/seed4",
        "aligned/tiny/safechain/seed3",
        "aligned/tiny/safechain/seed4",
    ]
    assert runs["aligned/tiny/safechain/seed4"].parent == "lrm/tiny/seed4"
    assert runs["lrm/tiny/seed4"].parent == "base/tiny/seed4"


def test_an_epoch_sweep_is_one_run_or_a_run_for_each_epoch_count(tmp_path, tiny):
    tiny["recipes"]["safety"]["epochs"] = 5
    tiny["alignments"]["directrefusal"].update(per_epoch="one_run", epochs=[1, 3])
    tiny["alignments"]["safechain"].update(per_epoch="retrain", epochs=[1, 3])
    aligned = {
        name: (run.training.epochs, run.checkpoints)
        for name, run in list_runs(load(tmp_path, tiny)).items()
        if run.role == "aligned"
    }
    assert aligned == {
        "aligned/tiny/directrefusal/seed1": (5, ("epoch1", "epoch3")),
        "aligned/tiny/safechain/seed1-epochs1": (1, ("epoch1",)),
        "aligned/tiny/safechain/seed1-epochs3": (3, ("epoch3",)),
    }
