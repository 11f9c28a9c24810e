"""A checkpoint is loaded only when every file is what the manifest says."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading

import pytest

from workflow.scripts.common import manifest as manifest_module
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.manifest import load_checkpoint, read_manifest, write_manifest


@pytest.fixture
def run_folder(tmp_path):
    """A finished run of two checkpoints."""
    for epoch in ("epoch1", "epoch2"):
        (tmp_path / epoch).mkdir()
        (tmp_path / epoch / "model.safetensors").write_bytes(epoch.encode())
        (tmp_path / epoch / "config.json").write_text("{}")
    write_manifest(tmp_path, ["epoch1", "epoch2"], run="lrm/x/seed1", role="lrm")
    return tmp_path


def test_a_manifest_names_every_file_with_its_hash_and_the_final_checkpoint(run_folder):
    manifest = read_manifest(run_folder)
    assert manifest["final"] == "epoch2"
    assert manifest["checkpoints"]["epoch1"]["model.safetensors"] == {
        "sha256": hashlib.sha256(b"epoch1").hexdigest(),
        "bytes": 6,
    }
    assert load_checkpoint(run_folder) == run_folder / "epoch2"
    assert load_checkpoint(run_folder / "manifest.json", "epoch1") == run_folder / "epoch1"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "no manifest.json"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "expected a manifest"),
        (lambda folder: (folder / "epoch2/config.json").unlink(), "config.json: missing"),
        (
            lambda folder: (folder / "epoch2/model.safetensors").write_bytes(b"epoch3"),
            "model.safetensors: differs from the manifest",
        ),
        (
            lambda folder: (folder / "epoch2/model.safetensors").write_bytes(b"epo"),
            "model.safetensors: differs from the manifest",
        ),
    ],
)
def test_a_spoiled_run_is_refused_with_the_file_named(run_folder, spoil, said):
    spoil(run_folder)
    with pytest.raises(InputError, match=said) as error:
        load_checkpoint(run_folder)
    assert str(run_folder) in str(error.value)


def test_an_unknown_checkpoint_is_refused_with_the_known_ones(run_folder):
    with pytest.raises(InputError, match="no checkpoint 'epoch3', expected one of epoch1, epoch2"):
        load_checkpoint(run_folder, "epoch3")


@pytest.fixture
def settled(run_folder, monkeypatch):
    """The run an hour later; gives the names of the files that are read for their hash."""
    now = manifest_module.time.time_ns() + 3600 * 10**9
    monkeypatch.setattr(manifest_module.time, "time_ns", lambda: now)
    read, original = [], manifest_module.sha256_file

    def count(path):
        read.append(path.name)
        return original(path)

    monkeypatch.setattr(manifest_module, "sha256_file", count)
    load_checkpoint(run_folder)
    assert sorted(read) == ["config.json", "model.safetensors"]
    read.clear()
    return read


def test_a_file_is_hashed_once_and_then_only_looked_at(run_folder, settled):
    for _ in range(2):
        load_checkpoint(run_folder)
        assert settled == []
    load_checkpoint(run_folder, "epoch1")
    assert sorted(settled) == ["config.json", "model.safetensors"]


def test_hashes_of_a_training_are_not_computed_again_by_who_uses_it(run_folder, settled):
    write_manifest(run_folder, ["epoch1", "epoch2"], run="lrm/x/seed1", role="lrm")
    settled.clear()
    load_checkpoint(run_folder, "epoch1")
    assert settled == []


def test_a_flipped_bit_is_found_though_its_times_are_put_back(run_folder, settled):
    weights = run_folder / "epoch2" / "model.safetensors"
    before = weights.stat()
    weights.write_bytes(b"epocH2")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(InputError, match=r"model\.safetensors: differs from the manifest"):
        load_checkpoint(run_folder)
    assert settled == ["model.safetensors"]


def test_a_copy_of_a_run_is_read_again(run_folder, settled, tmp_path_factory):
    """Its inodes are others; so is a file that replaces one with the same size and times."""
    copy = tmp_path_factory.mktemp("copy") / "run"
    shutil.copytree(run_folder, copy)
    load_checkpoint(copy)
    assert sorted(settled) == ["config.json", "model.safetensors"]


def test_a_file_that_was_written_just_now_is_read_again(run_folder, monkeypatch):
    """Within the same tick of the clock a second write leaves the times as they are."""
    tick = manifest_module.time.time_ns()
    monkeypatch.setattr(manifest_module, "_state", lambda path: [6, tick, tick, 1])
    load_checkpoint(run_folder)
    (run_folder / "epoch2" / "model.safetensors").write_bytes(b"epocH2")
    with pytest.raises(InputError, match="differs from the manifest"):
        load_checkpoint(run_folder)


def test_a_run_in_a_folder_of_somebody_else_is_read_at_every_start(
    run_folder, settled, monkeypatch
):
    def refuse(*args):
        raise PermissionError

    (run_folder / ".epoch2.hashed.json").unlink()
    monkeypatch.setattr(manifest_module, "write_json", refuse)
    for _ in range(2):
        assert load_checkpoint(run_folder) == run_folder / "epoch2"
    assert settled.count("model.safetensors") == 2


def test_files_are_hashed_at_the_same_time(run_folder, monkeypatch):
    """Each of two threads waits for the other: one thread alone would wait for ever."""
    both = threading.Barrier(2)
    monkeypatch.setattr(manifest_module.os, "sched_getaffinity", lambda process: {0, 1})
    original = manifest_module.sha256_file

    def meet(path):
        both.wait(timeout=20)
        return original(path)

    monkeypatch.setattr(manifest_module, "sha256_file", meet)
    assert load_checkpoint(run_folder) == run_folder / "epoch2"
