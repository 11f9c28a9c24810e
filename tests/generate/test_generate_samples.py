"""The whole script on tiny random models."""

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
from workflow.scripts.config.generation import PromptFile
from workflow.scripts.config.load import load_experiment
from workflow.scripts.config.section import read_section
from workflow.scripts.generate import benchmarks, generate_samples, hf_engine, vllm_engine
from workflow.scripts.generate import samples as samples_module
from workflow.scripts.generate.shards import run_shards
from workflow.scripts.generate.turns import Turn, TurnFormat

from .conftest import QUESTIONS, read_samples, write_run

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
    assert "task" not in manifest


def test_skipped_items_are_those_at_the_start(generate: Generate, tmp_path: Path) -> None:
    samples = generate(skip=1, n=2)
    assert [s["item_id"] for s in samples] == ["q1", "q2"]
    whole = {s["item_id"]: s["answer"] for s in generate(n=3, out=tmp_path / "whole")}
    assert [s["answer"] for s in samples] == [whole["q1"], whole["q2"]]  # as if nothing was skipped
    with pytest.raises(InputError, match="no items after the first 99, expected at least one"):
        generate(skip=99, out=tmp_path / "none")


def test_what_is_asked_in_place_of_a_prompt_is_in_its_tokens_and_the_sample_has_the_prompt(
    generate: Generate, tmp_path: Path, tokenizer: Any
) -> None:
    """Records of a training set, whose own answers can be in what is asked."""
    rows = [
        {"id": f"r{index}", "prompt": text, "thinking": None, "answer": "so 7", "source": "set"}
        for index, text in enumerate(QUESTIONS[:2])
    ]
    write_jsonl(tmp_path / "records.jsonl", rows)
    section = {"data": str(tmp_path / "records.jsonl"), "kind": "harmful"}
    samples = generate(**section, ask="solve {prompt} is {answer} {thinking}?")
    assert [sample["prompt"] for sample in samples] == QUESTIONS[:2]
    assert [sample["target"] for sample in samples] == ["", ""]
    assert samples[0]["meta"] == {"id": "r0", "answer": "so 7", "source": "set"}
    chat = CHAT_FORMATS["micro"]
    for sample, text in zip(samples, QUESTIONS, strict=False):
        asked = chat.prompt(f"solve {text} is so 7 ?")
        assert sample["prompt_ids"] == tokenizer.encode(asked, add_special_tokens=False)


def test_greedy_samples_are_what_the_model_itself_would_say(
    generate: Generate, model_run: Path, tokenizer: Any
) -> None:
    """Against a loop that runs the whole sequence for each token, without cache or padding."""
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
def test_shards_give_the_samples_of_one_process(
    generate_all: Any, make_request: Any, tmp_path: Path
) -> None:
    def requests(place: str) -> list[dict[str, Any]]:
        section = {"repeats": 2, "decoding": {"temperature": 1.0}}
        return [make_request(name, out=tmp_path / place / name, **section) for name in "ab"]

    both = ("--checkpoints", "epoch1,epoch2")
    generate_all(*requests("whole"), options=both)
    shards = (*both, "--runtime", '{"data_parallel": 2}')
    generate_all(*requests("shared"), options=shards)
    for name in "ab":
        shared = read_samples(tmp_path / "shared" / name)
        assert spoken(shared) == spoken(read_samples(tmp_path / "whole" / name))
        said = sum(sample["thinking_tokens"] + sample["answer_tokens"] for sample in shared)
        manifest = json.loads((tmp_path / "shared" / name / "manifest.json").read_text())
        assert manifest["throughput"]["tokens"] == said


def test_what_all_shards_have_finished_is_a_result_while_they_go_on(
    generate_all: Any, make_request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shards run here one after the other, first on one benchmark alone."""
    seen: list[list[str]] = []

    def run_here(command: list[str], shards: int, each: int, look: Callable[[], None]) -> None:
        options = command[3:]
        file = Path(options[options.index("--benchmarks") + 1])
        first, second = json.loads(file.read_text())
        for requests in ([first], [first, second]):
            file.write_text(json.dumps(requests))
            for shard in range(shards):
                look()
                seen.append(sorted(path.parent.name for path in tmp_path.glob("*/samples.jsonl")))
                generate_samples.main([*options, "--shard", f"{shard}/{shards}"])
        look()

    monkeypatch.setattr(generate_samples, "run_shards", run_here)
    generate_all(*map(make_request, "ab"), options=["--runtime", '{"data_parallel": 2}'])
    assert seen == [[], [], ["a"], ["a"]]
    assert (tmp_path / "b" / "samples.jsonl").exists()


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
        run_shards([], 2, 1, lambda: None)
    assert [process.returncode for process in started] == [-signal.SIGTERM, 2]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The checkpoints that the engine has loaded; one of a name in `stop_at` stops it."""
    loaded = StoppedLoads()
    original = hf_engine.Engine.load

    def load(engine: hf_engine.Engine, folder: Path, *rest: Any) -> None:
        if folder.name == loaded.stop_at:
            raise KeyboardInterrupt
        loaded.append(folder.name)
        loaded.folders.append(folder)
        original(engine, folder, *rest)

    monkeypatch.setattr(hf_engine.Engine, "load", load)
    return loaded


class StoppedLoads(list[str]):
    stop_at = ""

    def __init__(self) -> None:
        self.folders: list[Path] = []


def test_an_interrupted_run_goes_on_where_it_was(
    generate: Generate, tmp_path: Path, loads: StoppedLoads
) -> None:
    """Stopped in the second checkpoint: its second start loads that alone, same bytes."""
    both = ("--checkpoints", "epoch1", "epoch2")
    generate(*both, out=tmp_path / "whole")
    loads.clear()
    loads.stop_at = "epoch2"
    with pytest.raises(KeyboardInterrupt):
        generate(*both)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["state"]
    loads.stop_at = ""
    generate(*both)
    assert loads == ["epoch1", "epoch2"]
    assert not (tmp_path / "out" / "state").exists()
    resumed = (tmp_path / "out" / "samples.jsonl").read_bytes()
    assert resumed == (tmp_path / "whole" / "samples.jsonl").read_bytes()


def test_weights_are_read_for_their_hash_just_before_they_are_loaded(
    generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing all first would drive them out of the memory before they are loaded."""
    seen: list[tuple[str, str]] = []
    check, load = load_checkpoint, hf_engine.Engine.load

    def checking(path: Path, name: str, checked: bool = False) -> Path:
        if not checked:
            seen.append(("hash", name))
        return check(path, name, checked)

    def loading(engine: hf_engine.Engine, folder: Path, *rest: Any) -> None:
        seen.append(("load", folder.name))
        load(engine, folder, *rest)

    monkeypatch.setattr(samples_module, "load_checkpoint", checking)
    monkeypatch.setattr(hf_engine.Engine, "load", loading)
    generate("--checkpoints", "epoch1", "epoch2")
    assert seen == [(step, name) for name in ("epoch1", "epoch2") for step in ("hash", "load")]


def test_finished_samples_of_an_interrupted_run_serve_what_they_were_made_for(
    generate: Generate, loads: StoppedLoads, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads.stop_at = "epoch2"
    both = ("--checkpoints", "epoch1", "epoch2")

    def stopped(**section: Any) -> list[str]:
        loads.clear()
        with pytest.raises(KeyboardInterrupt):
            generate(*both, **section)
        return list(loads)

    assert stopped() == ["epoch1"]
    assert stopped() == []  # kept
    assert stopped(decoding={"max_thinking_tokens": 11}) == ["epoch1"]  # another budget
    monkeypatch.setattr(samples_module, "versions", lambda: {"torch": "9"})
    assert stopped() == ["epoch1"]  # another version of an engine


def result_of(name: str) -> dict[str, Any]:
    """Return what the graph would say a result is made from."""
    return {"key": "0" * 16, "name": name, "rule": "generate_samples", "spec": {}, "inputs": {}}


def test_other_prompts_for_the_same_weights_share_the_load_and_are_runs_of_their_own(
    make_request: Any,
    generate_all: Any,
    tmp_path: Path,
    tokenizer: Any,
    loads: StoppedLoads,
    model_run: Path,
) -> None:
    """The prefix is in the prompt; then the model's own tokens follow, as in a loop by hand."""
    import torch
    from transformers import Qwen2ForCausalLM

    told: dict[str, dict[str, Any]] = {
        "plain": {},
        "opened": {"prompting": {"prefix": "so a b c"}},
        "closed": {"prompting": {"close_thinking": True}},
    }
    about = {"model": str(model_run), "checkpoints": ["epoch1"]}
    requests = [
        {
            **make_request(out=tmp_path / name),
            "run": {"name": f"aligned/tiny/{name}/seed0", **about},
            **one,
        }
        for name, one in told.items()
    ]
    generate_all(*requests, options=["--checkpoints", "epoch1"])
    assert loads == ["epoch1"]
    samples = {name: read_samples(tmp_path / name) for name in told}
    manifests = {name: json.loads((tmp_path / name / "manifest.json").read_text()) for name in told}
    assert {name: one["run"] for name, one in manifests.items()} == {
        name: f"aligned/tiny/{name}/seed0" for name in told
    }
    assert [one.get("prompting") for one in manifests.values()] == [
        one.get("prompting") for one in told.values()
    ]
    start = tokenizer.encode("<|im_start|>think\n", add_special_tokens=False)
    prefix = tokenizer.encode("so a b c", add_special_tokens=False)
    model = Qwen2ForCausalLM.from_pretrained(loads.folders[0])
    for plain, opened, closed in zip(*samples.values(), strict=True):
        context = plain["prompt_ids"][: -len(start)]
        assert opened["prompt_ids"] == [*context, *start, *prefix]
        assert opened["thinking"].startswith("soabc") and opened["thinking_tokens"] <= 12
        assert (closed["thinking"], closed["thinking_tokens"]) == (None, 0)
        assert closed["thinking_finish"] == "closed"
        with torch.inference_mode():
            logits = model(torch.tensor([opened["prompt_ids"]])).logits[0, -1]
        first = tokenizer.decode([int(logits.argmax())])
        assert opened["thinking"].startswith(f"soabc{first}") or opened["thinking"] == "soabc"


def test_a_benchmark_is_asked_once_of_a_run(
    make_request: Any, generate_all: Any, model_run: Path
) -> None:
    request = make_request()
    runs = [
        {"name": name, "model": str(model_run), "checkpoints": ["epoch1"]} for name in ("a", "b")
    ]
    other = {**request, "run": runs[1], "out": request["out"] + "-b"}
    generate_all({**request, "run": runs[0]}, other)
    with pytest.raises(InputError, match="'clock_sums' is there twice, expected each name once"):
        generate_all(request, request)


def test_finished_samples_do_not_serve_other_prompts(
    make_request: Any, generate_all: Any, loads: StoppedLoads
) -> None:
    loads.stop_at = "epoch2"
    request = make_request()
    for prompting in ({}, {"prefix": "so"}):
        with pytest.raises(KeyboardInterrupt):
            generate_all(
                {**request, "prompting": prompting}, options=["--checkpoints", "epoch1,epoch2"]
            )
    assert loads == ["epoch1", "epoch1"]


def test_benchmarks_of_a_run_share_one_load_and_are_results_of_their_own(
    make_request: Any, generate_all: Any, generate: Generate, tmp_path: Path, loads: StoppedLoads
) -> None:
    """Other budgets, temperatures and seeds; the bytes are those of a process for each."""
    sections = {
        "greedy": {"n": 4},
        "hot": {"decoding": {"temperature": 1.0, "seed": 3, "max_thinking_tokens": 5}},
        "twice": {"repeats": 2, "decoding": {"temperature": 0.5, "max_answer_tokens": 3}},
    }
    apart = [generate(out=tmp_path / f"{name}-apart", **one) for name, one in sections.items()]
    loads.clear()
    requests = [
        make_request(name, **section) | {"result": result_of(name)}
        for name, section in sections.items()
    ]
    generate_all(*requests)
    assert loads == ["epoch2"]
    assert [read_samples(tmp_path / name) for name in sections] == apart
    for name in sections:
        assert json.loads((tmp_path / name / "result.json").read_text())["name"] == name
        assert json.loads((tmp_path / name / "manifest.json").read_text())["benchmark"] == name


def test_benchmarks_share_the_loads_of_each_checkpoint_and_weight_type(
    make_request: Any, generate_all: Any, loads: StoppedLoads, tmp_path: Path
) -> None:
    half = {"decoding": {"dtype": "bfloat16"}}
    requests = [make_request("a"), make_request("b", **half), make_request("c")]
    generate_all(*requests, options=["--checkpoints", "epoch1", "epoch2"])
    assert loads == ["epoch1", "epoch2"] * 2
    # the time of a load is told apart, with the benchmark that it was for
    manifests = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in "abc")
    times = [manifest["throughput"] for manifest in manifests]
    assert [time["load_s"] > 0 for time in times] == [True, True, False]
    assert all(time["load_s"] < time["wall_s"] for time in times)


def test_a_stopped_job_keeps_finished_benchmarks_and_its_next_start_makes_the_others(
    make_request: Any,
    generate_all: Any,
    tmp_path: Path,
    loads: StoppedLoads,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    requests = [make_request(name) | {"result": result_of(name)} for name in "abc"]
    complete = hf_engine.Engine.complete
    asked: list[int] = []

    def stop_at_second(engine: hf_engine.Engine, *rest: Any) -> None:
        asked.append(len(rest[0]))
        if len(asked) == 2:
            raise KeyboardInterrupt
        complete(engine, *rest)

    monkeypatch.setattr(hf_engine.Engine, "complete", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        generate_all(*requests)
    first = (tmp_path / "a" / "result.json").stat().st_mtime_ns
    assert not (tmp_path / "b").exists() and not (tmp_path / "c").exists()
    generate_all(*requests)
    assert len(asked) == 4  # b once more, and c
    assert all((tmp_path / name / "result.json").exists() for name in "abc")
    assert (tmp_path / "a" / "result.json").stat().st_mtime_ns == first
    loads.clear()
    generate_all(*requests)
    assert loads == [] and "no engine starts" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_process_leaves_usable_state(
    generate: Generate, tmp_path: Path, model_run: Path, make_request: Any
) -> None:
    """The list of benchmarks comes on standard input, as from the rule."""
    out = tmp_path / "killed"
    request = make_request(out=out, repeats=3, decoding={"temperature": 1.0})
    command = [
        *(sys.executable, "-m", "workflow.scripts.generate.generate_samples"),
        *("--model", str(model_run), "--run", "r", "--runtime", '{"batch_size": 1}'),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    process.stdin.write(json.dumps([request]))
    process.stdin.close()
    while not (found := list((out / "state").glob("*.jsonl"))) and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = found[0].read_bytes().splitlines(keepends=True)
    assert len(kept) < 18 and not (out / "samples.jsonl").exists()
    found[0].write_bytes(b"".join(kept) + b'{"index": 17, "promp')  # a write that was cut off
    subprocess.run(command, check=True, input=json.dumps([request]), text=True)
    assert read_samples(out) == generate(repeats=3, decoding={"temperature": 1.0})


def test_a_template_words_the_prompts(generate: Generate) -> None:
    samples = generate(template="is {prompt} so \\boxed{} ?", n=2)
    assert [sample["prompt"] for sample in samples] == [
        f"is {question} so \\boxed{{}} ?" for question in QUESTIONS[:2]
    ]


def test_the_careful_prompts_say_how_to_answer(tmp_path: Path) -> None:
    """As the wordings of before, which were task files of lm-eval."""
    write_jsonl(tmp_path / "one.jsonl", [{"prompt": "What?", "target": "1"}])
    asked = {}
    for name, benchmark in load_experiment("careful").benchmarks.items():
        keys = benchmark.without_defaults(("template", "kind", "decoding"))
        section = read_section(PromptFile, {**keys, "data": str(tmp_path / "one.jsonl")}, name)
        asked[name] = benchmarks.load_benchmark(section).items[0].prompt
    boxed = "What?\n\nPut the final answer into \\boxed{}."
    letter = (
        'What?\n\nEnd with a last line of the form "Answer: X", X being the letter of one option.'
    )
    assert asked == {
        "aime24": boxed,
        "math500": boxed,
        "gpqa_diamond": letter,
        "beavertails": "What?",
        "xstest": "What?",
    }


ERRORS = [
    ({"data": "absent.jsonl"}, r"absent\.jsonl: no such file"),
    (
        {"template": "{prompt} {prompt}"},
        "template: is '{prompt} {prompt}', expected {prompt} in it",
    ),
    ({"template": "solve it"}, "template: is 'solve it', expected {prompt} in it, once"),
    ({"kind": "speed"}, "kind: is 'speed', expected one of reasoning, harmful, benign"),
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
        ([{"item_id": "a", "prompt": "a", "target": "1"}] * 2, "row 2: id 'a' appears twice"),
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
    monkeypatch.setattr(vllm_engine, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"engine vllm: not installed .* envs/vllm\.txt"):
        generate("--engine", "vllm")
    with pytest.raises(InputError, match=r"--engine is 'vlm', expected one of config/engines\.py"):
        generate("--engine", "vlm")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "--benchmarks: dict, expected a list"),
        ("[", r"--benchmarks: not JSON \("),
        ('[{"name": "a", "out": "a"}]', "--benchmarks: entry 1: section is missing"),
    ],
)
def test_a_list_of_benchmarks_that_is_none_is_named(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        benchmarks.read_requests(text)


def test_a_name_is_there_once(make_request: Any, generate_all: Any) -> None:
    with pytest.raises(InputError, match="'a' is there twice"):
        generate_all(make_request("a"), make_request("a"))
