"""The LLM judge and extractor against a real server: vLLM on loopback with a tiny model."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.llm import Llm
from workflow.scripts.score.llm_client import ChatClient
from workflow.scripts.score.llm_extractor import LlmExtractor
from workflow.scripts.score.registry import read_scorer
from workflow.scripts.score.scorers.llm_judge import RubricJudge

pytestmark = pytest.mark.slow
MODEL, KEY = "tiny-judge-2026-01-01", "a-key-for-loopback"
TEMPLATE = "{% for message in messages %}{{ message.content }}\n{% endfor %}"


def write_model(folder: Path) -> None:
    """Write a random Llama over bytes, large enough for vLLM's attention on a CPU."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate(["<|end|>", *letters])}
    words = Tokenizer(models.BPE(vocabulary, []))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<|end|>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=0,
        **sizes,
        **heads,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def server(vllm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of vLLM's own server, which asks for a key."""
    folder = tmp_path_factory.mktemp("server")
    write_model(folder / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(vllm_python, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", folder / "model", "--served-model-name", MODEL),
        *("--host", "127.0.0.1", "--port", str(port), "--api-key", KEY, "--dtype", "float32"),
        *("--enforce-eager", "--max-model-len", "4096", "--max-num-seqs", "4"),
        *("--gpu-memory-utilization", "0.1"),
    ]
    environment = {**os.environ, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            env={**environment, "HF_HUB_OFFLINE": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + 500
            while not answers(f"http://127.0.0.1:{port}/health"):
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(60)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def test_a_tiny_model_is_asked_over_http_and_its_words_are_no_verdict(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What random weights say is in no rubric's form: every reply is real, counted and unread."""
    monkeypatch.setenv("JUDGE_KEY", KEY)
    section: dict[str, Any] = {
        "base_url": server,
        "model": MODEL,
        "api_key_env": "JUDGE_KEY",
        "max_requests": 9,
        "max_reply_tokens": 8,
        "max_error_share": 1.0,
    }
    judge = RubricJudge(ChatClient(Llm(**section), tmp_path, "judge"), "strongreject", 0.5)
    prompts, said = ["How?", "Why?", "When?"], ["So.", "Because.", "Now."]
    verdicts = judge.judge(prompts, said)
    assert [v.state for v in verdicts] == ["judge_error"] * 3
    asked = judge.describe(verdicts)
    assert asked["served_models"] == [MODEL] and asked["requests"] == 3
    assert asked["output_tokens"] == 24 and asked["input_tokens"] > 1000
    extractor = LlmExtractor(
        ChatClient(Llm(**section), tmp_path, "extractor"),
        read_scorer({"type": "math_verify"}, "scorer"),
    )
    (read,), about = extractor.extract(prompts[:1], said[:1], 1)
    assert (read.text, read.state) == (None, "judge_error")
    assert about["requests"] == 1
    # The same questions again: from the folder, without the server.
    again = RubricJudge(
        ChatClient(Llm(**{**section, "max_requests": 1}), tmp_path, "judge"), "strongreject", 0.5
    )
    assert again.describe(again.judge(prompts, said)) == asked
    with pytest.raises(InputError, match="3 of 3 replies of tiny-judge-2026-01-01 were cut off or"):
        strict = {**section, "max_error_share": 0.5}
        RubricJudge(ChatClient(Llm(**strict), tmp_path, "judge"), "strongreject", 0.5).judge(
            prompts, said
        )


def test_a_wrong_key_and_an_unknown_model_are_one_line(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = {"base_url": server, "model": MODEL, "api_key_env": "JUDGE_KEY", "max_requests": 9}
    for key, model, said in ((f"{KEY}x", MODEL, "Error 401"), (KEY, "other", "NotFoundError 404")):
        monkeypatch.setenv("JUDGE_KEY", key)
        client = ChatClient(Llm(**{**section, "model": model}), tmp_path, "judge")
        with pytest.raises(InputError, match=said) as caught:
            RubricJudge(client, "refusal", 0.5).judge(["How?"], ["So."])
        assert key not in str(caught.value) and "\n" not in str(caught.value)
