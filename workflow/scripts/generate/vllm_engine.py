"""Engine `vllm`: vLLM's continuous batching.

Each turn goes on by itself: when its thinking ends, the same sequence with the answer's opening is
queued again, and its cached prefix is found. No turn waits for another one's thinking. The engine
is started once; further checkpoints are read into it.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import sys
import tempfile
from collections.abc import Callable, Container
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args
from unittest import mock

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.planning import GenerationRuntime
from workflow.scripts.generate.engine import Adapters, BaseEngine
from workflow.scripts.generate.turns import Completion, Turn, TurnFormat
from workflow.scripts.generate.vllm_setup import (
    ARGUMENTS,
    check_build,
    find_cause,
    is_cpu_build,
    log_causes,
    set_variables,
)

TRIES = 3  # of a request that the engine ends without having answered it
# Lengths are rounded up to a multiple, for a model is compiled once for each.
LENGTH_STEP = 1024
Served = tuple[Path, str, int, int]  # checkpoint, dtype, longest turn, rank of the adapters
OPTIONS = ("gpu_memory_utilization", "max_num_seqs", "enforce_eager")


class Engine(BaseEngine):
    """Completions come as they finish."""

    def __init__(self, runtime: GenerationRuntime) -> None:
        super().__init__(runtime)
        if find_spec("vllm") is None:
            raise InputError(
                f"engine vllm: not installed for {sys.executable}, "
                "expected the environment of envs/vllm.txt, or engine hf"
            )
        check_build(is_cpu_build(), runtime.enforce_eager)
        self.llm: Any = None
        self._dtype = ""
        self._served: Served | None = None  # what an engine with adapters was started for
        self._request: Any = None  # the adapters that are asked
        self._adapters = 0  # counts those that were loaded
        # The key of a compiled model holds the path that vLLM is given. This one is the same for
        # all models; the engine's processes stay in the folder that it is relative to.
        self._temporary = tempfile.TemporaryDirectory(prefix="vllm-")
        self._folder = Path(self._temporary.name)

    def context(self, folder: Path) -> int:
        return self.runtime.max_model_len or super().context(folder)

    def load(
        self, folder: Path, dtype: str, longest: int, adapters: Adapters | None = None
    ) -> None:
        try:
            if adapters is not None:
                self._load_adapters(folder, dtype, longest, adapters)
            elif self._can_swap(folder, dtype):
                self._swap(folder)
            else:
                self._shut_down()
                self._start(folder, dtype, longest)
        except Exception as error:
            verb = "start on" if self.llm is None else "load"
            cause = find_cause(error, self._folder)
            raise InputError(
                f"vLLM did not {verb} {adapters.folder if adapters else folder}: {cause}"
            ) from error
        self._dtype = dtype

    def complete(
        self,
        turns: list[Turn],
        seeds: list[int],
        done: Container[int],
        keep: Callable[[dict[int, Completion]], None],
    ) -> None:
        # What another benchmark has left in the cache must not change how this one is computed.
        self.llm.reset_prefix_cache()
        # The longest first, so that no long one is left alone at the end.
        for place in sorted(range(len(turns)), key=lambda place: -len(turns[place].tokens)):
            if place not in done:
                self._ask(place, turns[place], seeds[place])
        while self.llm.llm_engine.has_unfinished_requests():
            new = {}
            for output in self._step():
                place = self._answer(output, turns, seeds)
                if turns[place].done:
                    new[place] = turns[place].completion()
            if new:
                keep(new)

    def close(self) -> None:
        self._shut_down()
        self._temporary.cleanup()

    def _load_adapters(self, folder: Path, dtype: str, longest: int, adapters: Adapters) -> None:
        """Have the engine answer with adapters, on a checkpoint that stays loaded for others."""
        rank = adapters.largest
        if not _serves(self._served, (folder, dtype, longest, rank)):
            self._shut_down()
            self._start(folder, dtype, longest, rank)
        from vllm.lora.request import LoRARequest

        self._adapters += 1
        name = f"adapters{self._adapters}"
        self._request = LoRARequest(name, self._adapters, str(adapters.folder.resolve()))
        self.llm.llm_engine.add_lora(self._request)  # an error of theirs is one of this load

    def _start(self, folder: Path, dtype: str, longest: int, rank: int = 0) -> None:
        """Start vLLM on a checkpoint, for adapters up to a rank where it is not 0."""
        set_variables()
        from vllm import LLM
        from vllm.logger import DEFAULT_LOGGING_CONFIG

        length = math.ceil(longest / LENGTH_STEP) * LENGTH_STEP
        link = self._folder / "model"
        link.unlink(missing_ok=True)
        link.symlink_to(folder.resolve())
        variables = log_causes(self._folder, DEFAULT_LOGGING_CONFIG)
        with contextlib.chdir(self._folder), mock.patch.dict(os.environ, variables):
            self.llm = LLM(
                model="model",
                dtype=dtype,
                max_model_len=self.runtime.max_model_len or min(length, self.context(folder)),
                tensor_parallel_size=self.runtime.tensor_parallel,
                enable_prefix_caching=True,  # the answer's request finds the thinking in it
                **ARGUMENTS,
                **({"enable_lora": True, "max_lora_rank": _room(rank)} if rank else {}),
                **{
                    name: value
                    for name in OPTIONS
                    if (value := getattr(self.runtime, name)) is not None
                },
            )

        self._served = (folder, dtype, longest, rank) if rank else None

    def _can_swap(self, folder: Path, dtype: str) -> bool:
        """Tell whether the running engine can read a checkpoint in place of its own."""
        plain = self.llm is not None and self._served is None
        return plain and self._dtype == dtype and _takes_all_weights(folder)

    def _swap(self, folder: Path) -> None:
        """Read a checkpoint of the same architecture into the running engine."""
        path = str(folder.resolve())
        self.llm.llm_engine.collective_rpc("reload_weights", kwargs={"weights_path": path})
        self.llm.reset_prefix_cache()  # what the weights before have computed

    def _shut_down(self) -> None:
        if self.llm is not None:
            self.llm.llm_engine.engine_core.shutdown()
        self.llm = self._served = self._request = None
        gc.collect()

    def _step(self) -> list[Any]:
        """Return the requests that the next step has ended."""
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            return self.llm.llm_engine.step()
        except EngineDeadError as error:
            raise InputError(f"vLLM ended: {find_cause(error, self._folder)}") from error

    def _answer(self, output: Any, turns: list[Turn], seeds: list[int]) -> int:
        """Pass a request's tokens to its turn, and ask for what is to come; return its place."""
        place, part, tries = (int(number) for number in output.request_id.split("/"))
        turn, said = turns[place], output.outputs[0]
        if said.finish_reason in ("stop", "length") and said.token_ids:
            self._push(turn, said.token_ids)
            part, tries = part + 1, 0
        elif tries + 1 < TRIES:
            tries += 1
        else:
            raise InputError(
                f"{turn.name}: vLLM ended its request {TRIES} times with "
                f"{len(said.token_ids)} tokens and finish_reason {said.finish_reason}, "
                "expected stop or length"
            )
        if not turn.done:
            self._ask(place, turn, seeds[place], part, tries)
        return place

    def _ask(self, place: int, turn: Turn, seed: int, part: int = 0, tries: int = 0) -> None:
        """Queue what comes after the turn's tokens.

        Args:
            place: Of the turn.
            turn: Its tokens so far are the prompt.
            seed: Of the turn.
            part: Counts the requests of a turn; each draws from its own generator.
            tries: Counts the times that this part was ended without an answer.
        """
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        stop_ids, stop_texts = _stops(turn)
        parameters = SamplingParams(
            temperature=turn.form.decoding.temperature,
            top_p=turn.form.decoding.top_p,
            seed=seed + part,
            max_tokens=turn.room(),
            stop_token_ids=stop_ids,
            stop=stop_texts,
            ignore_eos=True,
            detokenize=bool(stop_texts),
            skip_special_tokens=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        prompt = TokensPrompt(prompt_token_ids=list(turn.tokens))
        self.llm.llm_engine.add_request(
            f"{place}/{part}/{tries}", prompt, parameters, lora_request=self._request
        )

    @staticmethod
    def _push(turn: Turn, tokens: list[int]) -> None:
        """Pass generated tokens to the turn, until it goes on by itself."""
        phase = turn.phase
        for token in tokens:
            if turn.phase != phase:
                return
            turn.push(token)


def _serves(served: Served | None, asked: Served) -> bool:
    """Tell whether an engine that was started for adapters can answer with others."""
    if served is None:
        return False
    _, _, length, rank = asked
    return served[:2] == asked[:2] and length <= served[2] and rank <= _room(served[3])


def _room(rank: int) -> int:
    """Return the smallest rank that vLLM can be started for, and that holds adapters of `rank`.

    Raises:
        InputError: vLLM has none.
    """
    from vllm.config.lora import MaxLoRARanks

    ranks = [one for one in get_args(MaxLoRARanks) if one >= rank]
    if not ranks:
        raise InputError(
            f"rank {rank} of the adapters, expected at most {max(get_args(MaxLoRARanks))}, or "
            "engine hf"
        )
    return int(ranks[0])


def _takes_all_weights(folder: Path) -> bool:
    """Tell whether a running engine takes all weights of a checkpoint.

    vLLM 0.32.0's CPU build keeps a packed copy of the output layer. Where it is tied to the
    embeddings, `reload_weights` does not make that copy again.
    """
    from transformers import AutoConfig

    return not AutoConfig.from_pretrained(folder).tie_word_embeddings


def _stops(turn: Turn) -> tuple[list[int], list[str]]:
    """Return the tokens and the texts that end what a turn says next."""
    form: TurnFormat = turn.form
    if turn.phase != "thinking":
        return sorted(form.stop_ids), []
    if form.think_stop_id is None:
        return sorted(form.stop_ids), [form.chat.think_stop]
    return sorted(form.stop_ids | {form.think_stop_id}), []
