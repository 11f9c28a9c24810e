"""Overlap of training sets and benchmarks: what counts, at which level, and the interval."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json, write_jsonl
from workflow.scripts.common.result import read_result
from workflow.scripts.data import measure_overlap
from workflow.scripts.data.folding import fold

LONG = "A train leaves the old station at noon and rides for nine hours through the quiet hills"


def record(number: int, prompt: str, thinking: str | None = None, answer: str = "Yes.") -> dict:
    return {
        "id": str(number),
        "prompt": prompt,
        "thinking": thinking,
        "answer": answer,
        "source": "test",
    }


def measure(folder: Path, train: list[dict], benchmark: list[dict], *options: str) -> dict:
    write_jsonl(folder / "train.jsonl", train)
    write_jsonl(folder / "bench.jsonl", benchmark)
    measure_overlap.main(
        [
            *("--train", f"t={folder / 'train.jsonl'}"),
            *("--benchmarks", f"b={folder / 'bench.jsonl'}"),
            *("--out", str(folder), "--result", json.dumps({"name": "overlap", "spec": {}})),
            *options,
        ]
    )
    assert "overlap.json" in read_result(folder)["files"]
    return read_json(folder / "overlap.json")


def test_levels_tell_exact_from_normalised_from_ngram(tmp_path: Path) -> None:
    benchmark = [
        {"item_id": "same", "prompt": "How do I bake a cake?"},
        {"item_id": "case", "prompt": "how do I  paint a, wall"},
        {"item_id": "part", "prompt": LONG + ". How far does it get at sixty an hour?"},
        {"item_id": "new", "prompt": "How do I mend a clock?"},
    ]
    train = [
        record(0, "How do I bake a cake?"),
        record(1, "How do I paint a wall?"),
        record(2, "Read this.", thinking="It says: " + LONG + ", which is far."),
    ]
    pair = measure(tmp_path, train, benchmark)["pairs"][0]
    assert pair["exact"]["items"] == ["same"]
    assert pair["normalised"]["items"] == ["same", "case"]
    assert pair["ngram"]["items"] == ["same", "case", "part"]
    assert (pair["n_train"], pair["n_benchmark"]) == (3, 4)
    assert pair["ngram"]["share"] == 0.75


def test_a_gram_has_n_words_and_never_crosses_texts(tmp_path: Path) -> None:
    words = LONG.split()
    benchmark = [{"item_id": "x", "prompt": LONG}]
    train = [record(0, " ".join(words[:12]), thinking=" ".join(words[12:]))]
    assert measure(tmp_path, train, benchmark)["pairs"][0]["ngram"]["count"] == 0
    assert measure(tmp_path, train, benchmark, "--ngram", "12")["pairs"][0]["ngram"]["count"] == 1
    train = [record(0, " ".join(words[1:14]))]
    assert measure(tmp_path, train, benchmark)["pairs"][0]["ngram"]["count"] == 1


def test_a_prompt_inside_a_text_of_a_corpus_is_exact(tmp_path: Path) -> None:
    benchmark = [
        {"item_id": "long", "prompt": LONG + "?"},
        {"item_id": "case", "prompt": "WHO PAINTS A WALL?"},
        {"item_id": "cut", "prompt": "paint a wal"},
    ]
    train = [{"text": f"Problem: {LONG}? Solution: far. Who paints a wall?"}]
    pair = measure(tmp_path, train, benchmark)["pairs"][0]
    assert pair["exact"]["items"] == ["long"]
    assert pair["normalised"]["items"] == ["long", "case"]


def test_repeated_prompts_of_a_benchmark_are_listed(tmp_path: Path) -> None:
    prompts = ["One clock?", "one clock", "One clock?", "Two clocks?", "?!", "!?"]
    benchmark = [{"item_id": f"i{n}", "prompt": prompt} for n, prompt in enumerate(prompts)]
    own = measure(tmp_path, [record(0, "Else?")], benchmark)["benchmarks"]["b"]
    assert own["n"] == 6
    assert own["exact"] == {"extra": 1, "groups": [["i0", "i2"]]}
    assert own["normalised"] == {"extra": 2, "groups": [["i0", "i1", "i2"]]}


@pytest.mark.parametrize(("successes", "n"), [(0, 30), (3, 30), (30, 30), (37, 1000), (1, 1)])
def test_interval_is_scipys_wilson_interval(successes: int, n: int) -> None:
    from scipy.stats import binomtest

    expected = binomtest(successes, n).proportion_ci(method="wilson")
    benchmark = measure_overlap.index_benchmark({f"i{k}": f"prompt {k}" for k in range(n)}, 13)
    items = {f"i{k}" for k in range(successes)}
    found = dict.fromkeys(measure_overlap.LEVELS, items)
    level = measure_overlap.describe_overlap(found, benchmark)["ngram"]
    low, high = level["low"], level["high"]
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert (low == 0) == (successes == 0) and (high == 1) == (successes == n)


def test_agrees_with_a_plain_search_on_many_texts(tmp_path: Path) -> None:
    """The index against the definition written out: every n-gram searched in every text."""
    import random

    rng = random.Random(0)
    draw = lambda n: " ".join(rng.choice("abcd") for _ in range(n))  # noqa: E731
    benchmark = {str(n): draw(rng.randint(1, 9)) for n in range(150)}
    texts = [draw(rng.randint(1, 9)) for _ in range(60)]
    expected = set()
    for item, prompt in benchmark.items():
        words = prompt.split()
        grams = [" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))]
        if any(f" {gram} " in f" {text} " for gram in grams for text in texts):
            expected.add(item)
    training = measure_overlap.Training(60, None, {text: fold(text) for text in texts})
    found = measure_overlap.find_overlap(training, measure_overlap.index_benchmark(benchmark, 5))
    assert found["ngram"] == expected
    assert 0 < len(expected) < 150
    whole = {i for i, p in benchmark.items() if any(f" {p} " in f" {t} " for t in texts)}
    assert found["exact"] == found["normalised"] == whole


def test_ten_thousand_documents_take_seconds(tmp_path: Path) -> None:
    import random

    rng = random.Random(1)
    words = [f"w{n}" for n in range(500)]
    text = lambda: "How do I " + " ".join(rng.choice(words) for _ in range(40))  # noqa: E731
    train = [{"text": text()} for _ in range(10_000)]
    benchmark = [{"item_id": str(n), "prompt": text()[:40]} for n in range(500)]
    start = time.perf_counter()
    measure(tmp_path, train, benchmark)
    assert time.perf_counter() - start < 5  # a third of one on an idle core


@pytest.mark.parametrize(
    ("train", "benchmark", "words"),
    [
        ([{"question": "x"}], [{"item_id": "0", "prompt": "x"}], "'prompt' (records)"),
        ([{"text": "x"}], [{"item_id": "0", "problem": "x"}], "no text in field 'prompt'"),
        ([{"text": "x"}], [{"item_id": "0", "prompt": "x"}] * 2, "appears twice"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, train: list, benchmark: list, words: str) -> None:
    with pytest.raises(InputError) as error:
        measure(tmp_path, train, benchmark)
    assert words in str(error.value)


def test_line_separators_inside_texts_do_not_split_lines(tmp_path: Path) -> None:
    row = json.dumps({"item_id": "u", "prompt": "one\u2028two"}, ensure_ascii=False)
    (tmp_path / "b.jsonl").write_text(row + "\n")
    assert measure_overlap.read_prompts(tmp_path / "b.jsonl", "prompt") == {"u": "one\u2028two"}
