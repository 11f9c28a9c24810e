"""The previous result outlives a failed or killed re-run, and no longer."""

from __future__ import annotations

import os
import shutil

import pytest

from workflow.scripts.common.io import read_json, write_bytes, write_json
from workflow.scripts.plan.previous import LINKED_BYTES, keep_previous, settle_previous

MODEL = "models/lrm/tiny/seed1/manifest.json"
SCORE = "score/lrm/tiny/seed1/benign/refusal/score.json"
WEIGHTS = "models/lrm/tiny/seed1/epoch2/model.safetensors"


@pytest.fixture
def folder(tmp_path):
    make(tmp_path, MODEL, "old")
    make(tmp_path, SCORE, "old")
    write_bytes(tmp_path / WEIGHTS, b"old weights" * LINKED_BYTES)
    write_bytes(tmp_path / "models/lrm/tiny/seed1/epoch1/config.json", b"{}")
    return tmp_path


def make(folder, path, key):
    write_json(folder / path, {"made": key, "provenance": {"key": key}})


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_failed_rerun_leaves_the_previous_result_whole(folder):
    before = files(folder)
    assert keep_previous(folder, [MODEL, SCORE]) == [MODEL, SCORE]
    # what Snakemake and a training that dies do: manifest gone, checkpoints half replaced
    (folder / MODEL).unlink()
    shutil.rmtree((folder / WEIGHTS).parent)
    write_bytes(folder / WEIGHTS, b"new, unfinished")
    write_bytes(folder / "models/lrm/tiny/seed1/epoch3/model.safetensors", b"new")
    assert settle_previous(folder) == [MODEL]
    assert files(folder) == before


def test_a_new_result_replaces_the_previous_one(folder):
    keep_previous(folder, [MODEL, SCORE])
    make(folder, MODEL, "new")
    assert settle_previous(folder) == []
    assert read_json(folder / MODEL)["made"] == "new"
    assert not (folder / "previous").exists()


def test_a_result_without_its_stamp_counts_as_absent(folder):
    """The driver was killed between a job's last two commands."""
    keep_previous(folder, [SCORE])
    write_json(folder / SCORE, {"made": "new"})
    assert settle_previous(folder) == [SCORE]
    assert read_json(folder / SCORE)["made"] == "old"


def test_after_a_killed_run_the_next_run_keeps_what_lies_aside(folder):
    keep_previous(folder, [MODEL])
    (folder / MODEL).unlink()
    assert keep_previous(folder, [MODEL]) == []  # nothing complete to keep now
    assert settle_previous(folder) == [MODEL]
    assert read_json(folder / MODEL)["made"] == "old"


def test_large_files_are_linked_and_small_ones_copied(folder):
    keep_previous(folder, [MODEL])
    assert os.path.samefile(folder / WEIGHTS, folder / "previous" / WEIGHTS)
    assert not os.path.samefile(folder / MODEL, folder / "previous" / MODEL)
