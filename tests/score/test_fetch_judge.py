"""The files of a classifier judge, from a hub on loopback by the real client.

The repository is laid out as LLaMA's of 2023 are: a sentencepiece model is all there is of the
tokenizer's vocabulary.
"""

from __future__ import annotations

import functools
import io
import json
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from tests.data.local_hub import COMMIT, serve_hub
from workflow.scripts.common.categories import CATEGORIES
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.result import read_result
from workflow.scripts.score.classifier_judge import load_reader

LABELS = {str(index): label for index, label in enumerate(CATEGORIES)}
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForSequenceClassification"],
    "problem_type": "multi_label_classification",
    "id2label": LABELS,
    "max_position_embeddings": 512,
}
NAMES = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>"}


@functools.cache
def sentencepiece_model() -> bytes:
    """Train a vocabulary of 60 pieces by sentencepiece itself."""
    import sentencepiece

    text = ["user asks and assistant answers", "the quick brown fox jumps over a lazy dog"] * 20
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text),
        model_writer=trained,
        vocab_size=60,
        model_type="bpe",
        minloglevel=2,
    )
    return trained.getvalue()


FILES = {
    "config.json": json.dumps(CONFIG).encode(),
    "tokenizer_config.json": json.dumps({**NAMES, "unk_token": "<unk>"}).encode(),
    "tokenizer.model": sentencepiece_model(),
    "pytorch_model.bin": b"pickle",
    "model.safetensors": b"weights",
    "modeling_own.py": b"print('never run')",
}


def fetch(
    folder: Path, files: dict[str, bytes] = FILES, corrupt: Collection[str] = (), **section: Any
) -> tuple[subprocess.CompletedProcess[str], Path]:
    scorer = {"model": {"hub": "owner/judge", "revision": COMMIT}, **section}
    with serve_hub() as hub:
        hub.corrupt = set(corrupt)
        hub.files = {"models/owner/judge": dict(files)}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        done = subprocess.run(
            [
                *(sys.executable, "-m", "workflow.scripts.score.fetch_judge"),
                *("--scorer", json.dumps(scorer), "--out", str(folder)),
                *("--result", json.dumps({"name": "judge", "spec": {}})),
            ],
            env={**kept, **hub.environment, "HF_HOME": str(folder / "home")},
            capture_output=True,
            text=True,
        )
    return done, folder / "fetched.json"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "file"), [("torch", "pytorch_model.bin"), ("safetensors", "model.safetensors")]
)
def test_the_cache_holds_the_pinned_files_and_no_code(tmp_path, weights, file):
    done, out = fetch(tmp_path, weights=weights)
    assert done.returncode == 0, done.stderr
    said = json.loads(out.read_text())
    assert said["files_bytes"] == {
        name: len(FILES[name])
        for name in ("config.json", "tokenizer.model", "tokenizer_config.json", file)
    }
    assert said["revision"] == COMMIT
    assert read_result(out.parent)["files"]["fetched.json"] == out.stat().st_size
    cached = {path.name for path in (tmp_path / "home").rglob("snapshots/*/*")}
    assert cached == set(said["files_bytes"])


@pytest.mark.slow
def test_a_judge_without_a_commit_and_an_unknown_one_are_one_line(tmp_path):
    done, out = fetch(tmp_path, model={"hub": "owner/judge"})
    assert done.returncode == 2 and "owner/judge: revision is None" in done.stderr
    assert done.stderr.count("\n") == 1
    done, out = fetch(tmp_path, model={"hub": "owner/other", "revision": COMMIT})
    assert done.returncode == 2
    assert "no such repository" in done.stderr or "access refused" in done.stderr
    assert done.stderr.count("\n") == 1 and not out.exists()


@pytest.mark.slow
def test_a_judge_with_other_labels_is_refused_when_it_is_fetched(tmp_path):
    other = json.dumps({**CONFIG, "id2label": {"0": "safe", "1": "unsafe"}}).encode()
    done, out = fetch(tmp_path, {**FILES, "config.json": other})
    assert done.returncode == 2 and not out.exists()
    error = done.stderr.splitlines()[-1]  # below the bar of the download
    assert error.startswith("error: owner/judge: its labels are ['safe', 'unsafe'], expected the")


@pytest.mark.slow
def test_a_judge_that_cannot_be_loaded_is_refused_when_it_is_fetched(tmp_path):
    """Scoring would find out only after all models are trained."""
    done, out = fetch(tmp_path, {**FILES, "tokenizer.model": b"x"})
    assert done.returncode == 2 and not out.exists()
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: owner/judge: its configuration or tokenizer does not load: ")


def write_reader(folder: Path, **change: bytes | None) -> str:
    """Write what there is beside the weights, some files changed or left out."""
    for name in ("config.json", "tokenizer_config.json", "tokenizer.model"):
        data = change.get(name, FILES[name])
        if data is not None:
            (folder / name).write_bytes(data)
    return str(folder)


@pytest.mark.parametrize(
    ("change", "window_tokens", "reason"),
    [
        ({"tokenizer.model": None}, 512, "owner/judge: its tokenizer knows no text"),
        ({"config.json": b"{}"}, 512, "owner/judge: its configuration or tokenizer does not load"),
        ({}, 1024, "window_tokens is 1024, expected at most the 512 positions of owner/judge"),
    ],
    ids=["no vocabulary", "no kind of model", "short context"],
)
def test_what_does_not_fit_is_named(tmp_path, change, window_tokens, reason):
    with pytest.raises(InputError, match=reason):
        load_reader(write_reader(tmp_path, **change), None, window_tokens, "owner/judge")


def test_the_vocabulary_of_such_a_judge_is_read_as_sentencepiece_reads_it(tmp_path):
    import sentencepiece

    tokenizer, padding = load_reader(write_reader(tmp_path), None, 512)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=FILES["tokenizer.model"])
    text = "the user asks over a dog"
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == pieces.encode(text)
    assert padding == pieces.unk_id()


@pytest.mark.slow
def test_changed_bytes_are_noticed_and_fetched_again(tmp_path):
    done, out = fetch(tmp_path, corrupt=["model.safetensors"])
    assert done.returncode == 2 and not out.exists()
    assert "model.safetensors: hash" in done.stderr.splitlines()[-1]
    done, out = fetch(tmp_path)
    assert done.returncode == 0, done.stderr
    (cached,) = (tmp_path / "home").rglob("snapshots/*/model.safetensors")
    assert cached.read_bytes() == FILES["model.safetensors"]
