"""Engine `hf`: transformers' `generate`, in batches."""

from __future__ import annotations

import gc
from collections.abc import Callable, Container
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LogitsProcessor, StoppingCriteria
from transformers.utils.logging import disable_progress_bar

from workflow.scripts.common.codehash import PACKAGE
from workflow.scripts.common.kernels import pin_kernels
from workflow.scripts.common.progress import track
from workflow.scripts.config.decoding import Decoding
from workflow.scripts.generate.engine import Adapters, BaseEngine
from workflow.scripts.generate.turns import Completion, Turn

ADAPTERS = "generate.hf_adapters"  # loaded by name, for adapters alone


class Engine(BaseEngine):
    """Generates in batches with `transformers`; tokens do not depend on a row's company."""

    model: Any = None
    _loaded: tuple[Path, str] | None = None

    def load(
        self, folder: Path, dtype: str, longest: int, adapters: Adapters | None = None
    ) -> None:
        if adapters is None or self._loaded != (folder, dtype):
            self._load(folder, dtype)
        if adapters is not None:
            attach = import_module(PACKAGE + ADAPTERS).attach_adapters
            self.model = attach(self.model, adapters.folder)

    def _load(self, folder: Path, dtype: str) -> None:
        self.close()
        disable_progress_bar()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cpu":
            pin_kernels(folder)
        spread = self.runtime.tensor_parallel > 1
        self.model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            device_map="auto" if spread else {"": device},
        ).eval()
        self._loaded = folder, dtype

    def complete(
        self,
        turns: list[Turn],
        seeds: list[int],
        done: Container[int],
        keep: Callable[[dict[int, Completion]], None],
    ) -> None:
        order = sorted(range(len(turns)), key=lambda place: -len(turns[place].prompt_ids))
        starts = range(0, len(order), self.runtime.batch_size)
        for start in track(starts, len(starts), "batches of samples"):
            # Batches are cut from all turns, finished or not, so that a resumed run computes what
            # an uninterrupted one does, to the last bit.
            batch = order[start : start + self.runtime.batch_size]
            if all(place in done for place in batch):
                continue
            self._generate([turns[place] for place in batch], [seeds[place] for place in batch])
            keep({place: turns[place].completion() for place in batch})

    def close(self) -> None:
        self.model = self._loaded = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _generate(self, turns: list[Turn], seeds: list[int]) -> None:
        form = turns[0].form
        padding = form.tokenizer.pad_token_id or 0
        width = max(len(turn.prompt_ids) for turn in turns)
        ids = torch.full((len(turns), width), padding)
        mask = torch.zeros_like(ids)
        for row, turn in enumerate(turns):
            ids[row, width - len(turn.prompt_ids) :] = torch.tensor(turn.prompt_ids)
            mask[row, width - len(turn.prompt_ids) :] = 1
        drawer = _Drawer(turns, form.decoding, seeds)
        with torch.inference_mode():
            self.model.generate(
                ids.to(self.model.device),
                attention_mask=mask.to(self.model.device),
                logits_processor=[drawer],
                stopping_criteria=[drawer.finished],
                max_new_tokens=form.longest([]),
                do_sample=False,
                # Sampling filters that the weights' own generation config may ask for are off.
                temperature=None,
                top_p=None,
                top_k=None,
                repetition_penalty=None,
                eos_token_id=None,
                pad_token_id=padding,
            )


class _Drawer(LogitsProcessor):
    """Draws each row's next token, passes it to the row's turn, and scores only what it places."""

    def __init__(self, turns: list[Turn], decoding: Decoding, seeds: list[int]) -> None:
        self.turns, self.decoding = turns, decoding
        self.placed = [len(turn.prompt_ids) for turn in turns]
        self.finished = _Finished(self)
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return (batch, vocabulary) scores that leave one token per row."""
        asked = [
            row
            for row, turn in enumerate(self.turns)
            if not turn.done and self.placed[row] == len(turn.tokens)
        ]
        for row, token in zip(asked, self._draw(scores, asked), strict=True):
            self.turns[row].push(token)
        tokens = [0] * len(self.turns)  # rows that have ended place anything
        for row, turn in enumerate(self.turns):
            if self.placed[row] < len(turn.tokens):
                tokens[row] = turn.tokens[self.placed[row]]
                self.placed[row] += 1
        single = torch.full_like(scores, float("-inf"))
        single.scatter_(1, torch.tensor(tokens, device=scores.device)[:, None], 0.0)
        return single

    def rows_finished(self) -> list[bool]:
        return [
            turn.done and placed == len(turn.tokens)
            for turn, placed in zip(self.turns, self.placed, strict=True)
        ]

    def _draw(self, scores: torch.Tensor, rows: list[int]) -> list[int]:
        if self.decoding.temperature == 0 or not rows:
            return scores.argmax(-1)[rows].tolist()
        # By inversion, with one uniform number per token from the row's own generator.
        logits = scores[rows].double() / self.decoding.temperature
        probabilities, order = logits.softmax(-1).sort(stable=True, dim=-1, descending=True)
        cumulative = probabilities.cumsum(-1)
        kept = (cumulative - probabilities < self.decoding.top_p).sum(-1, keepdim=True)
        mass = cumulative.gather(-1, kept - 1)
        uniform = [
            torch.rand(1, generator=self.generators[row], dtype=torch.double) for row in rows
        ]
        threshold = torch.stack(uniform).to(mass.device) * mass
        drawn = (cumulative <= threshold).sum(-1, keepdim=True).minimum(kept - 1)
        return order.gather(-1, drawn)[:, 0].tolist()


class _Finished(StoppingCriteria):
    def __init__(self, drawer: _Drawer) -> None:
        self.drawer = drawer

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        return torch.tensor(self.drawer.rows_finished(), device=input_ids.device)
