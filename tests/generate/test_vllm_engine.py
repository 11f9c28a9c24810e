"""The vLLM engine, run by its own environment, against the transformers engine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import write_run


@pytest.fixture
def vllm_python(root: Path) -> Path:
    python = Path(os.environ.get("SAFETY_TAX_VLLM_PYTHON", root / ".venv-vllm" / "bin" / "python"))
    if not python.exists():
        pytest.skip(f"no vLLM environment at {python}; set SAFETY_TAX_VLLM_PYTHON to its Python")
    return python


@pytest.mark.slow
def test_greedy_tokens_are_those_of_the_transformers_engine(
    vllm_python: Path,
    root: Path,
    tmp_path: Path,
    tokenizer: Any,
    questions: Path,
    generate: Callable[..., list[dict[str, Any]]],
) -> None:
    """Same weights, same samples to the byte, over cut and finished thinking and two loads."""
    # vLLM's attention on CPU knows head sizes from 32 on.
    run = write_run(tmp_path / "run", tokenizer, ["epoch1", "epoch2"], hidden_size=64)
    decoding = {"max_thinking_tokens": 12, "max_answer_tokens": 6, "dtype": "float32"}
    section = {"task": "clock_sums", "kind": "reasoning", "data": str(questions)}
    expected = generate("--checkpoints", "epoch1,epoch2", model=run, decoding=decoding)
    assert {sample["thinking_finish"] for sample in expected} >= {"budget", "delimiter"}
    out = tmp_path / "vllm"
    subprocess.run(
        [
            *(vllm_python, "-m", "workflow.scripts.generate.generate_samples"),
            *("--model", run, "--checkpoints", "epoch1,epoch2", "--run", "lrm/tiny/seed0"),
            *("--benchmark", json.dumps({**section, "decoding": decoding})),
            *("--benchmark-name", "clock_sums", "--engine", "vllm"),
            *("--runtime", '{"enforce_eager": true, "max_model_len": 128, "max_num_seqs": 16}'),
            *("--state", tmp_path / "state-vllm", "--out", out),
        ],
        cwd=root,
        check=True,
        env={
            **os.environ,
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "HF_HUB_OFFLINE": "1",
        },
    )
    lines = (out / "samples.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == expected
    assert json.loads((out / "manifest.json").read_text())["engine"] == "vllm"
