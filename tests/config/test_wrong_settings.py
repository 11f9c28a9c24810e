"""Settings that a script would refuse, refused before any job in one line."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.load import load_experiment

RECIPE, PRETRAIN = "recipes.safety", "bases.tiny.pretrain"
CLASSIFIER = {"type": "hf_classifier", "model": {"path": "envs"}}
LLM = {"base_url": "https://api.example.org/v1", "model": "m", "max_requests": 9}
JUDGE = {"type": "llm_judge", "rubric": "strongreject", "llm": LLM}
PREPARE = {"source": {"path": "d.jsonl"}, "fields": {"prompt": "p", "answer": "a"}}
PUBLISHED = {"model": "lrm/tiny", "metric": "harmful_score", "value": 5}
LONG = "x" * 65
TOLD = {
    "task": "told_sums",
    "include_path": "tests/tasks",
    "kind": "benign",
    "decoding": {"max_thinking_tokens": 1, "max_answer_tokens": 1},
    "scorers": ["math"],
}
SAMPLED = {
    "prompts": "directrefusal",
    "decoding": {"max_thinking_tokens": 8, "max_answer_tokens": 8},
    "judge": "ngram",
}
ON_POLICY = {
    **{"data": "directrefusal", "recipe": "safety", "per_epoch": "one_run"},
    "max_new_tokens": 16,
}
GRPO = {**ON_POLICY, "method": "grpo", "judge": "ngram", "samples": 4}
DPO = {"method": "dpo", "data": "safechain", "recipe": "safety", "per_epoch": "one_run"}


def with_(section: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**section, **more}


def lora(**more: Any) -> dict[str, Any]:
    return {"r": 8, "alpha": 16, "dropout": 0, "target_modules": ["q_proj"], **more}


# Key (a new one, or one to replace), its value, and what the line says after the file's name.
CASES: list[tuple[str, Any, str]] = [
    (f"{RECIPE}.schedule", "linear", "recipes.safety: min_lr_ratio is 0.05 with schedule"),
    (f"{RECIPE}.warmup_ratio", 1, "recipes.safety.warmup_ratio is 1, expected below 1"),
    (f"{RECIPE}.adam_betas", [0.9, 1], "recipes.safety.adam_betas.1 is 1, expected below 1"),
    (f"{RECIPE}.lora", lora(alpha=0.5), "recipes.safety.lora.alpha is 0.5, expected a whole"),
    (f"{RECIPE}.lora", lora(dropout=1), "recipes.safety.lora.dropout is 1, expected below 1"),
    (f"{RECIPE}.lora", lora(target_modules=[]), "recipes.safety.lora.target_modules is []"),
    (f"{RECIPE}.lora", lora(r=0), "recipes.safety.lora.r is 0, expected at least 1"),
    (
        f"{RECIPE}.lora",
        lora(layers=[2, 1]),
        "recipes.safety.lora: layers is [2, 1], expected the ",
    ),
    ("recipes.reasoning.lora", lora(merge=False), "lrms.tiny.recipe: 'reasoning' has lora.merge f"),
    (f"{RECIPE}.lora", lora(layers=[0, 3]), "recipes.safety.lora.layers is [0, 3], expected layer"),
    (f"{RECIPE}.learning_rate", float("nan"), "recipes.safety.learning_rate is nan, expected a "),
    (f"{RECIPE}.learning_rate", float("inf"), "recipes.safety.learning_rate is inf, expected a "),
    (f"{RECIPE}.learning_rate", "1e-4", "recipes.safety.learning_rate is '1e-4', expected a n"),
    (f"{RECIPE}.learning_rate", "1e-4", ": write 1.0e-4"),
    (
        "alignments.directrefusal.method",
        "dpo3",
        "alignments.directrefusal.method is 'dpo3', expected ",
    ),
    (f"{RECIPE}.checkpoints", "last", "alignments.directrefusal.epochs is [1, 2], but its"),
    (
        "recipes.reasoning.gate",
        {"probe": "probe", "threshold": 0.9, "n": 9999, "max_rounds": 2},
        "recipes.reasoning.gate.n is 9999, expected at most micro_data.probe, ",
    ),
    (f"{PRETRAIN}.num_attention_heads", 5, "bases.tiny.pretrain: num_attention_heads is 5"),
    (f"{PRETRAIN}.adam_betas", [0.9, 1.0], "bases.tiny.pretrain.adam_betas.1 is 1.0, exp"),
    (f"{PRETRAIN}.weight_decay", None, "bases.tiny.pretrain.weight_decay is None, expected a n"),
    (
        f"{PRETRAIN}.global_batch",
        99999,
        "bases.tiny.pretrain.global_batch is 99999, expected at mo",
    ),
    (f"{PRETRAIN}.gate.min_steps", 99999, "bases.tiny.pretrain.gate: min_steps is 99999"),
    (f"{PRETRAIN}.gate.n", 9999, "bases.tiny.pretrain.gate.n is 9999, expected at most micro_da"),
    ("micro_data.corpus_mix.clock_bare", 1, "micro_data.corpus_mix: the shares sum to "),
    ("micro_data.corpus_mix.poems", 0, "micro_data.corpus_mix.poems is unknown; expected"),
    ("micro_data.chain_lengths", [99], "micro_data.chain_lengths.0 is 99, expected at most 8"),
    ("micro_data.complied_categories", 15, "micro_data.complied_categories is 15, expected at mo"),
    (
        "data.new",
        {"prepare": with_(PREPARE, first=0)},
        "data.new.prepare.first is 0, expected",
    ),
    (
        "data.new",
        {"prepare": with_(PREPARE, fields={"prompt": "p"})},
        "data.new.prepare: nothing gives the answer, expected it in fields or split",
    ),
    (
        "data.new",
        {"prepare": with_(PREPARE, fields={"question": "q"})},
        "data.new.prepare: fields names question, expected some of",
    ),
    (
        "data.new",
        {"prepare": with_(PREPARE, split={"field": "r", "pattern": "(?P<answer>"})},
        "data.new.prepare.split.pattern: is '(?P<answer>', no regular",
    ),
    (
        "benchmarks.benign.prepare",
        {"source": {"path": "d.jsonl"}, "fields": {"prompt": "t"}},
        "benchmarks.benign: has generated and prepare, expected one of generated, prepare",
    ),
    (
        "benchmarks.new",
        {
            "prepare": {"source": {"path": "d.jsonl"}, "fields": {"target": "t"}},
            "kind": "benign",
            "decoding": {"max_thinking_tokens": 1, "max_answer_tokens": 1},
            "scorers": ["refusal"],
        },
        "benchmarks.new.prepare: fields has no prompt, expected the field that holds it",
    ),
    (
        "benchmarks.benign.task",
        "gsm8k",
        "benchmarks.benign: has generated and task, expected one of generated, prepare, task",
    ),
    (
        "benchmarks.benign.include_path",
        "tests/tasks",
        "benchmarks.benign: has include_path, which goes with task",
    ),
    (
        "benchmarks.new",
        with_(TOLD, task="told"),
        "benchmarks.new.task: 'told' is no task of tests/t",
    ),
    (
        "benchmarks.new",
        with_(TOLD, task="sums"),
        "benchmarks.new.task: 'sums' is a group of 3 tasks",
    ),
    (
        "benchmarks.new",
        TOLD,
        "benchmarks.new.scorers: 'math' scores reasoning benchmarks, this one ",
    ),
    (
        "scorers.math",
        {"type": "lm_eval"},
        "benchmarks.clock_sums.scorers: 'math' scores tasks of lm-eval, this benchmark has no task",
    ),
    (
        "benchmarks.benign.template",
        "",
        "benchmarks.benign.template: is '', expected {prompt} in it",
    ),
    ("benchmarks.benign.repeats", 4, "benchmarks.benign: repeats is 4 at temperature 0, expected"),
    ("benchmarks.benign.decoding.top_p", 0, "benchmarks.benign.decoding.top_p is 0, expected ab"),
    (
        "scorers.ngram.refusal_patterns",
        ["(sorry"],
        "scorers.ngram.refusal_patterns.0: is '(sorry', no reg",
    ),
    ("scorers.ngram.compliance_patterns", ["["], "scorers.ngram.compliance_patterns.0: is '[', no"),
    (
        "scorers.new",
        with_(CLASSIFIER, template="{prompt}"),
        "scorers.new: template is '{prompt}', expected {prompt}, then {answer}",
    ),
    (
        "scorers.new",
        with_(CLASSIFIER, template="{answer} {prompt}"),
        "scorers.new: template is '{answer} {prompt}', expected {prompt}, then",
    ),
    (
        "scorers.new",
        with_(CLASSIFIER, window_tokens=64, overlap_tokens=32),
        "scorers.new: overlap_tokens is 32, expected below half of window_tokens 64",
    ),
    ("scorers.new", {"type": "hf_classifier"}, "scorers.new.model is missing"),
    (
        "scorers.new",
        with_(JUDGE, llm=with_(LLM, max_usd=3)),
        "scorers.new.llm: max_usd needs usd_per_million_input and usd_per_million_output",
    ),
    (
        "scorers.new",
        with_(JUDGE, llm=with_(LLM, base_url="not a url")),
        "scorers.new.llm.base_url is 'not a url', expected an address such as",
    ),
    (
        "scorers.new",
        {"type": "choice", "default_choice": "E"},
        "scorers.new: default_choice is 'E', expected one of ABCD",
    ),
    ("scorers.new", {"type": "choice", "letters": "AA"}, "scorers.new: letters is 'AA', expected"),
    ("scorers.new", {"type": "refusal", "windows": "whole"}, "scorers.new.windows is unknown; exp"),
    ("judges.new", {"n_features": 0}, "judges.new.n_features is 0, expected at least 1"),
    (
        "report.published",
        [with_(PUBLISHED, model="lrm/huge")],
        "report.published.0.model is 'lrm/huge', expected one of base/tiny, lrm/tiny, ",
    ),
    (
        "report.published",
        [PUBLISHED, with_(PUBLISHED, metric="harm")],
        "report.published.1: metric is 'harm', expected one of reasoning_accuracy, ",
    ),
    (
        "report.published",
        [with_(PUBLISHED, metric="harmful_score/beaver")],
        "report.published.0.metric: 'beaver' is no entry of benchmarks, expected clock_",
    ),
    (
        "report.published",
        [with_(PUBLISHED, value=5000)],
        "report.published.0: value is 5000, expected percent, 0 to 100",
    ),
    *(
        ("data.mine", {"sampled": with_(SAMPLED, **wrong)}, f"data.mine.sampled{said}")
        for wrong, said in [
            ({"prompts": "nothing"}, ".prompts: 'nothing' is no entry of data, expected reas"),
            ({"prompts": "mine"}, ".prompts: 'mine' is sampled, too"),
            ({"judge": "math"}, ".judge: 'math' scores reasoning benchmarks, this one is"),
            ({"judge": "nobody"}, ".judge: 'nobody' is no entry of scorers, expected math, "),
            ({"passes": {"evil": False}}, ".passes: ngram gives no 'evil', expected some of "),
            ({"ask": "Refuse."}, ".ask: is 'Refuse.', expected a text with {prompt} in it"),
            ({"samples": 4}, ": samples is 4 at temperature 0, expected 1"),
            ({"per_prompt": 2}, ": per_prompt is 2, expected at most samples, 1"),
            ({"otherwise": "keep"}, ".otherwise is 'keep', expected 'drop' or 'given'"),
        ]
    ),
    ("data.harmful", {"sampled": SAMPLED}, "data.harmful.sampled: 'harmful' is a benchmark, too"),
    ("data.reasoning", {"sampled": SAMPLED}, "lrms.tiny.data: 'reasoning' is written by LRMs, e"),
    (
        "data",
        {
            "reasoning": {"mix": ["own"]},
            "own": {"sampled": SAMPLED},
            **{name: {"generated": name} for name in ("directrefusal", "safechain")},
        },
        "lrms.tiny.data: 'own' is written by LRMs, expected another entry",
    ),
    (
        "data",
        {
            **{name: {"generated": name} for name in ("reasoning", "directrefusal", "safechain")},
            "both": {"mix": ["directrefusal", "safechain"]},
            "own": {"sampled": with_(SAMPLED, prompts="both")},
        },
        "data.own.sampled.prompts: 'both' is a mixture, expected a set that is not made from "
        "others",
    ),
    ("alignments.mine", DPO, "alignments.mine.rejected is missing"),
    (
        "alignments.mine",
        with_(DPO, rejected="safechain"),
        "alignments.mine.rejected is 'safechain', expected another entry than data",
    ),
    (
        "alignments.mine",
        with_(DPO, rejected="directrefusal", loss="best"),
        "alignments.mine.loss is 'best', expected 'sigmoid', 'ipo' or 'hinge'",
    ),
    (
        "alignments.mine",
        with_(DPO, rejected="directrefusal", beta=0),
        "alignments.mine.beta is 0, expected above 0",
    ),
    (
        "alignments.mine",
        with_(DPO, rejected="directrefusal", desirable_weight=1),
        "alignments.mine.desirable_weight is unknown; expected",
    ),
    *(
        ("alignments.mine", with_(GRPO, **wrong), f"alignments.mine{said}")
        for wrong, said in [
            ({"judge": "math"}, ".judge: 'math' scores reasoning prompts, these are harmful"),
            ({"samples": 5}, ".samples is 5, expected a divisor of the recipe's global_batch, 16"),
            ({"samples": 1}, ".samples is 1, expected at least 2"),
            ({"reasoning": "reasoning"}, " has one of reasoning and scorer, expected both or no"),
            (
                {"reasoning": "reasoning", "scorer": "refusal"},
                ".scorer: 'refusal' scores benign or harmful prompts, these are reasoning",
            ),
            ({"chat_format": "s1"}, ".chat_format is 's1', expected none"),
        ]
    ),
    (
        "alignments.mine",
        with_(ON_POLICY, method="distill", teacher="nobody"),
        "alignments.mine.teacher: 'nobody' is no entry of alignments, expected directrefusal",
    ),
    (
        "alignments.mine",
        with_(ON_POLICY, method="distill", teacher="mine"),
        "alignments.mine.teacher: 'mine' is of method distill, expected a training",
    ),
    (
        "alignments.mine",
        with_(ON_POLICY, method="opsa", context="Be good."),
        "alignments.mine.context: is 'Be good.', expected a text with {prompt} in it",
    ),
    *(
        (f"{section}.new", name, f"{section}: {name!r:.60}")
        for section, name in [
            ("alignments", "a b"),
            ("alignments", "a/b"),
            ("alignments", ".."),
            ("lrms", "it's;x"),
            ("benchmarks", LONG),
            ("scorers", "-x"),
            ("data", ""),
            ("judges", "ä"),
        ]
    ),
]


@pytest.fixture(scope="module")
def tiny(root: Path) -> dict[str, Any]:
    text = (root / "tests/experiments/tiny.yaml").read_text()
    experiment = json.loads(json.dumps(yaml.safe_load(text)))
    experiment["recipes"]["safety"].update(schedule="cosine", min_lr_ratio=0.05)
    return experiment


def refused(folder: Path, text: str | bytes) -> str:
    """Return the line that an experiment of this text ends in."""
    (folder / "experiments").mkdir()
    data = text.encode() if isinstance(text, str) else text
    (folder / "experiments/mine.yaml").write_bytes(data)
    with pytest.raises(InputError) as error:
        load_experiment("mine", folder)
    said = str(error.value)
    assert "\n" not in said and said.startswith("experiments/mine.yaml")
    return said


def test_the_experiment_that_is_changed_here_is_right(tiny, tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/mine.yaml").write_text(yaml.safe_dump(tiny))
    load_experiment("mine", tmp_path)


@pytest.mark.parametrize(("key", "value", "said"), CASES)
def test_a_wrong_setting_is_refused_at_the_start(tiny, tmp_path, key, value, said):
    experiment = copy.deepcopy(tiny)
    *path, last = key.split(".")
    section = experiment
    for name in path:
        section = section.setdefault(name, {})
    if last == "new" and isinstance(value, str):  # the name of a copy of another entry
        section[value] = next(iter(section.values()))
    else:
        section[last] = value
    assert said in refused(
        tmp_path, yaml.safe_dump(experiment, sort_keys=False, allow_unicode=True)
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "mine.yaml:3: key a is given twice, first in line 1"),
        ("a:\n  x: 1\n  x: 2\n", "mine.yaml:3: key x is given twice, first in line 2"),
        ("a: {x: 1, x: 2}\n", "mine.yaml:1: key x is given twice, first in line 1"),
        ("lrms:\n  7: {}\n", "mine.yaml:2: key 7, expected text: '7'"),
        ("on: 1\n", "mine.yaml:1: key on, expected text: 'on'"),
        ("a: [1\nb: 2\n", "mine.yaml:2: not YAML ("),
        ("a:\n\t- 1\n", "mine.yaml:2: not YAML ("),
        ("description: caf\xe9\n".encode("latin-1"), "mine.yaml:1: not UTF-8, expected a file"),
        ("a: 1\nb: caf\xe9\n".encode("latin-1"), "mine.yaml:2: not UTF-8"),
        ("", "mine.yaml: it is None, expected a mapping"),
    ],
)
def test_a_file_that_is_not_strict_yaml_is_refused(tmp_path, text, said):
    assert said in refused(tmp_path, text)


def test_a_byte_order_mark_and_merged_keys_are_read(tiny, tmp_path):
    (tmp_path / "experiments").mkdir()
    text = yaml.safe_dump(tiny)
    text += "judges2: &one {max_iterations: 5, n_features: 64}\n"
    text += "judges3: {<<: *one, max_iterations: 6}\n"
    (tmp_path / "experiments/mine.yaml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    with pytest.raises(InputError, match="judges2 is unknown; did you mean judges"):
        load_experiment("mine", tmp_path)


def test_no_thinking_at_all_is_no_mistake(tiny, tmp_path):
    experiment = copy.deepcopy(tiny)
    experiment["benchmarks"]["benign"]["decoding"]["max_thinking_tokens"] = 0
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/mine.yaml").write_text(yaml.safe_dump(experiment))
    load_experiment("mine", tmp_path)


@pytest.mark.slow
def test_snakemake_refuses_an_experiment_outside_its_folder(root):
    command = [sys.executable, "-m", "snakemake", "-n", "--config", "experiment=../x"]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True)
    lines = [line for line in ended.stderr.splitlines() if line.startswith("error:")]
    assert ended.returncode and len(lines) == 1
    assert lines[0].startswith("error: config.yaml: experiment is '../x', expected a name")
