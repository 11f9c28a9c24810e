"""Measure how much of each benchmark appears in each training set.

Reads training files (records, or text corpora `{"text"}`) and benchmark files (`{"item_id",
"prompt"}`) and writes overlap.json: per pair of training set and benchmark the exact, normalised
and n-gram overlap as count, share, Wilson interval and item ids (so that a score can also be
computed on the clean items), and per benchmark its own repeated prompts.

python -m workflow.scripts.data.measure_overlap --out overlap \
    --train directrefusal=directrefusal.jsonl --benchmarks harmful=harmful.jsonl
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.intervals import proportion
from workflow.scripts.common.io import read_jsonl, sha256_file, write_json
from workflow.scripts.common.result import making
from workflow.scripts.data.folding import Words, fold

LEVELS = ("exact", "normalised", "ngram")


class Repeats(TypedDict):
    """Items of a benchmark with the same prompt."""

    extra: int  # items beyond each group's first
    groups: list[list[str]]  # item ids


class BenchmarkRepeats(TypedDict):
    """A benchmark's own repeated prompts, by what counts as the same."""

    n: int  # its items
    exact: Repeats
    normalised: Repeats


class LevelOverlap(TypedDict):
    """The items of a benchmark that stand in a training set, at one level."""

    count: int
    share: float | None
    low: float | None  # of its 95 % interval
    high: float | None
    items: list[str]  # ids, in benchmark order


class Overlap(TypedDict):
    """The overlap of a benchmark with a training set at each level, see `find_overlap`."""

    exact: LevelOverlap
    normalised: LevelOverlap
    ngram: LevelOverlap


class Pair(Overlap):
    """A training set and a benchmark in overlap.json, by name, with their overlap."""

    train: str
    benchmark: str
    n_train: int
    n_benchmark: int


class FileHashes(TypedDict):
    """The sha256 of each file by the name of its set."""

    train: dict[str, str]
    benchmarks: dict[str, str]


class OverlapReport(TypedDict):
    """What overlap.json holds."""

    format: int
    ngram: int  # words of an n-gram
    sha256: FileHashes
    benchmarks: dict[str, BenchmarkRepeats]
    pairs: list[Pair]


@dataclass(frozen=True)
class Training:
    """A training set: whole prompts (None for a text corpus) and each text with its words."""

    n: int
    prompts: frozenset[str] | None
    texts: dict[str, Words]


def read_training(path: str | Path) -> Training:
    """Read records (prompt, thinking and answer are its texts) or a corpus of `{"text"}` rows."""
    rows = list(read_jsonl(path))
    if all("prompt" in row for row in rows):
        texts = {row.get(key) for row in rows for key in ("prompt", "thinking", "answer")}
        prompts = frozenset(row["prompt"].strip() for row in rows)
        return Training(len(rows), prompts, {text: fold(text) for text in texts if text})
    if all("text" in row for row in rows):
        return Training(len(rows), None, {text: fold(text) for text in {r["text"] for r in rows}})
    raise InputError(f"{path}: expected every row to have 'prompt' (records) or 'text' (a corpus)")


@dataclass(frozen=True)
class Benchmark:
    """Prompts by item id, with an index of their n-grams.

    Attributes:
        prompts: Item id to prompt, stripped.
        words: Item id to folded prompt.
        grams: N-gram to the (item id, position of the n-gram in its prompt) that hold it. A prompt
            of fewer than n words is one gram of all its words.
        heads: First word of a gram, then its second ("" where there is none), to the lengths of
            the grams that begin so. A scan over the training texts looks these up.
    """

    prompts: dict[str, str]
    words: dict[str, Words]
    grams: dict[Words, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    heads: dict[str, dict[str, set[int]]] = field(default_factory=dict)


def index_benchmark(prompts: dict[str, str], ngram: int) -> Benchmark:
    """Return the index of a benchmark's prompts (item id to prompt)."""
    prompts = {item: prompt.strip() for item, prompt in prompts.items()}
    benchmark = Benchmark(prompts, {item: fold(prompt) for item, prompt in prompts.items()})
    for item, words in benchmark.words.items():
        length = min(ngram, len(words))
        for start in range(len(words) - length + 1) if words else ():
            gram = words[start : start + length]
            benchmark.grams[gram].append((item, start))
            second = gram[1] if length > 1 else ""
            benchmark.heads.setdefault(gram[0], {}).setdefault(second, set()).add(length)
    return benchmark


def find_overlap(training: Training, benchmark: Benchmark) -> dict[str, set[str]]:
    """Return, per level, the ids of the benchmark items that stand in the training set.

    `exact`: the prompt is a training prompt, or occurs in a text of a corpus (at word boundaries).
    `normalised`: the same over folded words. `ngram`: any n-gram of the prompt occurs in any text
    of the training set, thinking and answers included.
    """
    found: dict[str, set[str]] = {level: set() for level in LEVELS}
    if training.prompts is not None:
        folded = {fold(prompt) for prompt in training.prompts} - {()}
        for item, prompt in benchmark.prompts.items():
            if prompt in training.prompts:
                found["exact"].add(item)
            if benchmark.words[item] in folded:
                found["normalised"].add(item)
    for text, words in training.texts.items():
        for start, item, position in find_grams(words, benchmark):
            found["ngram"].add(item)
            if training.prompts is not None or position > 0:
                continue
            whole = benchmark.words[item]
            if words[start : start + len(whole)] == whole:
                found["normalised"].add(item)
                if benchmark.prompts[item] in text:
                    found["exact"].add(item)
    found["normalised"] |= found["exact"]
    found["ngram"] |= found["normalised"]
    return found


def find_grams(words: Words, benchmark: Benchmark) -> Iterator[tuple[int, str, int]]:
    """Yield (place in `words`, item id, place in its prompt) of each n-gram of the benchmark."""
    for start, word in enumerate(words):
        seconds = benchmark.heads.get(word)
        if seconds is None:
            continue
        following = words[start + 1] if start + 1 < len(words) else ""
        for length in {n for second in ("", following) for n in seconds.get(second, ())}:
            for item, position in benchmark.grams.get(words[start : start + length], ()):
                yield start, item, position


def find_repeats(values: Iterable[tuple[str, Any]]) -> list[list[str]]:
    """Return the groups of item ids that share a value, in order of first appearance."""
    groups: dict[Any, list[str]] = defaultdict(list)
    for item, value in values:
        groups[value].append(item)
    return [items for items in groups.values() if len(items) > 1]


def describe_benchmark(benchmark: Benchmark) -> BenchmarkRepeats:
    """Return n and the repeated prompts."""

    def describe(values: Iterable[tuple[str, Any]]) -> Repeats:
        groups = find_repeats(values)
        return {"extra": sum(len(group) - 1 for group in groups), "groups": groups}

    return {
        "n": len(benchmark.prompts),
        "exact": describe(benchmark.prompts.items()),
        "normalised": describe((item, words) for item, words in benchmark.words.items() if words),
    }


def describe_overlap(found: dict[str, set[str]], benchmark: Benchmark) -> Overlap:
    """Return count, share, Wilson interval and item ids of each level."""

    def describe(level: str) -> LevelOverlap:
        items = [item for item in benchmark.prompts if item in found[level]]
        share = proportion(len(items), len(benchmark.prompts))
        return {
            "count": len(items),
            "share": share.estimate,
            "low": share.low,
            "high": share.high,
            "items": items,
        }

    return {
        "exact": describe("exact"),
        "normalised": describe("normalised"),
        "ngram": describe("ngram"),
    }


def read_prompts(path: str | Path, field_name: str) -> dict[str, str]:
    """Return item id (or row number, where there is none) to the text of a field."""
    prompts: dict[str, str] = {}
    for number, row in enumerate(read_jsonl(path)):
        item = str(row.get("item_id", row.get("id", number)))
        if not isinstance(row.get(field_name), str):
            raise InputError(f"{path}: row {number + 1}: no text in field {field_name!r}")
        if item in prompts:
            raise InputError(f"{path}: row {number + 1}: item_id {item!r} appears twice")
        prompts[item] = row[field_name]
    return prompts


def named_paths(values: list[str], option: str) -> dict[str, str]:
    """Parse NAME=path arguments; names must differ."""
    named: dict[str, str] = {}
    for value in values:
        name, separator, path = value.partition("=")
        if not (name and separator and path):
            raise InputError(f"{option}: {value!r}, expected NAME=path")
        if name in named:
            raise InputError(f"{option}: name {name!r} appears twice")
        named[name] = path
    return named


def measure(train: dict[str, str], tested: dict[str, str], ngram: int, key: str) -> OverlapReport:
    """Return what overlap.json holds.

    Args:
        train: Paths of the training sets by name.
        tested: Paths of the benchmarks by name.
        ngram: Words of an n-gram.
        key: The benchmarks' field that holds the prompt.
    """
    benchmarks = {
        name: index_benchmark(read_prompts(path, key), ngram) for name, path in tested.items()
    }
    pairs: list[Pair] = []
    for train_name, path in train.items():
        training = read_training(path)
        for name, benchmark in benchmarks.items():
            found = find_overlap(training, benchmark)
            pairs.append(
                {
                    "train": train_name,
                    "benchmark": name,
                    "n_train": training.n,
                    "n_benchmark": len(benchmark.prompts),
                    **describe_overlap(found, benchmark),
                }
            )
    return {
        "format": 1,
        "ngram": ngram,
        "sha256": {
            "train": {name: sha256_file(path) for name, path in train.items()},
            "benchmarks": {name: sha256_file(path) for name, path in tested.items()},
        },
        "benchmarks": {name: describe_benchmark(b) for name, b in benchmarks.items()},
        "pairs": pairs,
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", nargs="+", required=True, metavar="NAME=PATH")
    parser.add_argument("--benchmarks", nargs="+", required=True, metavar="NAME=PATH")
    parser.add_argument("--field", default="prompt", help="benchmark field that holds the prompt")
    parser.add_argument("--ngram", type=int, default=13, help="words per n-gram (default: 13)")
    parser.add_argument("--out", type=Path, required=True, help="folder of overlap.json")
    parser.add_argument("--result", type=json.loads, help="what it is made from, as JSON")
    args = parser.parse_args(argv)
    if args.ngram < 1:
        raise InputError(f"--ngram is {args.ngram}, expected 1 or more")
    train = named_paths(args.train, "--train")
    benchmarks = named_paths(args.benchmarks, "--benchmarks")
    with making(args.out, args.result):
        overlap = measure(train, benchmarks, args.ngram, args.field)
        write_json(args.out / "overlap.json", overlap)


if __name__ == "__main__":
    run(main)
