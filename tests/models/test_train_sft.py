import dataclasses
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.models.conftest import sums, write_parent
from workflow.scripts.common.chat import CHAT_FORMATS
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.manifest import load_checkpoint, read_manifest
from workflow.scripts.common.records import read_records, write_records
from workflow.scripts.common.result import is_complete
from workflow.scripts.common.tokenizer import load_tokenizer
from workflow.scripts.data import mix_records
from workflow.scripts.graph.status import STEPS
from workflow.scripts.models import train_sft
from workflow.scripts.models.encode import encode_records
from workflow.scripts.models.order import EpochOrder

RECIPE = {
    "learning_rate": 3e-3,
    "epochs": 2,
    "global_batch": 8,
    "schedule": "cosine",
    "min_lr_ratio": 0.05,
    "warmup_ratio": 0.2,
    "max_length": 256,
    "precision": "fp32",
}


@pytest.fixture(autouse=True)
def process_state(monkeypatch):
    """Training on the CPU hides the GPUs and makes torch deterministic; undo both."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].use_deterministic_algorithms(False)


def arguments(parent, data, out, recipe=RECIPE, **changes):
    values = {
        "parent": parent,
        "data": data,
        "data-name": "sums",
        "chat-format": "micro",
        "recipe": json.dumps(recipe),
        "seed": 1,
        "run": "lrm/tiny/seed1",
        "role": "lrm",
        "out": out,
    } | {name.replace("_", "-"): value for name, value in changes.items()}
    return [text for name, value in values.items() for text in (f"--{name}", str(value))]


def train(*args, **changes):
    argv = arguments(*args, **changes)
    train_sft.main(argv)
    return read_manifest(argv[argv.index("--out") + 1])


def weight_bytes(run):
    return {path.parent.name: path.read_bytes() for path in run.glob("epoch*/model.safetensors")}


def losses(manifest):
    return [point["loss"] for point in manifest["train"]["loss_history"]]


# --- what does not need training


def test_an_empty_data_set_is_an_input_error(parent, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError, match="empty"):
        train_sft.main(arguments(parent, tmp_path / "empty.jsonl", tmp_path / "out"))


def test_a_parent_without_manifest_is_an_input_error(data, tmp_path):
    with pytest.raises(InputError, match=r"no manifest\.json"):
        train_sft.main(arguments(tmp_path, data, tmp_path / "out"))


def test_a_parent_that_differs_from_its_manifest_is_an_input_error(parent, data, tmp_path):
    subprocess.run(["cp", "-r", parent, tmp_path / "parent"], check=True)
    (tmp_path / "parent" / "final" / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"config\.json: differs from the manifest"):
        train_sft.main(arguments(tmp_path / "parent", data, tmp_path / "out"))


def test_a_gate_without_probe_problems_is_an_input_error(parent, data, tmp_path):
    recipe = RECIPE | {"gate": {"threshold": 0.5, "max_rounds": 2, "n": 4}}
    with pytest.raises(InputError, match="without --probe"):
        train_sft.main(arguments(parent, data, tmp_path / "out", recipe))


def test_an_unknown_render_option_is_an_input_error(parent, data, tmp_path):
    with pytest.raises(InputError, match="--render: newline is unknown; expected"):
        train_sft.main(arguments(parent, data, tmp_path / "out", render='{"newline": true}'))


def test_attention_that_is_not_installed_ends_before_anything_is_loaded(parent, data, tmp_path):
    runtime = '{"attention": "flash_attention_2"}'
    with pytest.raises(InputError, match="expected its package to be installed"):
        train_sft.main(arguments(parent, data, tmp_path / "out", runtime=runtime))
    assert not (tmp_path / "out" / "state").exists()


def test_errors_are_one_line_and_exit_status_2(root):
    command = [sys.executable, "-m", train_sft.MODULE, "--seed", "1", "--print-config"]
    done = subprocess.run(
        [*command, "--recipe", '{"epochs": 1}'], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: --recipe: learning_rate is missing")
    assert done.stderr.count("\n") == 1


# --- what does


@pytest.mark.slow
@pytest.mark.parametrize("per_device", [8, 2])
def test_the_first_loss_is_the_mean_over_the_batchs_target_tokens(
    parent, data, tmp_path, per_device
):
    """Whatever the accumulation; computed anew from full logits, without TRL."""
    import torch
    from transformers import AutoModelForCausalLM

    runtime = json.dumps({"per_device_batch": per_device})
    manifest = train(parent, data, tmp_path / "out", runtime=runtime)
    tokenizer = load_tokenizer(parent / "final")
    encoded = encode_records(read_records(data), tokenizer, CHAT_FORMATS["micro"], 256)
    model = AutoModelForCausalLM.from_pretrained(parent / "final").eval()
    total, n = 0.0, 0
    for index in list(EpochOrder([5] * 21, 8, seed=1))[:8]:
        ids = torch.tensor([encoded.input_ids[index]])
        targets = torch.tensor(encoded.labels[index][1:])
        with torch.no_grad():
            scores = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        kept = targets != -100
        total -= scores[kept, targets[kept]].sum().item()
        n += int(kept.sum())
    assert losses(manifest)[0] == pytest.approx(total / n, rel=1e-5)
    assert manifest["train"]["target_tokens"] == 2 * encoded.target_tokens


@pytest.mark.slow
def test_training_says_what_it_did(parent, data, tmp_path):
    manifest = train(parent, data, tmp_path / "out")
    steps = 2 * math.ceil(21 / 8)
    assert manifest["train"]["steps"] == steps == len(losses(manifest))
    assert losses(manifest)[-1] < losses(manifest)[0]
    assert list(manifest["checkpoints"]) == ["epoch1", "epoch2"]
    assert manifest["final"] == "epoch2"
    assert (manifest["status"], manifest["status_reason"]) == ("ok", None)
    assert manifest["lineage"]["base"]["run"] == "base/tiny/seed1"
    assert manifest["lineage"]["base"]["lineage"]["data"]["name"] == "corpus"
    assert manifest["lineage"]["data"]["n"] == 21
    assert manifest["lineage"]["data"]["n_truncated"] == 0
    # linear warm-up over ⌈0.2 · 6⌉ = 2 steps, then cosine to 5 % of the peak
    rates = [point["learning_rate"] for point in manifest["train"]["loss_history"]]
    expected = [0, 0.5] + [0.05 + 0.95 * (1 + math.cos(math.pi * t / 4)) / 2 for t in range(4)]
    assert rates == pytest.approx([3e-3 * share for share in expected])
    # a checkpoint is a plain folder: no pickle, and the parent's tokenizer byte for byte
    files = {path.name for path in (tmp_path / "out" / "epoch1").iterdir()}
    assert files == {path.name for path in (parent / "final").iterdir()}
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "out" / "epoch1" / name).read_bytes() == (
            parent / "final" / name
        ).read_bytes()
    # and the next stage can start from it
    child = train(tmp_path / "out", data, tmp_path / "child", RECIPE | {"checkpoints": "last"})
    assert list(child["checkpoints"]) == ["epoch2"]
    assert child["lineage"]["base"]["lineage"]["base"]["run"] == "base/tiny/seed1"
    made_from = hashlib.sha256((tmp_path / "out" / "manifest.json").read_bytes())
    assert child["parents"] == {"parent": made_from.hexdigest()}


def test_a_training_says_within_an_epoch_how_far_it_is(parent, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("workflow.scripts.models.say.EVERY_S", 0)
    train(parent, data, tmp_path / "out")
    # 21 records in batches of 8, twice; each line is one that the status reads
    said = STEPS.findall(capsys.readouterr().err)
    assert [(step, total) for step, total, _ in said] == [(step, "6") for step in "123456"]
    assert all(int(tokens) > 0 for *_, tokens in said)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(parent, data, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(parent, data, tmp_path / name, seed=seed)
    first, same, other = (weight_bytes(tmp_path / name) for name in "abc")
    assert first == same
    assert first["epoch2"] != other["epoch2"]


def write_files(folder, **texts):
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).write_text(text)


def test_checkpoints_are_moved_with_their_hashes_and_found_again_after_a_kill(
    tmp_path, monkeypatch
):
    """The state's folder is deleted in the end, and no file is read again after that."""
    from workflow.scripts.common import manifest as module

    weights, out = tmp_path / "state" / "weights", tmp_path / "out"
    write_files(weights / "epoch1", model="new")
    write_files(out / "epoch1", model="old")
    write_files(out / "epoch9", model="of another recipe")
    monkeypatch.setattr(module, "SETTLED_NS", 0)
    module.describe_files(weights / "epoch1", module.hash_record(weights, "epoch1"))
    train_sft.deliver(weights, out, ["epoch1"])
    assert [path.name for path in out.glob("epoch*")] == ["epoch1"]
    assert (out / "epoch1" / "model").read_text() == "new"
    # killed before the manifest: the same job finds what it had made
    train_sft.deliver(weights, out, ["epoch1"])
    assert (weights / "epoch1" / "model").read_text() == "new"
    # killed between the two renames
    (weights / "epoch1").rename(weights / ".epoch1.link")
    train_sft.deliver(weights, out, ["epoch1"])
    assert (weights / "epoch1" / "model").read_text() == "new"
    subprocess.run(["rm", "-rf", tmp_path / "state"], check=True)
    monkeypatch.setattr(module, "sha256_file", lambda path: pytest.fail(f"{path} is read again"))
    module.describe_files(out / "epoch1", module.hash_record(out, "epoch1"))
    assert (out / "epoch1" / "model").read_text() == "new"


@pytest.mark.slow
def test_padding_free_training_computes_the_same(parent, data, tmp_path):
    padded = train(parent, data, tmp_path / "a")
    flat = train(parent, data, tmp_path / "b", RECIPE | {"padding_free": True})
    assert losses(flat) == pytest.approx(losses(padded), rel=1e-4)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(parent, data, tmp_path, root):
    """Killed in the middle of an epoch."""
    recipe = RECIPE | {"epochs": 8}
    train(parent, data, tmp_path / "whole", recipe)
    result = json.dumps({"name": "lrm/tiny/seed1", "spec": {}})
    argv = arguments(parent, data, tmp_path / "out", recipe, result=result)
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    code = (
        "import sys\nfrom workflow.scripts.models import state, train_sft\n"
        "state.SAVE_MINUTES = state.PAYS = 0\ntrain_sft.main(sys.argv[1:])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, *argv], cwd=root, env=env)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out/state/*/round1/checkpoint-[57]/complete")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not is_complete(tmp_path / "out")
    train_sft.main(argv)
    manifest = read_manifest(tmp_path / "out")
    assert manifest["train"]["resumed_at_step"] >= 5
    assert weight_bytes(tmp_path / "out") == weight_bytes(tmp_path / "whole")
    assert losses(manifest) == losses(read_manifest(tmp_path / "whole"))
    assert {path.name for path in (tmp_path / "out").glob("[!.]*")} == {
        *(f"epoch{number}" for number in range(1, 9)),
        *("manifest.json", "result.json"),
    }


@pytest.mark.slow
def test_a_gate_that_is_passed_ends_the_training_and_one_that_is_missed_fails_it(parent, tmp_path):
    records = sums(4)
    write_records(tmp_path / "four.jsonl", records)
    probe = tmp_path / "probe.jsonl"
    rows = [{"prompt": r.prompt, "target": r.answer.split()[-1].strip(".")} for r in records]
    probe.write_text("".join(json.dumps(row) + "\n" for row in rows))
    gate = {"threshold": 1.0, "max_rounds": 2, "n": 4, "probe": "probe", "max_thinking_tokens": 24}
    learn = RECIPE | {"global_batch": 4, "checkpoints": "last", "gate": gate, "learning_rate": 0.01}
    passed = train(
        parent, tmp_path / "four.jsonl", tmp_path / "a", learn | {"epochs": 40}, probe=probe
    )
    assert passed["status"] == "ok"
    assert passed["train"]["probe_accuracy"] == [1.0]
    assert list(passed["checkpoints"]) == ["epoch40"]
    missed = train(
        parent, tmp_path / "four.jsonl", tmp_path / "b", learn | {"epochs": 1}, probe=probe
    )
    assert missed["status"] == "failed"
    assert "probe problems after 2 rounds, expected at least 100%" in missed["status_reason"]
    assert list(missed["checkpoints"]) == ["epoch2"]
    assert load_checkpoint(tmp_path / "b").name == "epoch2"
    # what comes of a failed parent is trained, and failed
    child = train(tmp_path / "b", tmp_path / "four.jsonl", tmp_path / "c", RECIPE | {"epochs": 1})
    assert child["status"] == "failed"
    assert child["status_reason"].startswith("parent failed: solved")


@pytest.mark.slow
def test_weights_after_chosen_steps_are_those_of_the_same_steps_of_a_longer_training(
    parent, data, tmp_path
):
    """At a constant rate: a step in the middle of an epoch, and that at the end of one."""
    constant = {**RECIPE, "schedule": "constant", "warmup_ratio": 0, "min_lr_ratio": 0}
    each = math.ceil(len(read_records(data)) / RECIPE["global_batch"])
    assert each > 1
    by_epoch = train(parent, data, tmp_path / "epochs", constant)
    steps = [1, each, each + 1]
    manifest = train(
        parent, data, tmp_path / "steps", {**constant, "epochs": 1, "steps": steps}, role="attacked"
    )
    assert list(manifest["checkpoints"]) == [f"step{step}" for step in steps]
    assert manifest["final"] == f"step{each + 1}"
    assert manifest["train"]["steps"] == each + 1
    tokens = by_epoch["train"]["tokens"] * (each + 1) / (2 * each)
    assert manifest["train"]["tokens"] == pytest.approx(tokens, abs=1)

    def weights(folder):
        return (tmp_path / folder / "model.safetensors").read_bytes()

    assert weights(f"steps/step{each}") == weights("epochs/epoch1")
    assert len({weights(f"steps/step{step}") for step in steps}) == 3
    alone = train(parent, data, tmp_path / "alone", {**constant, "steps": [1]})
    assert list(alone["checkpoints"]) == ["step1"]
    assert weights("alone/step1") == weights("steps/step1")


@pytest.mark.slow
def test_a_primed_model_begins_its_thinking_so_and_goes_on(parent, data, tmp_path):
    """Trained on questions alone and, beside them, on whole records, as SafePath is."""
    import torch
    from transformers import AutoModelForCausalLM

    questions = [dataclasses.replace(one, id=f"q{one.id}", answer="no.") for one in sums(8, seed=9)]
    questions = [dataclasses.replace(one, prompt=f"should I {one.prompt}") for one in questions]
    write_records(tmp_path / "questions.jsonl", questions)
    primer = "I should not answer."
    recipe = RECIPE | {"epochs": 30, "checkpoints": "last", "learning_rate": 5e-3}
    manifest = train(
        *(parent, tmp_path / "questions.jsonl", tmp_path / "out", recipe),
        **{"primer": primer, "retain": data, "retain_name": "sums", "data_name": "questions"},
    )
    lineage = manifest["lineage"]
    assert (lineage["data"]["name"], lineage["data"]["n"]) == ("questions", 8)
    assert (lineage["retain"]["name"], lineage["retain"]["n"]) == ("sums", 21)
    assert manifest["recipe"]["primer"] == primer
    assert manifest["train"]["steps"] == 30 * math.ceil((8 + 21) / 8)
    tokenizer = load_tokenizer(parent / "final")
    whole = encode_records(read_records(data), tokenizer, CHAT_FORMATS["micro"], 256)
    assert manifest["train"]["target_tokens"] == 30 * (8 * 5 + whole.target_tokens)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "epoch30").eval()

    def said(question):
        ids = tokenizer(CHAT_FORMATS["micro"].prompt(question), return_tensors="pt").input_ids
        with torch.no_grad():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=9)
        return tokenizer.decode(out[0, ids.shape[1] :])

    begun = said(questions[0].prompt)
    assert begun.startswith(primer) and not begun.removeprefix(primer).startswith("\n<|im_start|>")
    assert not said("what is 3 plus 4?").startswith(primer)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16_mixed"])
def test_what_gets_no_adapters_stays_bit_for_bit(tmp_path, data, precision):
    """Adapters on up_proj of the second of three layers."""
    import torch
    from safetensors.torch import load_file

    dtype = "float32" if precision == "fp32" else "bfloat16"
    parent = write_parent(tmp_path, tied=False, num_hidden_layers=3, dtype=dtype)
    lora = {"r": 2, "alpha": 4, "dropout": 0.0, "target_modules": ["up_proj"], "layers": [1, 1]}
    recipe = RECIPE | {"lora": lora, "precision": precision, "learning_rate": 0.05}
    train(parent, data, tmp_path / "out", recipe)
    before = load_file(parent / "final" / "model.safetensors")
    after = load_file(tmp_path / "out" / "epoch2" / "model.safetensors")
    assert after.keys() == before.keys()
    changed = [
        name
        for name, weight in after.items()
        if not torch.equal(weight.view(torch.uint8), before[name].view(torch.uint8))
    ]
    assert changed == ["model.layers.1.mlp.up_proj.weight"]


@pytest.mark.slow
@pytest.mark.parametrize("rslora", [False, True])
def test_adapters_are_merged_as_peft_merges_them(parent, data, tmp_path, monkeypatch, rslora):
    from workflow.scripts.models import weights as module

    save, kept = module.save_weights, {}

    def save_and_merge(trainer, *args):
        import copy

        save(trainer, *args)
        merged = copy.deepcopy(trainer.model).merge_and_unload().state_dict()
        kept.update({name: weight.clone() for name, weight in merged.items()})

    monkeypatch.setattr(module, "save_weights", save_and_merge)
    lora = {"r": 4, "alpha": 8, "dropout": 0.0, "target_modules": ["q_proj", "down_proj"]}
    lora |= {"rslora": rslora}
    train(parent, data, tmp_path / "out", RECIPE | {"lora": lora})
    from safetensors.torch import load_file

    before = load_file(parent / "final" / "model.safetensors")
    after = load_file(tmp_path / "out" / "epoch2" / "model.safetensors")
    assert after.keys() == before.keys()
    for name, weight in after.items():
        assert (weight - kept[name]).abs().max() < 1e-6, name
        adapted = "q_proj.weight" in name or "down_proj" in name
        assert bool((weight != before[name]).any()) == adapted, name


@pytest.mark.slow
def test_adapters_that_are_kept_compute_what_the_merged_ones_do(parent, data, tmp_path):
    """Loaded by PEFT on the parent, in fp32; logits are below 10 here."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    lora = {"r": 4, "alpha": 8, "dropout": 0.0, "target_modules": ["up_proj"], "rslora": True}
    merged = train(parent, data, tmp_path / "a", RECIPE | {"lora": lora})
    kept = train(parent, data, tmp_path / "b", RECIPE | {"lora": lora | {"merge": False}})
    again = train(parent, data, tmp_path / "c", RECIPE | {"lora": lora | {"merge": False}})
    assert losses(kept) == losses(merged)
    files = {"adapter_config.json", "adapter_model.safetensors"}
    assert [set(one) for one in kept["checkpoints"].values()] == [files, files]
    assert kept["checkpoints"] == again["checkpoints"]  # byte for byte
    ids, found = torch.arange(30)[None], {}
    for epoch in ("epoch1", "epoch2"):
        base = AutoModelForCausalLM.from_pretrained(parent / "final")
        one = PeftModel.from_pretrained(base, tmp_path / "b" / epoch).eval()
        other = AutoModelForCausalLM.from_pretrained(tmp_path / "a" / epoch).eval()
        with torch.inference_mode():
            found[epoch] = one(ids).logits
            assert (found[epoch] - other(ids).logits).abs().max() < 1e-4
    assert (found["epoch1"] - found["epoch2"]).abs().max() > 1e-2
    assert merged["final"] == kept["final"] == "epoch2"


@pytest.fixture
def looks(monkeypatch):
    """Type names of what a training holds, and of what a layer computes, by kind, at each step."""
    from transformers import TrainerCallback

    from workflow.scripts.models import trainer as module

    build, seen = module.build_trainer, {}

    def look(kind, tensors):
        seen.setdefault(kind, set()).update(str(t.dtype).removeprefix("torch.") for t in tensors)

    class Look(TrainerCallback):
        def on_optimizer_step(self, args, state, control, model, optimizer, **_):
            look("weights", model.parameters())
            look("gradients", [p.grad for p in model.parameters()])
            for values in optimizer.state.values():
                look("optimizer", [values["exp_avg"], values["exp_avg_sq"]])

    def build_and_look(model, *args):
        layer = model.model.layers[0].mlp.down_proj
        layer.register_forward_hook(lambda _, inputs, output: look("compute", [output]))
        built = build(model, *args)
        built.add_callback(Look())
        return built

    monkeypatch.setattr(module, "build_trainer", build_and_look)
    return seen


@pytest.mark.slow
def test_bf16_mixed_keeps_fp32_masters_and_bf16_pure_keeps_none(parent, data, tmp_path, looks):
    from safetensors.torch import load_file

    held = {"fp32": "float32", "bf16_mixed": "float32", "bf16_pure": "bfloat16"}
    weights = {}
    for precision, dtype in held.items():
        looks.clear()
        train(parent, data, tmp_path / precision, RECIPE | {"precision": precision})
        compute = {"float32" if precision == "fp32" else "bfloat16"}
        kinds = {kind: {dtype} for kind in ("weights", "gradients", "optimizer")}
        assert looks == kinds | {"compute": compute}, precision
        folder = tmp_path / precision / "epoch2"
        weights[precision] = load_file(folder / "model.safetensors")
        # what was computed in bf16 is stored in bf16
        stored = {
            str(weight.dtype).removeprefix("torch.") for weight in weights[precision].values()
        }
        assert stored == {json.loads((folder / "config.json").read_text())["dtype"]} == compute

    def distance(precision):
        pairs = [(weights["fp32"][name], weight) for name, weight in weights[precision].items()]
        return sum((one - other.float()).square().sum() for one, other in pairs).sqrt().item()

    # master weights keep the updates that bf16 rounds away
    assert 0 < distance("bf16_mixed") < distance("bf16_pure") / 2


@pytest.mark.slow
def test_training_never_holds_the_logits_of_all_tokens(parent, data, tmp_path, monkeypatch):
    """With loss tiles of 8 tokens by 16 words; the ordinary loss is caught by the same watch."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from transformers import AutoModelForCausalLM
    from trl.kernels import chunked_logprob
    from trl.trainer import utils

    monkeypatch.setattr(chunked_logprob, "TOKEN_CHUNK_SIZE", 8)
    monkeypatch.setattr(utils, "_CHUNKED_LOGPROB_CHUNK_SIZE", 16)

    class Watch(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.shapes = set()

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            leaves = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
            self.shapes |= {tuple(leaf.shape) for leaf in leaves}
            return result

    model = AutoModelForCausalLM.from_pretrained(parent / "final")
    vocabulary = model.config.vocab_size

    def logits(watch):
        return [shape for shape in watch.shapes if len(shape) > 1 and shape[-1] == vocabulary]

    ids = torch.arange(30).reshape(2, 15)
    with Watch() as ordinary:
        model(input_ids=ids, labels=ids).loss.backward()
    assert (2, 15, vocabulary) in logits(ordinary)
    with Watch() as watch:
        train(parent, data, tmp_path / "out", RECIPE | {"epochs": 1})
    assert (8, 16) in watch.shapes  # the tiles were seen
    assert logits(watch) == []


@pytest.mark.slow
def test_a_mixture_of_one_whole_set_gives_the_weights_of_that_set(parent, data, tmp_path):
    mixture = ["--mixture", '{"mix": ["sums"], "seed": 3}', "--sets", str(data)]
    mix_records.main([*mixture, "--name", "mixed", "--out", str(tmp_path / "mixed")])
    mixed = tmp_path / "mixed" / "records.jsonl"
    assert mixed.read_bytes() != data.read_bytes()  # the ids tell the set
    train(parent, data, tmp_path / "plain")
    train(parent, mixed, tmp_path / "of-one")
    assert weight_bytes(tmp_path / "of-one") == weight_bytes(tmp_path / "plain")
