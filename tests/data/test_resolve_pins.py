"""Pins: the command run as a user runs it, with the real client against a hub on loopback.

The hub itself cannot be reached from here; `local_hub` serves its endpoints and error codes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.data.local_hub import COMMIT, TOKEN, LocalHub, serve_hub
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, write_json
from workflow.scripts.config.load import check_experiment
from workflow.scripts.data.resolve_pins import (
    check_pins,
    find_hub_names,
    pin,
    pinned,
    read_lock,
)

ROOT = Path(__file__).parents[2]
RECORDS = {"fields": {"prompt": "question", "answer": "answer"}}


def values(**lrms: dict[str, str]) -> dict[str, Any]:
    """Return tests/experiments/tiny.yaml, with LRMs of the hub."""
    found = yaml.safe_load((ROOT / "tests/experiments/tiny.yaml").read_text())
    for name, source in lrms.items():
        found["lrms"][name] = {**source, "chat_format": "chatml"}
    return json.loads(json.dumps(found))


def of_hub(name: str, **more: str) -> dict[str, Any]:
    return {"prepare": {"source": {"hub": name, "split": "train", **more}, **RECORDS}}


EXPERIMENT = values(s1={"hub": "simplescaling/s1.1-32B"})
EXPERIMENT["data"] |= {
    "s1k": of_hub("simplescaling/s1K-1.1"),
    "fixed": of_hub("some/fixed", revision="f" * 40),
}
EXPERIMENT["benchmarks"]["gpqa"] = {
    **EXPERIMENT["benchmarks"]["harmful"],
    "generated": None,
    **of_hub("Idavidrein/gpqa"),
}
EXPERIMENT["benchmarks"]["gpqa"]["prepare"]["fields"] = {"prompt": "question"}
EXPERIMENT["scorers"]["beaver"] = {
    "type": "hf_classifier",
    "model": {"hub": "PKU-Alignment/beaver-dam-7b"},
}


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with serve_hub() as hub:
        hub.files = {
            "datasets/simplescaling/s1K-1.1": {},
            "datasets/Idavidrein/gpqa": {},
            "models/simplescaling/s1.1-32B": {},
            "models/PKU-Alignment/beaver-dam-7b": {},
        }
        yield hub


def resolve(
    folder: Path, environment: dict[str, str], *options: str, experiment: Any = EXPERIMENT
) -> subprocess.CompletedProcess[str]:
    (folder / "paper.yaml").write_text(yaml.safe_dump(experiment))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    command = [sys.executable, "-m", "workflow.scripts.data.resolve_pins"]
    return subprocess.run(
        [*command, "--experiment", str(folder / "paper.yaml"), *options],
        capture_output=True,
        text=True,
        env=kept | {"HF_HOME": str(folder / "home")} | environment,
        timeout=60,
    )


def test_every_hub_name_gets_its_commit(tmp_path: Path, hub: LocalHub) -> None:
    result = resolve(tmp_path, hub.environment)
    assert result.returncode == 0, result.stderr
    lock = read_lock(tmp_path / "paper.lock.json")
    assert lock["datasets"] == {"simplescaling/s1K-1.1": COMMIT, "Idavidrein/gpqa": COMMIT}
    assert set(lock["models"]) == {"simplescaling/s1.1-32B", "PKU-Alignment/beaver-dam-7b"}
    assert pinned(lock, "simplescaling/s1.1-32B") == COMMIT


def test_the_rows_that_a_page_states_go_with_the_pin(tmp_path: Path, hub: LocalHub) -> None:
    """One configuration is an object in the card's metadata, several are a list."""
    splits = [{"name": "train", "num_examples": 1000, "num_bytes": 1}]
    many = [{"config_name": "gpqa_diamond", "splits": [{"name": "train", "num_examples": 198}]}]
    hub.cards = {
        "datasets/simplescaling/s1K-1.1": {"license": "mit", "dataset_info": {"splits": splits}},
        "datasets/Idavidrein/gpqa": {"dataset_info": [*many, {"config_name": "empty"}]},
    }
    assert resolve(tmp_path, hub.environment).returncode == 0
    assert read_lock(tmp_path / "paper.lock.json")["rows"] == {
        "simplescaling/s1K-1.1": {"default/train": 1000},
        "Idavidrein/gpqa": {"gpqa_diamond/train": 198},
    }


def test_existing_pins_are_kept_until_updated(tmp_path: Path, hub: LocalHub) -> None:
    old = "a" * 40
    names = ("simplescaling/s1.1-32B", "PKU-Alignment/beaver-dam-7b", "no/longer-used")
    lock = {"format": 1, "models": dict.fromkeys(names, old), "datasets": {}}
    write_json(tmp_path / "paper.lock.json", lock)
    resolve(tmp_path, hub.environment, "--update", "simplescaling/s1.1-32B")
    models = read_json(tmp_path / "paper.lock.json")["models"]
    assert models == dict.fromkeys(names, old) | {"simplescaling/s1.1-32B": COMMIT}
    assert not any("beaver" in path for _, path, _ in hub.requests)


def test_a_gated_repository_is_one_line_and_the_rest_is_pinned(
    tmp_path: Path, hub: LocalHub
) -> None:
    hub.gated = {"datasets/Idavidrein/gpqa"}
    result = resolve(tmp_path, hub.environment)
    (line,) = result.stderr.splitlines()
    assert result.returncode == 2
    assert line.startswith("error: dataset Idavidrein/gpqa")
    assert "gated and HF_TOKEN is not set; accept its terms at http://127.0.0.1" in line
    lock = read_lock(tmp_path / "paper.lock.json")
    assert set(lock["datasets"]) == {"simplescaling/s1K-1.1"} and len(lock["models"]) == 2


def test_a_token_opens_a_gated_repository_and_is_never_shown(tmp_path: Path, hub: LocalHub) -> None:
    hub.gated = {"datasets/Idavidrein/gpqa"}
    result = resolve(tmp_path, hub.environment | {"HF_TOKEN": TOKEN})
    assert result.returncode == 0, result.stderr
    wrong = TOKEN.replace("a", "b")
    write_json(tmp_path / "paper.lock.json", {"format": 1, "models": {}, "datasets": {}})
    refused = resolve(tmp_path, hub.environment | {"HF_TOKEN": wrong})
    assert "gated and HF_TOKEN is set" in refused.stderr
    shown = result.stdout + result.stderr + refused.stdout + refused.stderr
    assert TOKEN not in shown and wrong not in shown
    assert TOKEN not in (tmp_path / "paper.lock.json").read_text()


def test_a_stored_token_is_not_used(tmp_path: Path, hub: LocalHub) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text(TOKEN)
    resolve(tmp_path, hub.environment)
    assert not any("authorization" in headers for _, _, headers in hub.requests)


def test_a_missing_repository_is_one_line_each(tmp_path: Path, hub: LocalHub) -> None:
    hub.files.clear()
    result = resolve(tmp_path, hub.environment)
    lines = result.stderr.splitlines()
    assert result.returncode == 2 and len(lines) == 4
    assert all("no such repository, or a private one" in line for line in lines)


def test_without_network_it_says_so(tmp_path: Path) -> None:
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    experiment = values(s1={"hub": "simplescaling/s1.1-32B"})
    result = resolve(tmp_path, environment, experiment=experiment)
    (line,) = result.stderr.splitlines()
    assert result.returncode == 2 and "gave no answer to use (no connection)" in line
    result = resolve(tmp_path, {"HF_HUB_OFFLINE": "1"}, experiment=experiment)
    (line,) = result.stderr.splitlines()
    assert result.returncode == 2 and "HF_HUB_OFFLINE forbids the network" in line


def test_a_wrong_experiment_is_named_before_the_hub_is_asked(tmp_path: Path, hub: LocalHub) -> None:
    result = resolve(tmp_path, hub.environment, experiment={**EXPERIMENT, "seeds": []})
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {tmp_path / 'paper.yaml'}: seeds is [], expected")
    assert not hub.requests


def test_a_branch_is_no_revision() -> None:
    section = {"lrms": {"s1": {"hub": "a/b", "revision": "main"}}}
    with pytest.raises(InputError, match="expected a commit hash of 40 hex digits"):
        list(find_hub_names(section))


def test_a_missing_pin_names_the_command() -> None:
    lock = {"format": 1, "models": {}, "datasets": {}}
    with pytest.raises(InputError, match=r"a/b: not pinned; run python -m .*resolve_pins"):
        pinned(lock, "a/b")


def test_an_update_of_a_stranger_is_an_error(tmp_path: Path, hub: LocalHub) -> None:
    result = resolve(tmp_path, hub.environment, "--update", "s1")
    assert result.returncode == 2 and "['s1'] are nowhere in" in result.stderr


def test_a_name_that_is_a_model_and_a_data_set_gets_the_commit_of_each() -> None:
    """As GAIR/LIMO is both; a revision of the experiment's own stays."""
    given = values(limo={"hub": "GAIR/LIMO"})
    given["data"] |= {"limo": of_hub("GAIR/LIMO"), "own": of_hub("GAIR/LIMO", revision="c" * 40)}
    given["scorers"]["judge"] = {"type": "hf_classifier", "model": {"hub": "some/judge"}}
    experiment = check_experiment(given, "mine.yaml")
    lock = {"models": {"GAIR/LIMO": "a" * 40}, "datasets": {"GAIR/LIMO": "b" * 40}}
    found = pin(experiment, lock)
    assert found.lrms["limo"].revision == "a" * 40
    assert found.data["limo"].source.revision == "b" * 40
    assert found.data["own"].source.revision == "c" * 40
    assert found.scorers["judge"].model.revision is None
    assert experiment.lrms["limo"].revision is None
    with pytest.raises(InputError) as error:
        check_pins(found, "paper")
    assert str(error.value) == (
        "experiments/paper.lock.json: no revision of some/judge; run python -m "
        "workflow.scripts.data.resolve_pins --experiment experiments/paper.yaml where there is "
        "network"
    )
