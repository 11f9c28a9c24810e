"""Adapters that are kept apart: one load of their model for all of them, and what they compute."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.planning import GenerationRuntime
from workflow.scripts.generate.engine import Adapters
from workflow.scripts.generate.hf_engine import Engine

from .adapters import ADAPTERS, write_adapter_run
from .conftest import read_samples, write_run

TOLERANCE = 1e-4  # of logits of up to about 30, in fp32


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    return write_run(tmp_path_factory.mktemp("base"), tokenizer, ["epoch1"])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, base: Path, tokenizer: Any) -> list[Path]:
    """The manifests of two runs that keep adapters; beside each, the same ones merged."""
    folder = tmp_path_factory.mktemp("kept")
    return [
        write_adapter_run(folder / str(seed), base, lora, seed, tokenizer)
        for seed, lora in enumerate(ADAPTERS)
    ]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The folders of whole weights that are loaded, by their runs' names."""
    seen: list[str] = []
    load = AutoModelForCausalLM.from_pretrained

    def loading(folder: Path, **options: Any) -> Any:
        seen.append(folder.parent.name)
        return load(folder, **options)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", loading)
    yield seen


def merged(kept: Path) -> Path:
    return kept.parent.parent / "merged" / "manifest.json"


def test_adapters_give_the_logits_of_the_merged_model_and_their_model_is_loaded_once(
    base: Path, kept: list[Path], loads: list[str]
) -> None:
    ids = torch.arange(20)[None]
    engine, found = Engine(GenerationRuntime()), []
    for run in (*kept, kept[0]):
        engine.load(base.parent / "epoch1", "float32", 64, Adapters(run.parent / "epoch1", 9))
        with torch.inference_mode():
            found.append(engine.model(ids).logits)
    assert loads == [base.parent.name]
    # back to the weights alone: nothing is left of the adapters
    engine.load(base.parent / "epoch1", "float32", 64)
    with torch.inference_mode():
        plain = engine.model(ids).logits
    for run, logits in zip(kept, found, strict=False):
        model = AutoModelForCausalLM.from_pretrained(merged(run).parent / "epoch1").eval()
        with torch.inference_mode():
            expected = model(ids).logits
        assert (logits - expected).abs().max() < TOLERANCE
        assert (logits - plain).abs().max() > 1000 * TOLERANCE
    assert torch.equal(found[0], found[2])
    assert (found[0] - found[1]).abs().max() > 1000 * TOLERANCE
    model = AutoModelForCausalLM.from_pretrained(base.parent / "epoch1").eval()
    with torch.inference_mode():
        assert torch.equal(model(ids).logits, plain)


def request_of(request: dict[str, Any], run: Path, base: Path | None) -> dict[str, Any]:
    about = {"name": f"aligned/tiny/{run.parent.parent.name}/seed0", "model": str(run)}
    return {**request, "run": {**about, "base": base and str(base)}}


def test_one_start_generates_for_all_adapters_of_a_model(
    make_request: Callable[..., dict[str, Any]],
    generate_all: Callable[..., None],
    base: Path,
    kept: list[Path],
    loads: list[str],
    tmp_path: Path,
) -> None:
    """The same tokens as the merged models, drawn greedily."""
    requests = [
        request_of(make_request(name, tmp_path / str(place) / name), run, base)
        for place, run in enumerate(kept)
        for name in ("clock_sums", "others")
    ]
    generate_all(*requests)
    assert loads == [base.parent.name]
    for place, run in enumerate(kept):
        generate_all(make_request("clock_sums", tmp_path / "merged"), model=merged(run))
        expected = [(one["thinking"], one["answer"]) for one in read_samples(tmp_path / "merged")]
        shutil.rmtree(tmp_path / "merged")
        for name in ("clock_sums", "others"):
            samples = read_samples(tmp_path / str(place) / name)
            assert [(one["thinking"], one["answer"]) for one in samples] == expected
            about = json.loads((tmp_path / str(place) / name / "manifest.json").read_text())
            assert about["run"] == f"aligned/tiny/{place}/seed0"


def test_adapters_without_their_model_or_on_another_are_refused(
    make_request: Callable[..., dict[str, Any]],
    generate_all: Callable[..., None],
    kept: list[Path],
    base: Path,
) -> None:
    request = make_request()
    with pytest.raises(InputError, match="has adapters alone, expected --base, their model"):
        generate_all(request, model=kept[0])
    with pytest.raises(InputError, match=r"has other weights than .* was trained on, expect"):
        generate_all(request_of(request, kept[0], merged(kept[0])))
    generate_all(request, model=kept[0], options=["--base", str(base)])
