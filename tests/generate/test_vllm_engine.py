"""The vLLM engine, run by its own environment, against the transformers engine.

There is no GPU here: what CUDA's build does at its start was read in its source, which is the same
Python as the CPU build's (see `vllm_setup.py`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sysconfig
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.generate import vllm_setup

from .conftest import write_run

Asked = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ask_vllm(vllm_python: Path, root: Path, tmp_path: Path, questions: Path) -> Asked:
    """Run the script with vLLM as a job would; its results go to `tmp_path / "vllm"`."""

    def ask(
        run: Path,
        decoding: dict[str, Any],
        environment: dict[str, str] | None = None,
        **runtime: Any,
    ) -> subprocess.CompletedProcess:
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
                "DO_NOT_TRACK": "1",
                "HF_HUB_OFFLINE": "1",
                "VLLM_CACHE_ROOT": str(tmp_path / "cache"),
                **(environment or {}),
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


DECODING = {"max_thinking_tokens": 12, "max_answer_tokens": 6}
OWN_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}  # as on GPUs


def spoken_line(done: subprocess.CompletedProcess[str], start: str) -> str:
    """Return the one line that a user sees."""
    assert done.returncode == 2, done.stderr[-3000:]
    (line,) = (text for text in done.stderr.splitlines() if text.startswith("error: "))
    assert line.startswith(start)
    return line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runtime", "environment", "reason"),
    [
        ({"max_model_len": 4096}, {}, "max_model_len (4096) is greater"),
        ({"gpu_memory_utilization": 0.0001}, OWN_PROCESS, "ValueError: Available memory on node 0"),
    ],
    ids=["more context than the model has", "less memory than the weights take"],
)
def test_vllm_that_does_not_start_is_one_line_and_no_result(
    ask_vllm: Asked,
    tmp_path: Path,
    tokenizer: Any,
    runtime: dict[str, float],
    environment: dict[str, str],
    reason: str,
) -> None:
    """The line names the cause, also where it is in a process of the engine's own."""
    run = write_run(tmp_path / "run", tokenizer, ["epoch1", "epoch2"], hidden_size=64)
    done = ask_vllm(run, DECODING, environment, **runtime)
    line = spoken_line(done, f"error: vLLM did not start on {tmp_path / 'run/epoch1'}: ")
    assert reason in line and "root cause" not in line
    assert not (tmp_path / "vllm").exists()


def engine_processes(folder: Path) -> list[int]:
    """Return the engines of processes that were started with a path below `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cmdline").read_bytes().startswith(b"VLLM::EngineCore"):
                parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
                if bytes(folder) in Path(f"/proc/{parent}/cmdline").read_bytes():
                    found.append(int(process.name))
    return found


@pytest.mark.slow
def test_an_engine_whose_process_is_killed_ends_in_one_line(
    ask_vllm: Asked, tmp_path: Path, tokenizer: Any
) -> None:
    run = write_run(tmp_path / "run", tokenizer, ["epoch1", "epoch2"], hidden_size=64)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask_vllm, run, DECODING, OWN_PROCESS)
        while not asked.done():
            for process in engine_processes(tmp_path):
                os.kill(process, signal.SIGKILL)
            time.sleep(0.1)
    line = spoken_line(asked.result(), f"error: vLLM did not start on {tmp_path / 'run/epoch1'}: ")
    assert "killed" in line and "root cause" not in line
    # vLLM may have collected the exit code by then, or not.
    assert "-9" in line or "exit codes" not in line


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


@pytest.mark.slow
def test_vllm_compiles_a_model_once_for_all_its_checkpoints(
    ask_vllm: Asked, tmp_path: Path, tokenizer: Any
) -> None:
    """Without `enforce_eager`: the second checkpoint finds what the first has left."""
    run = write_run(tmp_path / "run", tokenizer, ["epoch1", "epoch2"], hidden_size=64)
    done = ask_vllm(run, DECODING, enforce_eager=False)
    assert done.returncode == 0, done.stderr[-3000:]
    compiled = list((tmp_path / "cache/torch_compile_cache/torch_aot_compile").iterdir())
    assert len(compiled) == 1 and any((compiled[0] / "inductor_cache").rglob("*.so"))


def test_without_a_compiler_vllm_says_so_before_it_reads_weights(
    ask_vllm: Asked, tmp_path: Path, model_run: Path
) -> None:
    """A real start on a PATH with no program at all; `enforce_eager` needs none."""
    done = ask_vllm(model_run, DECODING, {"PATH": str(tmp_path)}, enforce_eager=False)
    line = spoken_line(done, "error: engine vllm: no C++ compiler g++ on PATH, ")
    assert "enforce_eager: true" in line and done.stderr.count("\n") == 1


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


ASK_VLLM_ITSELF = """
import dataclasses, json, sys
import vllm, vllm.envs
from vllm import EngineArgs
from vllm.config import CompilationConfig, PassConfig
known = sorted(vllm.envs.environment_variables)
fields = [f.name for c in (EngineArgs, PassConfig) for f in dataclasses.fields(c)]
unhashed = [name for name in known if name not in vllm.envs.compile_factors()]
print(json.dumps([vllm.__version__, known, fields, unhashed]))
"""


@pytest.fixture(scope="module")
def vllm_itself(vllm_python: Path) -> list[Any]:
    done = subprocess.run([vllm_python, "-c", ASK_VLLM_ITSELF], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_vllm_knows_every_variable_and_argument_that_we_set(vllm_itself: list[Any]) -> None:
    _, known, fields, unhashed = vllm_itself
    ours = {**vllm_setup.VARIABLES, **vllm_setup.CPU_VARIABLES, "VLLM_LOGGING_CONFIG_PATH": ""}
    assert set(ours) <= set(known)
    assert {*vllm_setup.ARGUMENTS, *vllm_setup.ARGUMENTS["compilation_config"]["pass_config"]} <= {
        *fields
    }
    # What differs between jobs and clones does not make a compiled model another one.
    assert {"VLLM_CACHE_ROOT", "VLLM_LOGGING_CONFIG_PATH"} <= set(unhashed)


@pytest.mark.slow
def test_the_gpu_lock_has_the_release_that_was_looked_at(
    vllm_itself: list[Any], root: Path
) -> None:
    pins = (root / "envs/vllm.txt").read_text().splitlines()
    assert f"vllm=={vllm_itself[0].partition('+')[0]}" in pins


SCRIPTED = """
import json, sys
from types import SimpleNamespace as Record
from workflow.scripts.common.tokenizer import load_tokenizer
from workflow.scripts.generate.engine import load_form
from workflow.scripts.config.decoding import Decoding
from workflow.scripts.generate.vllm_engine import BudgetForcingVLLM
from workflow.scripts.common.errors import InputError

folder = sys.argv[1]

class Engine:  # ends the first requests of an item as vLLM does an internal error: 0 tokens
    def __init__(self, failures):
        self.failures, self.queue, self.asked, self.failed = failures, [], [], {}
    def has_unfinished_requests(self): return bool(self.queue)
    def add_request(self, name, prompt, parameters):
        self.asked.append((name, len(prompt["prompt_token_ids"]), parameters.seed))
        self.queue.append((name, parameters))
    def step(self):
        name, parameters = self.queue.pop(0)
        index, part, tries = map(int, name.split("/"))
        if index == 1 and self.failed.get(part, 0) < self.failures:
            self.failed[part] = self.failed.get(part, 0) + 1
            said = Record(token_ids=[], finish_reason="error")
        else:
            said = Record(token_ids=[5] * parameters.max_tokens, finish_reason="length")
        return [Record(request_id=name, outputs=[said])]

def ask(failures):
    model = BudgetForcingVLLM.__new__(BudgetForcingVLLM)
    model.tokenizer = load_tokenizer(folder)
    decoding = Decoding(max_thinking_tokens=12, max_answer_tokens=6)
    model.form = load_form(folder, model.tokenizer, "micro", decoding, True)
    model.completions, model.on_complete = {}, lambda new: None
    model.model = Record(llm_engine=Engine(failures))
    texts = ["sum", "a b c a b c a b c", "a b c"]
    requests = [
        Record(args=(text, {"seed": 100 * index}), doc={"item_id": f"q{index}"})
        for index, text in enumerate(texts)
    ]
    try:
        model.generate_until(requests)
    except InputError as error:
        return model.model.llm_engine.asked, str(error)
    return model.model.llm_engine.asked, None

BudgetForcingVLLM.max_length = 256
print(json.dumps([ask(failures=2), ask(failures=10**9)]))
"""


@pytest.fixture(scope="module")
def scripted(vllm_python: Path, root: Path, model_run: Path) -> list[list[Any]]:
    """Requests and error of an engine that fails twice, and of one that always fails."""
    command = [vllm_python, "-c", SCRIPTED, model_run.parent / "epoch1"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_longest_prompts_are_asked_first_and_an_error_is_asked_again_the_same_way(
    scripted: list[list[Any]],
) -> None:
    (asked, error), _ = scripted
    assert error is None
    assert [name for name, *_ in asked[:3]] == ["1/0/0", "2/0/0", "0/0/0"]
    lengths = {name: length for name, length, _ in asked}
    assert lengths["1/0/0"] > lengths["2/0/0"] > lengths["0/0/0"]
    seeds = {name: seed for name, _, seed in asked}
    assert seeds["1/0/0"] == seeds["1/0/1"] == seeds["1/0/2"] == 100
    assert seeds["1/1/0"] == seeds["1/1/2"] == 101 and lengths["1/1/0"] == lengths["1/1/2"]


@pytest.mark.slow
def test_a_request_that_only_fails_is_not_asked_without_end(scripted: list[list[Any]]) -> None:
    _, (asked, error) = scripted
    assert error.startswith("item q1: vLLM ended its request 3 times with 0 tokens and finish_reas")
    assert [name for name, *_ in asked if name.startswith("1/")] == ["1/0/0", "1/0/1", "1/0/2"]
