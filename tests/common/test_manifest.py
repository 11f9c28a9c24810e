"""A checkpoint is loaded only when every file is what the manifest says."""

from __future__ import annotations

import hashlib

import pytest

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
