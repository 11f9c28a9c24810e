"""Promotion: whose settings a rung trains with, and that the training is that of these settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.models.conftest import write_parent
from tests.models.test_select_model import write_candidate, write_score
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import write_jsonl
from workflow.scripts.common.manifest import load_checkpoint, read_manifest
from workflow.scripts.models import promote_model, select_model, train_sft

RECIPE = {
    **{"learning_rate": 1e-3, "epochs": 2, "global_batch": 2, "max_length": 64},
    **{"precision": "fp32", "checkpoints": "last"},
}
ACCURACY = {"first": 1, "second": 4, "third": 2}  # of four items


@pytest.fixture(scope="module")
def rung(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three measured models with other rates and data, and a function that promotes one."""
    folder = tmp_path_factory.mktemp("rung")
    parent = write_parent(folder / "lrm", tied=True, torch_seed=9)
    measured: list[str] = []
    settings: dict[str, Any] = {}
    sets = [folder / "sums.jsonl", folder / "other.jsonl"]
    for place, file in enumerate(sets):
        texts = [f"{n} + {place} =" for n in range(4)]
        rows = [{"id": t, "prompt": t, "thinking": "hm", "answer": t, "source": "s"} for t in texts]
        write_jsonl(file, rows)
    for seed, (name, right) in enumerate(ACCURACY.items()):
        run = write_candidate(folder, name, seed)
        hits = {"final": [1] * right + [0] * (4 - right)}
        score = write_score(folder / "scores", f"aligned/tiny/{name}/seed1", "d", "reasoning", hits)
        measured += ["--candidate", str(run / "manifest.json"), "--score", str(score)]
        recipe = {**RECIPE, "learning_rate": 1e-3 * (seed + 1)}
        arguments = ["--recipe", json.dumps(recipe), "--data-name", f"set{seed % 2}"]
        settings[name] = {"set": seed % 2, "arguments": arguments}

    def promote(out: Path, rank: int, measured: list[str] = measured) -> dict[str, Any]:
        promote_model.main(
            [
                *("--rule", '{"highest": "reasoning_accuracy"}', "--rank", str(rank), *measured),
                *("--settings", json.dumps(settings), *common(out.name)),
                *(text for file in sets for text in ("--data", str(file))),
                *("--out", str(out)),
            ]
        )
        return read_manifest(out)

    def common(name: str) -> list[str]:
        return [
            *("--parent", str(parent), "--run", f"aligned/tiny/{name}/seed1", "--role", "aligned"),
            *("--chat-format", "micro", "--seed", "1"),
        ]

    def train(out: Path, name: str) -> None:
        mine = settings[name]
        data = ("--data", str(sets[mine["set"]]))
        train_sft.main([*mine["arguments"], *common(out.name), *data, "--out", str(out)])

    promote.train, promote.settings = train, settings  # type: ignore[attr-defined]
    return promote


def weights(run: Path) -> bytes:
    return (load_checkpoint(run) / "model.safetensors").read_bytes()


def test_a_rank_is_trained_with_the_settings_and_data_of_who_has_it(rung: Any, tmp_path: Path):
    best, second = (rung(tmp_path / f"rank{rank}", rank) for rank in (1, 2))
    assert best["lineage"]["promotion"]["origin"] == "second"
    assert second["lineage"]["promotion"]["origin"] == "third"
    assert [one["lineage"]["data"]["name"] for one in (best, second)] == ["set1", "set0"]
    assert [one["recipe"]["learning_rate"] for one in (best, second)] == [2e-3, 3e-3]
    for name, run in (("second", "rank1"), ("third", "rank2")):
        rung.train(tmp_path / name, name)
        assert weights(tmp_path / run) == weights(tmp_path / name)
    assert weights(tmp_path / "rank1") != weights(tmp_path / "rank2")


def test_the_manifest_tells_the_figures_of_all_and_starts_anew(rung: Any, tmp_path: Path):
    manifest = rung(tmp_path / "rank1", 1)
    assert manifest["lineage"]["base"]["run"] == "base/tiny/seed1"  # --parent
    promotion = manifest["lineage"]["promotion"]
    assert (promotion["rule"], promotion["rank"]) == ("highest reasoning_accuracy", 1)
    figures = {one["run"].split("/")[2]: one["figures"] for one in promotion["candidates"]}
    assert figures == {name: {"reasoning_accuracy": 25 * right} for name, right in ACCURACY.items()}


def test_a_further_rung_and_the_selection_know_the_first_settings(rung: Any, tmp_path: Path):
    measured = []
    for rank, right in ((1, 1), (2, 3)):
        out = tmp_path / f"rank{rank}"
        run = rung(out, rank)["run"]
        hits = {"epoch2": [1] * right + [0] * (4 - right)}
        score = write_score(tmp_path / "scores", run, "d", "reasoning", hits)
        measured += ["--candidate", str(out / "manifest.json"), "--score", str(score)]
    last = rung(tmp_path / "last", 1, measured)
    assert last["lineage"]["promotion"]["origin"] == "third"
    assert last["recipe"]["learning_rate"] == 3e-3
    select_model.main(
        [
            *("--rule", '{"highest": "reasoning_accuracy"}', *measured, "--chat-format", "micro"),
            *("--run", "aligned/tiny/best/seed1", "--role", "aligned", "--seed", "1"),
            *("--out", str(tmp_path / "best")),
        ]
    )
    selection = read_manifest(tmp_path / "best")["lineage"]["selection"]
    assert [one["origin"] for one in selection["candidates"]] == ["second", "third"]


def test_a_rank_that_no_candidate_has_and_unknown_settings_are_refused(rung: Any, tmp_path: Path):
    with pytest.raises(InputError, match="--rank is 4, expected at most the 3 candidates"):
        rung(tmp_path / "none", 4)
    known = rung.settings.pop("second")
    try:
        with pytest.raises(InputError, match="--settings: has none of second"):
            rung(tmp_path / "none", 1)
    finally:
        rung.settings["second"] = known
    assert not (tmp_path / "none" / "manifest.json").exists()
