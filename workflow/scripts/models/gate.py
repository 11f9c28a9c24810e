"""The skill gate: what share of probe problems a model solves, thinking greedily."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from workflow.scripts.common.chat import ChatFormat
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_jsonl
from workflow.scripts.config.recipe import Gate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NUMBER = re.compile(r"-?\d+")


class Problem(TypedDict):
    """A probe problem of a skill gate."""

    prompt: str
    target: str
    """A whole number"""


def read_probe(path: str | Path, n: int) -> list[Problem]:
    """Return the first `n` probe problems of a file."""
    problems: list[Problem] = []
    for number, row in enumerate(list(read_jsonl(path))[:n], 1):
        prompt, target = row.get("prompt"), str(row.get("target"))
        if not isinstance(prompt, str) or not NUMBER.fullmatch(target):
            raise InputError(f"{path}: row {number}: expected a prompt and a number as target")
        problems.append({"prompt": prompt, "target": target})
    if len(problems) < n:
        raise InputError(f"{path}: {len(problems)} problems, recipe.gate.n expects {n}")
    return problems


def probe_accuracy(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    chat: ChatFormat,
    problems: list[Problem],
    gate: Gate,
) -> float:
    """Return the share (0 to 1) of problems whose last number in the answer is the target.

    Thinking that reaches its limit is closed and answered, as in the benchmarks.
    """
    asked = [chat.prompt(row["prompt"]) for row in problems]
    limit = gate.max_answer_tokens
    if chat.think_stop:
        thoughts = _continue(model, tokenizer, asked, chat.think_stop, gate.max_thinking_tokens)
        asked = [
            prompt + thought.partition(chat.think_stop)[0].removesuffix("\n") + chat.think_end
            for prompt, thought in zip(asked, thoughts, strict=True)
        ]
    else:
        limit += gate.max_thinking_tokens
    answers = _continue(model, tokenizer, asked, chat.stop, limit)
    found = [NUMBER.findall(answer.partition(chat.stop)[0]) for answer in answers]
    right = [
        bool(numbers) and int(numbers[-1]) == int(row["target"])
        for numbers, row in zip(found, problems, strict=True)
    ]
    return sum(right) / len(right)


def _continue(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[str],
    stop: str,
    max_new_tokens: int,
) -> list[str]:
    import torch

    batch = tokenizer(
        prompts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt"
    ).to(model.device)
    stop_ids = tokenizer(stop, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        generated = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
            # A stop text of several tokens is only found by text, in the caller.
            eos_token_id=[*stop_ids[: 1 if len(stop_ids) == 1 else 0], tokenizer.eos_token_id],
        )
    return tokenizer.batch_decode(generated[:, batch["input_ids"].shape[1] :])
