"""Training on preferences: what is paired, what the reference is, that it learns."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from tests.models.conftest import sums
from tests.models.test_train_sft import RECIPE, arguments, losses
from workflow.scripts.common.chat import CHAT_FORMATS
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import read_json
from workflow.scripts.common.manifest import read_manifest
from workflow.scripts.common.records import write_records
from workflow.scripts.common.tokenizer import load_tokenizer
from workflow.scripts.config.planning import Runtime
from workflow.scripts.config.recipe import Recipe
from workflow.scripts.config.section import read_section
from workflow.scripts.models import train_preferences
from workflow.scripts.models.encode import Encoded, encode_records
from workflow.scripts.models.launch import launch_arguments
from workflow.scripts.models.preferences import label_columns, list_mismatches, pair_records

GOOD = sums(21)
BAD = [replace(r, id=f"{r.id}-bad", thinking=" not", answer="I should not.") for r in GOOD]
LORA = {"r": 4, "alpha": 8, "dropout": 0.0, "target_modules": ["q_proj", "down_proj"]}


@pytest.fixture(autouse=True)
def process_state(monkeypatch):
    """Training on the CPU hides the GPUs and makes torch deterministic; undo both."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Files of chosen and of rejected records to the same prompts."""
    folder = tmp_path_factory.mktemp("sets")
    write_records(folder / "good.jsonl", GOOD)
    write_records(folder / "bad.jsonl", BAD)
    return folder / "good.jsonl", folder / "bad.jsonl"


def options(parent, sets, out, method, recipe=RECIPE, **changes):
    good, bad = sets
    given = {"method": method, "rejected": bad, "rejected_name": "bad", "role": "aligned"}
    return arguments(parent, good, out, recipe, **given | changes)


def train(*args, **changes):
    argv = options(*args, **changes)
    train_preferences.main(argv)
    return read_manifest(argv[argv.index("--out") + 1])


def first(manifest):
    return manifest["train"]["loss_history"][0]


# --- what does not need training


def test_answers_to_the_same_prompt_are_paired_in_order_and_the_others_left_out():
    a, b, c = (replace(GOOD[0], id=name, prompt=name[0]) for name in ("p1", "p2", "q1"))
    x, y, z = (replace(BAD[0], id=name, prompt=name[0]) for name in ("p3", "r1", "p4"))
    assert [(i.id, j.id) for i, j in pair_records([a, b, c], [x, y, z])] == [
        ("p1", "p3"),
        ("p2", "p4"),
    ]
    with pytest.raises(InputError, match="none of the 1 chosen records has the prompt of one"):
        pair_records([c], [x, y, z])


def test_a_mismatched_answer_is_that_of_the_next_other_prompt():
    assert list_mismatches([[1], [1], [2], [3], [1]]) == [2, 2, 3, 4, 2]
    with pytest.raises(InputError, match="all prompts are the same"):
        list_mismatches([[1], [1]])


def test_labelled_answers_by_hand():
    """The context is what the loss ignores; the mismatched answer is another prompt's."""
    chosen = Encoded([[1, 2, 7], [3, 8, 8]], [[-100, -100, 7], [-100, 8, 8]], 0)
    rejected = Encoded([[1, 2, 9, 9]], [[-100, -100, 9, 9]], 1)
    found = label_columns(chosen, rejected)
    assert found.columns == {
        "index": [0, 1, 2],
        "prompt_ids": [[1, 2], [3], [1, 2]],
        "completion_ids": [[7], [8, 8], [9, 9]],
        "KL_completion_ids": [[8, 8], [9, 9], [8, 8]],
        "label": [True, True, False],
    }
    assert (found.lengths, found.tokens, found.target_tokens) == ([3, 3, 4], 10, 5)
    assert found.n_truncated == 1


@pytest.mark.parametrize(
    ("method", "recipe", "runtime", "message"),
    [
        ("dpo", {"padding_free": True}, {}, "dpo knows no gate, no padding_free"),
        ("dpo", {"lora": LORA | {"dropout": 0.1}}, {}, "no lora.dropout"),
        ("kto", {}, {"per_device_batch": 1}, "1 example per forward pass"),
    ],
)
def test_what_the_trainers_cannot_do_ends_before_anything_is_loaded(
    parent, sets, tmp_path, method, recipe, runtime, message
):
    with pytest.raises(InputError, match=message):
        train(parent, sets, tmp_path / "out", method, RECIPE | recipe, runtime=json.dumps(runtime))
    assert not (tmp_path / "out" / "state").exists()


# --- what does


@pytest.mark.slow
@pytest.mark.parametrize(("method", "start"), [("dpo", math.log(2)), ("kto", 0.5)])
def test_the_margin_is_zero_at_the_start_and_the_loss_falls_from_its_closed_form(
    parent, sets, tmp_path, method, start
):
    """-log sigmoid(0) is log 2 (DPO), 1 - sigmoid(0) one half (KTO with weights of 1)."""
    manifest = train(parent, sets, tmp_path / "out", method)
    for reward in ("chosen", "rejected", "margins"):
        assert first(manifest)[f"rewards/{reward}"] == pytest.approx(0, abs=1e-5)
    assert losses(manifest)[0] == pytest.approx(start, rel=1e-6)
    assert losses(manifest)[-1] < 0.6 * start
    assert manifest["train"]["loss_history"][-1]["rewards/margins"] > 0.5
    assert manifest["recipe"]["method"] == method
    assert manifest["lineage"]["rejected"]["n"] == manifest["lineage"]["data"]["n"] == 21
    examples = {"dpo": 21, "kto": 42}[method]
    assert manifest["train"]["steps"] == 2 * math.ceil(examples / 8)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_how_a_step_is_split_changes_nothing(parent, sets, tmp_path, method):
    """KTO's estimate of the divergence is of the whole step, too."""
    whole = train(parent, sets, tmp_path / "a", method)
    split = train(parent, sets, tmp_path / "b", method, runtime='{"per_device_batch": 2}')
    assert losses(split) == pytest.approx(losses(whole), rel=1e-4)


@pytest.mark.slow
def test_the_reference_is_the_parent(parent, sets, tmp_path, monkeypatch):
    """Its log-probabilities, computed anew from full logits, without TRL."""
    import torch
    from transformers import AutoModelForCausalLM

    from workflow.scripts.models import preference_trainer

    tables = []
    attach = preference_trainer.attach_reference
    monkeypatch.setattr(
        preference_trainer,
        "attach_reference",
        lambda trainer, table, file: (attach(trainer, table, file), tables.append(table)),
    )
    train(parent, sets, tmp_path / "out", "dpo", runtime='{"per_device_batch": 4}')
    tokenizer = load_tokenizer(parent / "final")
    model = AutoModelForCausalLM.from_pretrained(parent / "final").eval()
    for records, column in ((GOOD, "ref_chosen_logps"), (BAD, "ref_rejected_logps")):
        encoded = encode_records(records, tokenizer, CHAT_FORMATS["micro"], 256)
        expected = []
        for ids, labels in zip(encoded.input_ids, encoded.labels, strict=True):
            with torch.no_grad():
                scores = model(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
            targets = torch.tensor(labels[1:])
            kept = targets != -100
            expected.append(scores[kept, targets[kept]].sum().item())
        assert tables[0][column] == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_adapters_start_at_the_reference_too(parent, sets, tmp_path):
    manifest = train(parent, sets, tmp_path / "out", "dpo", RECIPE | {"lora": LORA})
    assert first(manifest)["rewards/margins"] == pytest.approx(0, abs=1e-5)
    assert losses(manifest)[-1] < losses(manifest)[0]
    before = {path.name for path in (parent / "final").iterdir()}
    assert {path.name for path in (tmp_path / "out" / "epoch2").iterdir()} == before


@pytest.mark.slow
def test_a_killed_run_keeps_its_reference_and_goes_on_with_it(parent, sets, tmp_path, root):
    recipe = RECIPE | {"epochs": 6}
    whole = train(parent, sets, tmp_path / "whole", "dpo", recipe)
    argv = options(parent, sets, tmp_path / "out", "dpo", recipe)
    code = (
        "import sys\nfrom workflow.scripts.models import state, train_preferences\n"
        "state.SAVE_MINUTES = state.PAYS = 0\ntrain_preferences.main(sys.argv[1:])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, *argv], cwd=root, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out/state/*/round1/checkpoint-[57]/complete")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (kept,) = tmp_path.glob("out/state/*/round1/reference.json")
    assert len(read_json(kept)["ref_chosen_logps"]) == 21
    train_preferences.main(argv)
    manifest = read_manifest(tmp_path / "out")
    assert manifest["train"]["resumed_at_step"] >= 5
    assert losses(manifest) == pytest.approx(losses(whole), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "lora"), [("dpo", None), ("kto", LORA)])
def test_two_processes_with_sharded_weights_compute_what_one_does(
    parent, sets, tmp_path, root, method, lora
):
    """FSDP2 for real: no second model is loaded, and the reference's parts are gathered."""
    recipe = RECIPE | {"epochs": 1, "lora": lora}
    whole = train(parent, sets, tmp_path / "one", method, recipe)
    knobs = {"gradient_checkpointing": True, "per_device_batch": 2}
    flags = launch_arguments(Runtime(gpus=2, **knobs), read_section(Recipe, recipe, "recipe"))
    argv = options(parent, sets, tmp_path / "two", method, recipe, runtime=json.dumps(knobs))
    paths = {"PYTHONPATH": str(root), "SHARDS_TO": str(tmp_path / "shards")}
    subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch", *flags),
            *(root / "tests" / "models" / "fsdp_on_cpu.py", *argv),
        ],
        cwd=root,
        env=os.environ | {"OMP_NUM_THREADS": "1", "SCRIPT": "train_preferences"} | paths,
        check=True,
        timeout=240,
    )
    note = read_json(tmp_path / "shards0")
    assert note["sharded"] == note["parameters"] > 0
    sharded = read_manifest(tmp_path / "two")
    assert sharded["hardware"]["world_size"] == 2
    assert losses(sharded) == pytest.approx(losses(whole), rel=1e-3)
