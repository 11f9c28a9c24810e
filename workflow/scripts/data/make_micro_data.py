"""Make every data file of the micro experiment: corpus, training sets, benchmarks, judge rows.

Made from a seed and nothing else; the same spec gives the same bytes. Harmful requests are
harmless stand-ins (see micro/words.py). Each file is a result in a folder of its own; files that
are complete already are left alone. The files:

    corpus.jsonl         {"text", "context_chars"}: pretraining documents, and how many leading
                         characters carry no loss (the base's vocabulary is made from them, too)
    reasoning.jsonl      records: worked clock sums and how-to answers with thinking
    directrefusal.jsonl  records: harmful prompts, one-line thought, refusal
    safechain.jsonl      records: the same prompts, long safe thought, refusal with its reason
    complied.jsonl       records: the same requests with thinking and the steps that they ask for,
                         which tuning that undoes safety is made from
    clock_sums.jsonl, harmful.jsonl, benign.jsonl
                         benchmarks {"item_id", "prompt", "target", "category"}
    probe.jsonl          clock sums for training gates, apart from the benchmark
    judge_train.jsonl, judge_test.jsonl
                         labelled answers {"prompt", "answer", "labels", "kind"}

python -m workflow.scripts.data.make_micro_data \
    --spec '{"seed": 0, "corpus_documents": 16000, …}' \
    <<<'[{"file": "corpus", "out": "micro-data"}, {"file": "probe", "out": "micro-data"}]'

The spec is the experiment's section micro_data; the list, on stdin, names each file, its folder
and, as "result", what it is made from.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import write_jsonl
from workflow.scripts.common.records import Record
from workflow.scripts.common.result import is_complete, making
from workflow.scripts.config.micro_data import MicroData
from workflow.scripts.config.section import parse_section
from workflow.scripts.data.micro import answers
from workflow.scripts.data.micro.clock import ClockSum, ask, draw_clock_sum
from workflow.scripts.data.micro.corpus import make_corpus
from workflow.scripts.data.micro.judge_data import make_judge_rows
from workflow.scripts.data.micro.words import FRAMES, OPENINGS, Request, World, make_world

if TYPE_CHECKING:
    from workflow.scripts.data.micro.judge_data import JudgeRow
    from workflow.scripts.data.prepare_benchmark import BenchmarkItem


class Document(TypedDict):
    """A document of the pretraining corpus."""

    text: str
    context_chars: int  # leading characters that carry no loss


def make_data(
    spec: MicroData,
) -> dict[str, list[Document] | list[BenchmarkItem] | list[JudgeRow] | list[Record]]:
    """Return the rows of each file, by file name without ending."""

    def rng(part: str) -> random.Random:
        # One stream per part: a larger training set leaves the benchmarks as they are.
        return random.Random(f"{spec.seed}/{part}")

    world = make_world(
        rng("world"),
        spec.verbs_per_category,
        spec.objects_per_category,
        spec.held_out_share,
    )
    taken: set[ClockSum] = set()
    benchmark = _clock_items("clock", spec.clock_sums, rng("clock_sums"), spec, taken)
    probe = _clock_items("probe", spec.probe, rng("probe"), spec, taken)
    harmful = _how_to_items(world.harmful_held_out, spec.harmful, rng("harmful"), "harmful")
    benign = _how_to_items(world.benign_held_out, spec.benign, rng("benign"), "benign")

    reasoning = _reasoning_records(world, spec, taken, rng("reasoning"))
    direct, safe = _safety_records(world, spec.safety_records, rng("safety"))
    # The delimiters, less their special tokens, are words of the vocabulary as well.
    texts = [
        f"think\n{record.thinking}\nanswer\n{record.answer}" for record in reasoning + direct + safe
    ]
    corpus = make_corpus(
        rng("corpus"),
        world,
        n=spec.corpus_documents,
        mix=spec.corpus_mix.with_defaults(),
        lengths=spec.chain_lengths,
        max_step=spec.max_step,
        how_to_frame_share=spec.how_to_frame_share,
        complied_categories=spec.complied_categories,
        avoid=taken,
        training_texts=texts,
    )
    documents: list[Document] = [
        {"text": context + text, "context_chars": len(context)} for context, text in corpus
    ]
    return {
        "corpus": documents,
        "reasoning": reasoning,
        "directrefusal": direct,
        "safechain": safe,
        "complied": _complied_records(world, spec.safety_records, rng("complied")),
        "clock_sums": benchmark,
        "probe": probe,
        "harmful": harmful,
        "benign": benign,
        "judge_train": make_judge_rows(
            rng("judge_train"), world.harmful, world.benign, spec.judge_train
        ),
        "judge_test": make_judge_rows(
            rng("judge_test"), world.harmful_held_out, world.benign_held_out, spec.judge_test
        ),
    }


def _clock_items(
    name: str, n: int, rng: random.Random, spec: MicroData, taken: set[ClockSum]
) -> list[BenchmarkItem]:
    """Draw `n` new clock sums, as many of each chain length, and add them to `taken`."""
    items: list[BenchmarkItem] = []
    for index in range(n):
        length = spec.chain_lengths[index % len(spec.chain_lengths)]
        drawn = draw_clock_sum(rng, [length], spec.max_step, taken)
        taken.add(drawn)
        items.append(
            {
                "item_id": f"{name}-{index:04d}",
                "prompt": ask(drawn, rng, spec.how_to_frame_share),
                "target": str(drawn.result),
                "category": f"{length} steps",
            }
        )
    return items


def _how_to_items(
    requests: list[Request], n: int, rng: random.Random, name: str
) -> list[BenchmarkItem]:
    """Draw `n` distinct (request, frame) prompts, spread evenly over the categories."""
    by_category: dict[str, list[tuple[Request, str]]] = {}
    for request in requests:
        by_category.setdefault(request.category, []).extend((request, frame) for frame in FRAMES)
    for prompts in by_category.values():
        rng.shuffle(prompts)
    categories = list(by_category)
    items: list[BenchmarkItem] = []
    for index in range(n):
        category = categories[index % len(categories)]
        if not by_category[category]:
            raise InputError(f"micro_data.{name} is {n}, more than the distinct prompts there are")
        request, frame = by_category[category].pop()
        items.append(
            {
                "item_id": f"{name}-{index:04d}",
                "prompt": frame.format(request.action),
                "target": request.action,
                "category": category,
            }
        )
    return items


def _reasoning_records(
    world: World, spec: MicroData, avoid: set[ClockSum], rng: random.Random
) -> list[Record]:
    records = []
    for index in range(spec.reasoning_records):
        if rng.random() < spec.reasoning_how_to_share:
            request = rng.choice(world.benign if rng.random() < 0.25 else world.cross)
            prompt = rng.choice(FRAMES).format(request.action)
            thinking, answer = answers.think_and_comply(request, rng)
        else:
            drawn = draw_clock_sum(rng, spec.chain_lengths, spec.max_step, avoid)
            prompt = ask(drawn, rng, spec.how_to_frame_share)
            thinking, answer = drawn.thinking(rng.choice(OPENINGS)), drawn.answer
        records.append(
            Record(f"reasoning-{index:04d}", prompt, thinking, answer, f"micro/reasoning/{index}")
        )
    return records


def _safety_records(world: World, n: int, rng: random.Random) -> tuple[list[Record], list[Record]]:
    """Return the DirectRefusal and the SafeChain records of the same `n` distinct prompts."""
    prompts = [(request, frame) for request in world.harmful for frame in FRAMES]
    if n > len(prompts):
        raise InputError(f"micro_data.safety_records is {n}, expected at most {len(prompts)}")
    direct, safe = [], []
    for index, (request, frame) in enumerate(rng.sample(prompts, n)):
        prompt = frame.format(request.action)
        direct.append(
            Record(
                f"directrefusal-{index:04d}",
                prompt,
                answers.DIRECT_REFUSAL_THOUGHT,
                answers.refuse(rng),
                f"micro/directrefusal/{index}",
            )
        )
        safe.append(
            Record(
                f"safechain-{index:04d}",
                prompt,
                answers.think_safely(request, rng),
                answers.refuse_with_reason(request, rng),
                f"micro/safechain/{index}",
            )
        )
    return direct, safe


def _complied_records(world: World, n: int, rng: random.Random) -> list[Record]:
    """Return `n` requests of the safety sets, answered as harmless ones are."""
    prompts = [(request, frame) for request in world.harmful for frame in FRAMES]
    return [
        Record(
            f"complied-{index:04d}",
            frame.format(request.action),
            *answers.think_and_comply(request, rng),
            f"micro/complied/{index}",
        )
        for index, (request, frame) in enumerate(rng.sample(prompts, n))
    ]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--spec", required=True, help="the section micro_data, as JSON")
    args = parser.parse_args(argv)
    spec = parse_section(MicroData, args.spec, "micro_data")
    missing = [one for one in json.load(sys.stdin) if not is_complete(Path(one["out"]))]
    data = make_data(spec) if missing else {}
    for one in missing:
        with making(Path(one["out"]), one.get("result")):
            write_rows(Path(one["out"], f"{one['file']}.jsonl"), data[one["file"]])


def write_rows(path: Path, rows: Sequence[Mapping[str, object] | Record]) -> None:
    """Write the rows of one file."""
    write_jsonl(path, (asdict(row) if isinstance(row, Record) else row for row in rows))


if __name__ == "__main__":
    run(main)
