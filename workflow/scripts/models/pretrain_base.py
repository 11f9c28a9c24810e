"""Pretrain the base model of the micro experiment: a tiny Qwen3, from scratch, on one CPU thread.

From the generated corpus it makes the vocabulary (a token is a word with the space before it) and
the weights. The learning rate stays at its peak until the model solves the probe problems when it
is asked to show its work, then falls to zero: a seed that needs longer gets longer, up to a limit.
A base that never gets there is saved all the same, with status "failed".

python -m workflow.scripts.models.pretrain_base --recipe '{"hidden_size": 96, …}' \
    --corpus results/micro/data/micro/corpus.jsonl --probe results/micro/data/micro/probe.jsonl \
    --seed 1 --run base/tiny/seed1 --chat-format micro --out results/micro/models/base/tiny/seed1
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from workflow.scripts.common.chat import ChatFormat, chat_format
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import read_jsonl, sha256_file
from workflow.scripts.common.kernels import pin_kernels
from workflow.scripts.common.manifest import Training, write_manifest
from workflow.scripts.common.result import making
from workflow.scripts.config.pretrain import Pretrain
from workflow.scripts.config.section import parse_section

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from workflow.scripts.models.gate import Problem

POOL = 4  # batches whose documents are grouped by length
END_OF_TEXT = "<|endoftext|>"
SPECIAL_TOKENS = (END_OF_TEXT, "<|im_start|>", "<|im_end|>", "<|unk|>")
# A step such as "+7" is one token: a tiny model learns clock sums from (hour, step) pairs.
WORD = r" ?[+-][0-9]| ?[A-Za-z']+| ?[0-9]|\n| ?[^\sA-Za-z0-9]| "
ANSWER = re.compile(r"answer is (\d+)")


class Document(TypedDict):
    """A text of the corpus."""

    text: str
    context_chars: int
    """Its leading characters without loss"""


def build_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Make a word-level tokenizer with the words of `texts`; decoding gives the text back."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pattern = re.compile("|".join(map(re.escape, SPECIAL_TOKENS)) + "|" + WORD)
    words = {word for text in texts for word in pattern.findall(text)} - set(SPECIAL_TOKENS)
    vocabulary = [*SPECIAL_TOKENS, *sorted(words)]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<|unk|>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<|unk|>",
        eos_token="<|im_end|>",
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )


def build_model(recipe: Pretrain, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    # Not Qwen2: transformers 5 gives every "qwen2" checkpoint Qwen's own byte-level tokenizer,
    # whatever tokenizer.json holds.
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden_size,
        num_hidden_layers=recipe.num_hidden_layers,
        num_attention_heads=recipe.num_attention_heads,
        num_key_value_heads=recipe.num_attention_heads,
        head_dim=recipe.hidden_size // recipe.num_attention_heads,
        intermediate_size=recipe.intermediate_size,
        rope_parameters={"rope_type": "default", "rope_theta": recipe.rope_theta},
        initializer_range=recipe.initializer_range,
        max_position_embeddings=recipe.max_position_embeddings,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen3ForCausalLM(config)


def encode(
    tokenizer: PreTrainedTokenizerFast, documents: list[Document]
) -> list[tuple[list[int], int]]:
    """Return (token ids, number of leading tokens without loss) of each document."""
    contexts = tokenizer([row["text"][: row["context_chars"]] for row in documents])["input_ids"]
    rests = tokenizer([row["text"][row["context_chars"] :] for row in documents])["input_ids"]
    return [
        ([*context, *rest, tokenizer.pad_token_id], len(context))
        for context, rest in zip(contexts, rests, strict=True)
    ]


def batches(
    documents: list[tuple[list[int], int]], size: int, rng: random.Random
) -> Iterator[list[tuple[list[int], int]]]:
    """Yield batches of encoded documents for ever, each pass in a new order.

    A batch has documents of about one length, so that little of it is padding: of each `POOL`
    batches' documents, drawn at random, those that are as long as each other go together.
    """
    while True:
        order = rng.sample(documents, len(documents) // size * size)
        for start in range(0, len(order), POOL * size):
            pool = sorted(order[start : start + POOL * size], key=lambda document: len(document[0]))
            made = [pool[i : i + size] for i in range(0, len(pool), size)]
            yield from rng.sample(made, len(made))


def probe_accuracy(
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    chat: ChatFormat,
    problems: list[Problem],
    cue: str,
) -> float:
    """Return the share of problems that the model solves when asked with the cue (0 to 1)."""
    import torch

    prompts = [chat.prompt(f"{row['prompt']} {cue}", thinking=False) for row in problems]
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    model.eval()
    with torch.no_grad():
        generated = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=80,
            do_sample=False,
        )
    model.train()
    texts = tokenizer.batch_decode(generated[:, batch["input_ids"].shape[1] :])
    found = [ANSWER.findall(text.partition(chat.stop)[0]) for text in texts]
    correct = [
        answers[-1:] == [row["target"]] for answers, row in zip(found, problems, strict=True)
    ]
    return sum(correct) / len(correct)


def train(
    recipe: Pretrain,
    documents: list[Document],
    problems: list[Problem],
    chat: ChatFormat,
    seed: int,
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, str | None, Training]:
    """Train a base model.

    Returns:
        The model, its tokenizer, why it failed (None when the gate was passed), and the figures of
        the manifest's `train`.
    """
    pin_kernels()
    import torch
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    begin = time.perf_counter()
    tokenizer = build_tokenizer([row["text"] for row in documents])
    model = build_model(recipe, tokenizer)
    if len(documents) < recipe.global_batch:
        raise InputError(
            f"the corpus has {len(documents)} documents, expected at least a batch, "
            f"{recipe.global_batch}"
        )
    encoded = encode(tokenizer, documents)
    longest = max(len(ids) for ids, _ in encoded)
    if longest > recipe.max_position_embeddings:
        raise InputError(
            f"recipe.max_position_embeddings is {recipe.max_position_embeddings}, "
            f"expected at least the {longest} tokens of the longest document"
        )
    gate, decay = recipe.gate, recipe.decay_steps
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.learning_rate,
        betas=recipe.adam_betas,
        weight_decay=recipe.weight_decay,
        fused=True,  # MKL's square root, which the other form takes, differs between processors
    )
    data = batches(encoded, recipe.global_batch, random.Random(seed))
    model.train()
    tokens, target_tokens, history, skills = 0, 0, [], []
    step, last = 0, None  # `last` is known once the decay has begun
    while last is None or step < last:
        scale = min(1.0, (step + 1) / max(1, recipe.warmup_steps))
        if last is not None:
            scale *= (last - step) / decay
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * scale
        rows = next(data)
        width = max(len(ids) for ids, _ in rows)
        # Padding is on the right, where causal attention lets nothing see it.
        inputs = torch.full((len(rows), width), tokenizer.pad_token_id)
        targets = torch.full((len(rows), width), -100)
        for i, (ids, context) in enumerate(rows):
            inputs[i, : len(ids)] = torch.tensor(ids)
            targets[i, context : len(ids)] = torch.tensor(ids[context:])
        logits = model(input_ids=inputs[:, :-1], use_cache=False).logits
        loss = cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
        optimizer.step()
        step += 1
        tokens += sum(len(ids) for ids, _ in rows)
        target_tokens += sum(len(ids) - context for ids, context in rows)
        if step % 50 == 0:
            history.append({"step": step, "loss": round(loss.item(), 4)})
            speed = tokens / (time.perf_counter() - begin)
            of = "" if last is None else f" of {last}"
            said = f"step {step}{of}, loss {history[-1]['loss']}, {speed:.0f} tokens/s"
            print(said, file=sys.stderr, flush=True)
        if last is None and step >= gate.min_steps and step % gate.every == 0:
            skills.append(probe_accuracy(model, tokenizer, chat, problems, gate.cue))
            if skills[-1] >= gate.threshold or step >= gate.max_steps:
                last = step + decay
    final = probe_accuracy(model, tokenizer, chat, problems, gate.cue)
    reason = None
    if final < gate.threshold:
        reason = (
            f"solved {final:.0%} of {len(problems)} probe problems after {step} steps, "
            f"expected at least {gate.threshold:.0%}"
        )
    wall = time.perf_counter() - begin
    figures: Training = {
        "tokens": tokens,
        "target_tokens": target_tokens,
        "steps": step,
        "tokens_per_s": round(tokens / wall, 1),
        "peak_memory_mb": _peak_memory_mb(),
        "wall_s": round(wall, 2),
        "loss_history": history,
        "probe_accuracy": [*skills, final],
    }
    model.eval()
    return model, tokenizer, reason, figures


def _peak_memory_mb() -> float:
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--recipe", required=True, help="pretraining recipe, as JSON")
    parser.add_argument("--corpus", required=True, type=Path)
    parser.add_argument("--probe", required=True, type=Path, help="problems of the skill gate")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--run", required=True, help="name of the run, such as base/tiny/seed1")
    parser.add_argument("--chat-format", required=True)
    parser.add_argument("--out", required=True, type=Path, help="the run's folder")
    parser.add_argument("--result", type=json.loads, help="what it is made from, as JSON")
    args = parser.parse_args(argv)
    recipe = parse_section(Pretrain, args.recipe, "--recipe")
    chat = chat_format(args.chat_format)
    documents: list[Document] = [
        {"text": row["text"], "context_chars": row["context_chars"]}
        for row in read_jsonl(args.corpus)
    ]
    problems: list[Problem] = [
        {"prompt": row["prompt"], "target": row["target"]}
        for row in list(read_jsonl(args.probe))[: recipe.gate.n]
    ]
    if len(problems) < recipe.gate.n:
        raise InputError(
            f"{args.probe}: {len(problems)} problems, recipe.gate.n expects {recipe.gate.n}"
        )
    with making(args.out, args.result):
        model, tokenizer, reason, figures = train(recipe, documents, problems, chat, args.seed)
        # what a killed job left there
        shutil.rmtree(args.out / "final", ignore_errors=True)
        model.save_pretrained(args.out / "final")
        tokenizer.save_pretrained(args.out / "final")
        write_manifest(
            args.out,
            ["final"],
            run=args.run,
            role="base",
            chat_format=args.chat_format,
            thinking=False,
            status="failed" if reason else "ok",
            status_reason=reason,
            seed=args.seed,
            recipe=recipe.with_defaults(),
            parents={},
            lineage={
                "base": None,
                "data": {
                    "name": args.corpus.name,
                    "sha256": sha256_file(args.corpus),
                    "n": len(documents),
                },
            },
            train=figures,
        )


if __name__ == "__main__":
    run(main)
