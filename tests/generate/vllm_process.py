"""Run by the vLLM environment's Python: all that the tests ask of vLLM in one process.

    python tests/generate/vllm_process.py RUN TIED_RUN KEPT OUT

Writes JSON: what vLLM knows; completions after a swap of weights and of a fresh engine, and with
the adapters below KEPT (see `adapters.py`) and the same ones merged; the errors
of starts that fail; the requests to an engine that fails now and then. Importing vLLM takes longer
than all that is done here.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace as Record
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.tokenizer import load_tokenizer
from workflow.scripts.config.decoding import Decoding
from workflow.scripts.config.planning import GenerationRuntime
from workflow.scripts.generate.engine import Adapters, load_form
from workflow.scripts.generate.turns import Turn
from workflow.scripts.generate.vllm_engine import Engine
from workflow.scripts.generate.vllm_setup import set_variables

# Longer than a block of the prefix cache.
QUESTIONS = [f"{'how do i solve the clock sum start ' * 18} {place}" for place in range(4)]
DECODINGS = [
    Decoding(max_thinking_tokens=12, max_answer_tokens=6, dtype="float32", temperature=heat)
    for heat in (0.0, 1.0)
]
RUNTIME = GenerationRuntime(enforce_eager=True, max_num_seqs=16, gpu_memory_utilization=0.1)


def knowledge() -> dict[str, Any]:
    """Return vLLM's version, variables, arguments, and variables that no compiled model knows."""
    set_variables()
    import vllm
    import vllm.envs
    from vllm import EngineArgs
    from vllm.config import PassConfig

    known = sorted(vllm.envs.environment_variables)
    return {
        "version": vllm.__version__,
        "variables": known,
        "arguments": [f.name for c in (EngineArgs, PassConfig) for f in dataclasses.fields(c)],
        "unhashed": [name for name in known if name not in vllm.envs.compile_factors()],
    }


def ask(engine: Engine, folder: Path, adapters: Adapters | None = None) -> list[dict[str, Any]]:
    """Load a checkpoint and return its completions under both decodings."""
    engine.load(folder, "float32", 256, adapters)
    tokenizer = load_tokenizer(folder)
    said: list[dict[str, Any]] = []
    for decoding in DECODINGS:
        form = load_form(folder, tokenizer, "micro", decoding, True)
        turns = [Turn(form, question) for question in QUESTIONS]
        engine.complete(turns, list(range(len(turns))), set(), lambda new: None)
        said += [dataclasses.asdict(turn.completion()) for turn in turns]
    return said


def swaps(run: Path) -> dict[str, Any]:
    """Return what two checkpoints say on one engine, and the second on a fresh one."""
    engine = Engine(RUNTIME)
    found: dict[str, Any] = {"first": ask(engine, run / "epoch1")}
    started = engine.llm
    found["second"] = ask(engine, run / "epoch2")
    found["same engine"] = engine.llm is started
    engine.close()
    fresh = Engine(RUNTIME)
    found["fresh"] = ask(fresh, run / "epoch2")
    fresh.close()
    return found


def adapters(run: Path, kept: Path) -> dict[str, Any]:
    """Return what several adapters of one checkpoint say on one engine, and merged ones."""
    runs, engine = sorted(kept.iterdir()), Engine(RUNTIME)
    said, started = [], []
    for one in (*runs, runs[0]):
        said.append(ask(engine, run / "epoch2", Adapters(one / "adapters" / "epoch1", 9)))
        started.append(engine.llm)
    same = all(one is started[0] for one in started)
    plain = ask(engine, run / "epoch2")
    merged = [ask(engine, one / "merged" / "epoch1") for one in runs]
    engine.close()
    return {"kept": said, "same engine": same, "merged": merged, "plain": plain}


def failure(run: Path, **runtime: Any) -> str:
    engine = Engine(RUNTIME.model_copy(update=runtime))
    try:
        engine.load(run / "epoch1", "float32", 128)
    except InputError as error:
        return str(error)
    finally:
        engine.close()
    return "it started"


def killed(run: Path) -> str:
    """Return the error of a start whose engine process is killed."""
    over = threading.Event()

    def kill() -> None:
        while not over.is_set():
            for process in children():
                os.kill(process, signal.SIGKILL)
            time.sleep(0.1)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        return failure(run)
    finally:
        over.set()
        thread.join()


def children() -> list[int]:
    """Return this process's engines."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            engine = (process / "cmdline").read_bytes().startswith(b"VLLM::EngineCore")
        except OSError:
            continue
        if engine and int(parent) == os.getpid():
            found.append(int(process.name))
    return found


class Scripted:
    """Stands in for vLLM: ends the first requests of item 1 as an internal error does."""

    def __init__(self, failures: int) -> None:
        self.failures, self.queue, self.asked, self.failed = failures, [], [], {}
        self.llm_engine = self

    def reset_prefix_cache(self) -> None:
        pass

    def has_unfinished_requests(self) -> bool:
        return bool(self.queue)

    def add_request(self, name: str, prompt: Any, parameters: Any, lora_request: Any) -> None:
        self.asked.append((name, len(prompt["prompt_token_ids"]), parameters.seed))
        self.queue.append((name, parameters))

    def step(self) -> list[Any]:
        name, parameters = self.queue.pop(0)
        place, part, _ = map(int, name.split("/"))
        if place == 1 and self.failed.get(part, 0) < self.failures:
            self.failed[part] = self.failed.get(part, 0) + 1
            said = Record(token_ids=[], finish_reason="error")
        else:
            said = Record(token_ids=[5] * parameters.max_tokens, finish_reason="length")
        return [Record(request_id=name, outputs=[said])]


def scripted(run: Path, failures: int) -> dict[str, Any]:
    """Return the requests to an engine that fails, and the error."""
    engine = Engine(RUNTIME)
    engine.llm = fake = Scripted(failures)
    form = load_form(run / "epoch1", load_tokenizer(run / "epoch1"), "micro", DECODINGS[0], True)
    texts = ["sum", "a b c a b c a b c", "a b c"]
    turns = [Turn(form, text, f"item q{place}") for place, text in enumerate(texts)]
    error = None
    try:
        engine.complete(turns, [0, 100, 200], set(), lambda new: None)
    except InputError as caught:
        error = str(caught)
    return {"asked": fake.asked, "error": error}


def main() -> None:
    run, tied, kept, out = map(Path, sys.argv[1:])
    found = {
        "knowledge": knowledge(),
        "failing": [scripted(run, 2), scripted(run, 10**9)],
        "swap": swaps(run),
        "tied": swaps(tied),
        "adapters": adapters(run, kept),
        "long": failure(run, max_model_len=4096),
    }
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1"  # as on GPUs
    found["small"] = failure(run, gpu_memory_utilization=0.0001)
    found["killed"] = killed(run)
    out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
