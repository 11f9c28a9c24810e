"""The vLLM engine, run by its own environment, against the transformers engine.

There is no GPU here: what CUDA's build does at its start was read in its source, which is the same
Python as the CPU build's (see `vllm_setup.py`). A start takes long, so the tests share two
processes: one of the script, and `vllm_process.py` for all that is asked of the engine alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.generate import vllm_setup

from .adapters import ADAPTERS, write_adapter_run
from .conftest import read_samples, write_run

# On a CPU gpu_memory_utilization is the share of the main memory.
RUNTIME = {"max_num_seqs": 16, "gpu_memory_utilization": 0.1}


def environment(root: Path, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(root),
        "VLLM_CACHE_ROOT": str(folder / "cache"),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vllm")


@pytest.fixture(scope="module")
def run(folder: Path, tokenizer: Any) -> Path:
    # vLLM's attention on CPU knows head sizes from 32 on.
    return write_run(folder / "run", tokenizer, ["epoch1", "epoch2"], hidden_size=64)


@pytest.fixture(scope="module")
def asked(vllm_python: Path, root: Path, folder: Path, run: Path, tokenizer: Any) -> dict[str, Any]:
    """What `vllm_process.py` has found."""
    tied = write_run(
        folder / "tied", tokenizer, ["epoch1", "epoch2"], hidden_size=64, tie_word_embeddings=True
    )
    for place, lora in enumerate(ADAPTERS):
        write_adapter_run(folder / "kept" / str(place), run, lora, place, tokenizer)
    program = root / "tests/generate/vllm_process.py"
    done = subprocess.run(
        [vllm_python, program, run.parent, tied.parent, folder / "kept", folder / "asked.json"],
        env=environment(root, folder),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "asked.json").read_text())


@pytest.mark.slow
def test_greedy_tokens_are_those_of_the_transformers_engine_and_one_engine_serves_them_all(
    vllm_python: Path,
    root: Path,
    folder: Path,
    run: Path,
    tmp_path: Path,
    make_request: Callable[..., dict[str, Any]],
    generate_all: Callable[..., None],
) -> None:
    """Same samples to the byte, over cut, finished and given thinking, checkpoints and benchmarks.

    Without `enforce_eager`: the model is compiled once.
    """
    exact = {"dtype": "float32"}
    sections: dict[str, dict[str, Any]] = {
        "clock_sums": {"decoding": exact},
        "short": {"decoding": exact | {"max_thinking_tokens": 3}, "n": 2},
        "opened": {"decoding": exact, "n": 3},
        "closed": {"decoding": exact, "n": 3},
    }
    told = {"opened": {"prefix": "so a b c"}, "closed": {"close_thinking": True}}

    def requests(engine: str) -> list[dict[str, Any]]:
        return [
            {**make_request(n, out=tmp_path / engine / n, **one), "prompting": told.get(n, {})}
            for n, one in sections.items()
        ]

    both = ("--checkpoints", "epoch1,epoch2")
    generate_all(*requests("hf"), model=run, options=both)
    done = subprocess.run(
        [
            *(vllm_python, "-m", "workflow.scripts.generate.generate_samples", "--model", run),
            *(*both, "--run", "r", "--engine", "vllm", "--runtime", json.dumps(RUNTIME)),
        ],
        cwd=root,
        env=environment(root, folder),
        input=json.dumps(requests("vllm")),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name in sections:
        expected = read_samples(tmp_path / "hf" / name)
        assert read_samples(tmp_path / "vllm" / name) == expected
        manifest = json.loads((tmp_path / "vllm" / name / "manifest.json").read_text())
        assert manifest["engine"] == "vllm"
    finishes = {one["thinking_finish"] for one in read_samples(tmp_path / "hf" / "clock_sums")}
    assert finishes >= {"budget", "delimiter"}
    opened = [one["thinking"] for one in read_samples(tmp_path / "hf" / "opened")]
    assert all(text.startswith("soabc") for text in opened)
    assert (done.stdout + done.stderr).count("Initializing a V1 LLM engine") == 1
    compiled = list((folder / "cache/torch_compile_cache/torch_aot_compile").iterdir())
    assert len(compiled) == 1 and any((compiled[0] / "inductor_cache").rglob("*.so"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["swap", "tied"])
def test_a_second_checkpoint_says_what_it_says_on_a_fresh_engine(
    asked: dict[str, Any], kind: str
) -> None:
    """Greedy and sampled, on prompts that are found in the prefix cache.

    A model whose embeddings are tied is not swapped, for vLLM would keep its old output layer.
    """
    found = asked[kind]
    assert found["second"] == found["fresh"] and found["second"] != found["first"]
    assert found["same engine"] == (kind == "swap")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("long", "max_model_len (4096) is greater"),
        ("small", "ValueError: Available memory on node 0"),
        ("killed", "killed"),
    ],
    ids=[
        "more context than the model has",
        "less memory than the weights take",
        "its process is killed",
    ],
)
def test_vllm_that_does_not_start_says_why(
    asked: dict[str, Any], run: Path, failure: str, reason: str
) -> None:
    """It names the cause, also where it is in a process of the engine's own."""
    line = asked[failure]
    assert line.startswith(f"vLLM did not start on {run.parent / 'epoch1'}: ")
    assert reason in line and "root cause" not in line
    # vLLM may have collected the exit code of a killed process by then, or not.
    assert failure != "killed" or "-9" in line or "exit codes" not in line


@pytest.mark.parametrize(
    ("logged", "said", "cause"),
    [
        # What vLLM 0.32.0 logged when its worker had too little memory, in this order.
        (
            [
                [True, "ValueError: Available memory on node 0 is less than requested"],
                [True, "RuntimeError: Worker failed, please check the trace for the root cause"],
                [False, "Worker proc VllmWorker-0 died unexpectedly (exit code: 0)"],
            ],
            "Engine core initialization failed. See root cause above. Failed core proc(s): {}",
            "ValueError: Available memory on node 0 is less than requested",
        ),
        (
            [[False, "Worker proc VllmWorker-0 died unexpectedly (exit code: -9)"]],
            "EngineCore encountered an issue. See stack trace (above) for the root cause.",
            "Worker proc VllmWorker-0 died unexpectedly (exit code: -9)",
        ),
        ([[True, "ValueError: of an earlier start"]], "out of memory", "out of memory"),
    ],
    ids=["exception in a worker", "worker killed", "exception in this process"],
)
def test_the_cause_is_the_last_exception_that_does_not_point_to_another(
    tmp_path: Path, logged: list[list[Any]], said: str, cause: str
) -> None:
    lines = "".join(json.dumps(entry) + "\n" for entry in logged)
    (tmp_path / vllm_setup.CAUSES).write_text(lines)
    assert vllm_setup.find_cause(RuntimeError(said), tmp_path) == cause


def test_without_a_compiler_vllm_says_so_before_it_reads_weights(
    vllm_python: Path, root: Path, tmp_path: Path, model_run: Path, make_request: Any
) -> None:
    """A real start on a PATH with no program at all; `enforce_eager` needs none."""
    done = subprocess.run(
        [
            *(vllm_python, "-m", "workflow.scripts.generate.generate_samples"),
            *("--model", model_run, "--run", "r", "--engine", "vllm"),
        ],
        cwd=root,
        env=environment(root, tmp_path) | {"PATH": str(tmp_path)},
        input=json.dumps([make_request()]),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: engine vllm: no C++ compiler g++ on PATH, ")
    assert "enforce_eager: true" in done.stderr


@pytest.mark.parametrize("eager", [False, True])
def test_on_a_gpu_triton_needs_a_c_compiler_and_no_toolkit_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: bool
) -> None:
    """Triton 3.7.1, CUDA's, looks for CC, else gcc or clang, and for Python.h."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="no C compiler on this node's PATH"):
        vllm_setup.check_build(False, eager, {})
    (tmp_path / "gcc").touch(0o755)
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    vllm_setup.check_build(False, eager, {})


@pytest.mark.slow
def test_vllm_knows_every_variable_and_argument_that_we_set(asked: dict[str, Any]) -> None:
    known = asked["knowledge"]
    ours = {**vllm_setup.VARIABLES, **vllm_setup.CPU_VARIABLES, "VLLM_LOGGING_CONFIG_PATH": ""}
    assert set(ours) <= set(known["variables"])
    passes = vllm_setup.ARGUMENTS["compilation_config"]["pass_config"]
    assert {*vllm_setup.ARGUMENTS, *passes} <= {*known["arguments"]}
    # What differs between jobs and clones does not make a compiled model another one.
    assert {"VLLM_CACHE_ROOT", "VLLM_LOGGING_CONFIG_PATH"} <= set(known["unhashed"])


@pytest.mark.slow
def test_the_gpu_lock_has_the_release_that_was_looked_at(asked: dict[str, Any], root: Path) -> None:
    pins = (root / "envs/vllm.txt").read_text().splitlines()
    assert f"vllm=={asked['knowledge']['version'].partition('+')[0]}" in pins


@pytest.mark.slow
def test_one_engine_answers_with_several_adapters_what_the_merged_models_say(
    asked: dict[str, Any],
) -> None:
    """Token by token, greedily and drawn."""
    found = asked["adapters"]
    assert found["same engine"]
    first, second, again = found["kept"]
    assert [first, second] == found["merged"]
    assert again == first
    assert len({json.dumps(said) for said in (first, second, found["plain"])}) == 3
    assert found["plain"] == asked["swap"]["fresh"]


@pytest.mark.slow
def test_the_longest_prompts_are_asked_first_and_an_error_is_asked_again_the_same_way(
    asked: dict[str, Any],
) -> None:
    requests, error = asked["failing"][0]["asked"], asked["failing"][0]["error"]
    assert error is None
    assert [name for name, *_ in requests[:3]] == ["1/0/0", "2/0/0", "0/0/0"]
    lengths = {name: length for name, length, _ in requests}
    assert lengths["1/0/0"] > lengths["2/0/0"] > lengths["0/0/0"]
    seeds = {name: seed for name, _, seed in requests}
    assert seeds["1/0/0"] == seeds["1/0/1"] == seeds["1/0/2"] == 100
    assert seeds["1/1/0"] == seeds["1/1/2"] == 101 and lengths["1/1/0"] == lengths["1/1/2"]


@pytest.mark.slow
def test_a_request_that_only_fails_is_not_asked_without_end(asked: dict[str, Any]) -> None:
    requests, error = asked["failing"][1]["asked"], asked["failing"][1]["error"]
    assert error.startswith("item q1: vLLM ended its request 3 times with 0 tokens and finish_reas")
    assert [name for name, *_ in requests if name.startswith("1/")] == ["1/0/0", "1/0/1", "1/0/2"]
