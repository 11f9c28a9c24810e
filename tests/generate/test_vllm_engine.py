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

Asked = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ask_vllm(vllm_python: Path, root: Path, tmp_path: Path, questions: Path) -> Asked:
    """Run the script with vLLM as a job would; its results go to `tmp_path / "vllm"`."""

    def ask(run: Path, decoding: dict[str, Any], **runtime: Any) -> subprocess.CompletedProcess:
        section = {"kind": "reasoning", "data": str(questions)}
        # On a CPU gpu_memory_utilization is the share of the main memory.
        sizes = {"max_model_len": 128, "max_num_seqs": 16, "gpu_memory_utilization": 0.1}
        runtime = {"enforce_eager": True, **sizes, **runtime}
        return subprocess.run(
            [
                *(vllm_python, "-m", "workflow.scripts.generate.generate_samples"),
                *("--model", run, "--checkpoints", "epoch1,epoch2", "--run", "lrm/tiny/seed0"),
                *("--benchmark", json.dumps({**section, "decoding": decoding})),
                *("--benchmark-name", "clock_sums", "--engine", "vllm"),
                *("--runtime", json.dumps(runtime)),
                *("--state", tmp_path / "state-vllm", "--out", tmp_path / "vllm"),
            ],
            cwd=root,
            env={
                **os.environ,
                "VLLM_NO_USAGE_STATS": "1",
                "DO_NOT_TRACK": "1",
                "HF_HUB_OFFLINE": "1",
            },
            stderr=subprocess.PIPE,
            text=True,
        )

    return ask


@pytest.mark.slow
def test_greedy_tokens_are_those_of_the_transformers_engine(
    ask_vllm: Asked, tmp_path: Path, tokenizer: Any, generate: Callable[..., list[dict[str, Any]]]
) -> None:
    """Same weights, same samples to the byte, over cut and finished thinking and two loads."""
    # vLLM's attention on CPU knows head sizes from 32 on.
    run = write_run(tmp_path / "run", tokenizer, ["epoch1", "epoch2"], hidden_size=64)
    decoding = {"max_thinking_tokens": 12, "max_answer_tokens": 6, "dtype": "float32"}
    expected = generate("--checkpoints", "epoch1,epoch2", model=run, decoding=decoding)
    assert {sample["thinking_finish"] for sample in expected} >= {"budget", "delimiter"}
    done = ask_vllm(run, decoding)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = (tmp_path / "vllm/samples.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == expected
    assert json.loads((tmp_path / "vllm/manifest.json").read_text())["engine"] == "vllm"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runtime", "reason"),
    [
        ({"max_model_len": 4096}, "max_model_len (4096) is greater"),
        ({"gpu_memory_utilization": 0.0001}, "memory"),
    ],
    ids=["more context than the model has", "less memory than the weights take"],
)
def test_vllm_that_does_not_start_is_one_line_and_no_result(
    ask_vllm: Asked, tmp_path: Path, tokenizer: Any, runtime: dict[str, float], reason: str
) -> None:
    run = write_run(tmp_path / "run", tokenizer, ["epoch1", "epoch2"], hidden_size=64)
    done = ask_vllm(run, {"max_thinking_tokens": 12, "max_answer_tokens": 6}, **runtime)
    assert done.returncode == 2
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith(f"error: vLLM did not start on {tmp_path / 'run/epoch1'}: ")
    assert reason in line and "Traceback" not in done.stderr
    assert not (tmp_path / "vllm").exists()
