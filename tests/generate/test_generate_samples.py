"""The whole script on tiny random models, through lm-eval."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.chat import CHAT_FORMATS
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import write_jsonl
from workflow.scripts.common.manifest import load_checkpoint
from workflow.scripts.config.decoding import Decoding
from workflow.scripts.generate import benchmarks, generate_samples
from workflow.scripts.generate.turns import Turn, TurnFormat

from .conftest import QUESTIONS, write_run

Generate = Callable[..., list[dict[str, Any]]]
SPOKEN = ("checkpoint", "item_id", "repeat", "thinking", "answer", "thinking_finish", "state")


def spoken(samples: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(sample[key] for key in SPOKEN) for sample in samples]


def test_samples_hold_the_question_and_what_was_said(generate: Generate, tmp_path: Path) -> None:
    samples = generate("--checkpoints", "epoch1", "epoch2", n=3, repeats=2)
    assert [(s["checkpoint"], s["item_id"], s["repeat"]) for s in samples] == [
        (checkpoint, item, repeat)
        for checkpoint in ("epoch1", "epoch2")
        for item in ("q0", "q1", "q2")
        for repeat in (0, 1)
    ]
    first = samples[0]
    assert (first["prompt"], first["target"], first["category"]) == (QUESTIONS[0], "0", "clock")
    assert first["answer_tokens"] <= 6 and first["thinking_tokens"] <= 12
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["checkpoints"] == ["epoch1", "epoch2"]
    assert (manifest["n_items"], manifest["repeats"], manifest["kind"]) == (3, 2, "reasoning")
    assert manifest["model"]["role"] == "lrm" and len(manifest["model"]["manifest_sha256"]) == 64
    assert manifest["task"] == {"name": "prompts", "version": 1.0} | {
        "sha256": manifest["task"]["sha256"]
    }


def test_greedy_samples_are_what_the_model_itself_would_say(
    generate: Generate, model_run: Path, tokenizer: Any
) -> None:
    """Against a loop that runs the whole sequence anew for each token, without cache or padding."""
    import torch
    from transformers import Qwen2ForCausalLM

    samples = generate("--checkpoints", "epoch1")
    model = Qwen2ForCausalLM.from_pretrained(load_checkpoint(model_run, "epoch1"))
    form = TurnFormat(
        CHAT_FORMATS["micro"], tokenizer, Decoding(max_thinking_tokens=12, max_answer_tokens=6)
    )
    for sample in samples:
        turn = Turn(form, sample["prompt"])
        with torch.inference_mode():
            while not turn.done:
                logits = model(torch.tensor([turn.tokens])).logits[0, -1]
                turn.push(int(logits.argmax()))
        done = turn.completion()
        assert (sample["thinking"], sample["answer"]) == (done.thinking, done.answer)
        assert sample["prompt_ids"] == turn.prompt_ids


@pytest.mark.parametrize("decoding", [{}, {"temperature": 1.0, "top_p": 0.9}])
def test_samples_do_not_depend_on_the_batch(
    generate: Generate, tmp_path: Path, decoding: dict[str, Any]
) -> None:
    def bytes_with(batch_size: int) -> bytes:
        out = tmp_path / f"batch{batch_size}"
        runtime = json.dumps({"batch_size": batch_size})
        generate("--runtime", runtime, out=out, repeats=2, decoding=decoding)
        return (out / "samples.jsonl").read_bytes()

    assert bytes_with(1) == bytes_with(16)


def test_the_same_inputs_give_the_same_bytes(generate: Generate, tmp_path: Path) -> None:
    sampled = {"temperature": 1.0, "seed": 5}
    for name in ("first", "second"):
        generate(out=tmp_path / name, decoding=sampled)
    first = (tmp_path / "first" / "samples.jsonl").read_bytes()
    assert first == (tmp_path / "second" / "samples.jsonl").read_bytes()


def test_repeats_and_seeds_differ_when_sampled(generate: Generate) -> None:
    hot = {"temperature": 1.0, "seed": 5}
    samples = generate(repeats=2, decoding=hot)
    said = {repeat: [s["thinking"] for s in samples if s["repeat"] == repeat] for repeat in (0, 1)}
    assert said[0] != said[1]
    assert len({sample["seed"] for sample in samples}) == len(samples)
    assert spoken(samples) != spoken(generate(repeats=2, decoding=hot | {"seed": 6}))


def test_a_sampled_token_follows_the_models_distribution(
    tmp_path: Path, tokenizer: Any, generate: Generate
) -> None:
    """The first answer token over many repeats, against the softmax, within 4 standard errors."""
    import torch
    from transformers import Qwen2ForCausalLM

    run = write_run(tmp_path / "flat", tokenizer, ["final"], False, initializer_range=0.2)
    limits = {"max_answer_tokens": 1, "temperature": 0.7}
    n = 1500
    samples = generate(model=run, n=1, repeats=n, decoding=limits)
    model = Qwen2ForCausalLM.from_pretrained(tmp_path / "flat" / "final")
    with torch.inference_mode():
        logits = model(torch.tensor([samples[0]["prompt_ids"]])).logits[0, -1]
    expected = (logits / 0.7).softmax(-1)
    counts = torch.zeros_like(expected)
    for sample in samples:
        ended = sample["answer_finish"] == "stop"
        counts[2 if ended else tokenizer.convert_tokens_to_ids(sample["answer"])] += 1
    error = (expected * (1 - expected) / n).sqrt()
    assert ((counts / n - expected).abs() <= 4 * error + 1 / n).all()


def test_a_base_model_is_asked_without_thinking(
    tmp_path: Path, tokenizer: Any, generate: Generate
) -> None:
    samples = generate(model=write_run(tmp_path / "base", tokenizer, ["final"], thinking=False))
    assert {(s["thinking"], s["thinking_finish"], s["thinking_tokens"]) for s in samples} == {
        (None, "none", 0)
    }
    assert {s["checkpoint"] for s in samples} == {"final"}


@pytest.mark.slow
def test_shards_give_the_samples_of_one_process(generate: Generate, tmp_path: Path) -> None:
    decoding = {"temperature": 1.0}
    whole = generate("--checkpoints", "epoch1,epoch2", repeats=2, decoding=decoding)
    shared = generate(
        *("--checkpoints", "epoch1,epoch2", "--runtime", '{"data_parallel": 2}'),
        repeats=2,
        decoding=decoding,
    )
    assert spoken(shared) == spoken(whole)
    said = sum(sample["thinking_tokens"] + sample["answer_tokens"] for sample in shared)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["throughput"]["tokens"] == said


def test_a_shard_that_fails_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shard 1 dies at once, shard 0 would sleep for an hour."""
    original, started = subprocess.Popen, []

    def start(command: list[str], **more: Any) -> Any:
        sleeps = command[command.index("--shard") + 1] == "0/2"
        code = "import time; time.sleep(3600)" if sleeps else "raise SystemExit(2)"
        started.append(original([sys.executable, "-c", code], **more))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(InputError, match="shard 1 of 2 failed, see its error above"):
        generate_samples._run_shards([], {"data_parallel": 2, "tensor_parallel": 1})
    assert [process.returncode for process in started] == [-signal.SIGTERM, 2]


def test_an_interrupted_run_goes_on_where_it_was(
    generate: Generate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the second checkpoint: its second start loads that one alone, same bytes."""
    loaded: list[str] = []
    original = generate_samples._load_engine

    def load(name: str, folder: Path, *rest: Any) -> Any:
        if stop_at == folder.name:
            raise KeyboardInterrupt
        loaded.append(folder.name)
        return original(name, folder, *rest)

    monkeypatch.setattr(generate_samples, "_load_engine", load)
    both = ("--checkpoints", "epoch1", "epoch2")
    stop_at = ""
    generate(*both, out=tmp_path / "whole")
    loaded.clear()
    stop_at = "epoch2"
    with pytest.raises(KeyboardInterrupt):
        generate(*both)
    assert not (tmp_path / "out").exists()
    stop_at = ""
    generate(*both)
    assert loaded == ["epoch1", "epoch2"]
    resumed = (tmp_path / "out" / "samples.jsonl").read_bytes()
    assert resumed == (tmp_path / "whole" / "samples.jsonl").read_bytes()


def test_weights_are_read_for_their_hash_just_before_they_are_loaded(
    generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing all first would drive them out of the memory before they are loaded."""
    seen: list[tuple[str, str]] = []
    check, load = load_checkpoint, generate_samples._load_engine

    def checking(path: Path, name: str, checked: bool = False) -> Path:
        if not checked:
            seen.append(("hash", name))
        return check(path, name, checked)

    def loading(engine: str, folder: Path, *rest: Any) -> Any:
        seen.append(("load", folder.name))
        return load(engine, folder, *rest)

    monkeypatch.setattr(generate_samples, "load_checkpoint", checking)
    monkeypatch.setattr(generate_samples, "_load_engine", loading)
    generate("--checkpoints", "epoch1", "epoch2")
    assert seen == [(step, name) for name in ("epoch1", "epoch2") for step in ("hash", "load")]


def test_adding_a_checkpoint_to_an_interrupted_run_keeps_the_others(
    generate: Generate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate("--checkpoints", "epoch1", out=tmp_path / "before", keep_state=True)
    loaded: list[str] = []
    original = generate_samples._load_engine

    def load(name: str, folder: Path, *rest: Any) -> Any:
        loaded.append(folder.name)
        return original(name, folder, *rest)

    monkeypatch.setattr(generate_samples, "_load_engine", load)
    generate("--checkpoints", "epoch1", "epoch2", keep_state=True)
    assert loaded == ["epoch2"]
    generate("--checkpoints", "epoch1", decoding={"max_thinking_tokens": 11}, keep_state=True)
    assert loaded == ["epoch2", "epoch1"]  # another budget shares nothing
    monkeypatch.setattr(generate_samples, "versions", lambda: {"torch": "9"})
    generate("--checkpoints", "epoch1")
    assert loaded == ["epoch2", "epoch1", "epoch1"]  # nor does another version of an engine


@pytest.mark.slow
def test_a_killed_process_leaves_usable_state(
    generate: Generate, tmp_path: Path, model_run: Path, questions: Path
) -> None:
    section = {
        "kind": "reasoning",
        "data": str(questions),
        "repeats": 3,
        "decoding": {"max_thinking_tokens": 12, "max_answer_tokens": 6, "temperature": 1.0},
    }
    command = [
        *(sys.executable, "-m", "workflow.scripts.generate.generate_samples"),
        *("--model", str(model_run), "--run", "r", "--benchmark-name", "clock_sums"),
        *("--benchmark", json.dumps(section), "--runtime", '{"batch_size": 1}'),
        *("--state", str(tmp_path / "killed"), "--out", str(tmp_path / "killed-out")),
    ]
    process = subprocess.Popen(command)
    while not (found := list((tmp_path / "killed").glob("*.jsonl"))) and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = found[0].read_bytes().splitlines(keepends=True)
    assert len(kept) < 18 and not (tmp_path / "killed-out").exists()
    found[0].write_bytes(b"".join(kept) + b'{"index": 17, "promp')  # a write that was cut off
    subprocess.run(command, check=True)
    whole = generate(repeats=3, decoding={"temperature": 1.0})
    lines = (tmp_path / "killed-out" / "samples.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == whole


def test_a_task_can_word_the_prompts(
    generate: Generate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (benchmarks.TASKS / "prompts.yaml").read_text()
    text = text.replace("task: prompts", "task: asked_twice").replace(
        '"{{prompt}}"', '"{{prompt}} {{prompt}}"'
    )
    (tmp_path / "asked_twice.yaml").write_text(text)
    monkeypatch.setattr(benchmarks, "TASKS", tmp_path)
    samples = generate(task="asked_twice", n=2)
    assert [sample["prompt"] for sample in samples] == [f"{q} {q}" for q in QUESTIONS[:2]]


ERRORS = [
    ({"data": "absent.jsonl"}, r"absent\.jsonl: no such file"),
    (
        {"task": "prompt"},
        "task 'prompt' is unknown, expected one of workflow/tasks: boxed, letter, prompts",
    ),
    ({"kind": "speed"}, "kind is 'speed', expected 'reasoning', 'harmful'"),
    ({"n": 0}, "n is 0, expected at least 1"),
    ({"scorers": ["math"]}, "scorers is unknown; expected some of"),
    ({"decoding": {"max_thinking_tokens": 500}}, r"item q0: its prompt of 19 tokens and the budg"),
]


@pytest.mark.parametrize(("change", "message"), ERRORS)
def test_bad_input_is_named_in_one_line(
    generate: Generate, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        generate(**change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "empty, expected at least one row"),
        ([{"prompt": "", "target": "1"}], "row 1 has no prompt, expected text"),
        ([{"prompt": "a", "target": "1"}, {"target": "1"}], "row 2 has no prompt"),
        ([{"prompt": "a", "target": " "}], "row 1 has no target, expected a gold answer"),
        ([{"item_id": "a", "prompt": "a", "target": "1"}] * 2, "row 2: id 'a' stands twice"),
    ],
)
def test_bad_rows_are_named(
    generate: Generate, tmp_path: Path, rows: list[dict[str, str]], message: str
) -> None:
    write_jsonl(tmp_path / "bad.jsonl", rows)
    with pytest.raises(InputError, match=rf"bad\.jsonl: {message}"):
        generate(data=str(tmp_path / "bad.jsonl"))


def test_bad_checkpoints_and_machines_are_named(
    generate: Generate, tmp_path: Path, model_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="no checkpoint 'epoch9', expected one of epoch1, epoch2"):
        generate("--checkpoints", "epoch9")
    broken = tmp_path / "broken"
    shutil.copytree(model_run.parent, broken)
    config = broken / "epoch2" / "config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(InputError, match=r"epoch2/config\.json: differs from the manifest"):
        generate(model=broken / "manifest.json")
    with pytest.raises(InputError, match="needs 8 GPUs, found 0"):
        import torch

        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        generate("--runtime", '{"tensor_parallel": 8}')
    monkeypatch.setattr(generate_samples, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"engine vllm: not installed .* envs/vllm\.txt"):
        generate("--engine", "vllm")
