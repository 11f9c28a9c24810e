"""Merging models: the ends of the line bit for bit, the middle, sums, lineage, refusals."""

import copy
import json
import subprocess
import sys

import pytest
import yaml

from tests.models.conftest import write_parent
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.manifest import load_checkpoint, read_manifest
from workflow.scripts.common.result import read_result
from workflow.scripts.config.load import check_experiment
from workflow.scripts.graph.results import list_results
from workflow.scripts.graph.runs import list_runs
from workflow.scripts.models import merge_models, method_registry

SIZES = {"tied": False, "hidden_size": 32, "max_shard_size": "20KB"}


def write_model(folder, seed, **sizes):
    """Write a run of random weights, spread over several files."""
    return write_parent(folder, **{**SIZES, "torch_seed": seed, **sizes})


@pytest.fixture(scope="module")
def lrm(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("lrm"), 1)


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    """Cut into files elsewhere than the LRM."""
    return write_model(tmp_path_factory.mktemp("aligned"), 2, max_shard_size="50KB")


def merge(lrm, aligned, out, alpha, *more):
    merge_models.main(
        [
            *("--parent", str(lrm / "manifest.json"), "--other", str(aligned)),
            *("--alpha", str(alpha), "--run", "aligned/tiny/merged/seed1", "--role", "aligned"),
            *("--chat-format", "micro", "--seed", "1", "--out", str(out)),
            *("--result", json.dumps({"name": "merged", "spec": {}}), *more),
        ]
    )
    return out


def read_weights(run):
    from safetensors.torch import load_file

    folder = load_checkpoint(run)
    files = [load_file(path) for path in sorted(folder.glob("*.safetensors"))]
    return {name: weight for file in files for name, weight in file.items()}


def same_bytes(ours, theirs):
    import torch

    assert ours.keys() == theirs.keys()
    return all(
        ours[name].dtype == theirs[name].dtype
        and torch.equal(ours[name].view(torch.uint8), theirs[name].view(torch.uint8))
        for name in ours
    )


@pytest.mark.parametrize("piece", [2**24, 100])
def test_the_ends_of_the_line_are_the_two_models_bit_for_bit(
    lrm, aligned, tmp_path, monkeypatch, piece
):
    monkeypatch.setattr(merge_models, "PIECE", piece)
    assert len(list((lrm / "final").glob("*.safetensors"))) > 2
    first, last = (merge(lrm, aligned, tmp_path / str(alpha), alpha) for alpha in (0, 1))
    assert same_bytes(read_weights(first), read_weights(lrm))
    assert same_bytes(read_weights(last), read_weights(aligned))
    assert not same_bytes(read_weights(first), read_weights(aligned))
    # all else is the LRM's, and its files too
    names = {path.name for path in (lrm / "final").iterdir()}
    assert {path.name for path in (last / "final").iterdir()} == names
    for name in names:
        if not name.endswith(".safetensors"):
            assert (last / "final" / name).read_bytes() == (lrm / "final" / name).read_bytes()


@pytest.mark.parametrize("alpha", [0.5, 0.2])
def test_between_them_is_the_weighted_mean(lrm, aligned, tmp_path, alpha):
    """In pieces, against transformers' own reading of the models."""
    from transformers import AutoModelForCausalLM

    merged = merge(lrm, aligned, tmp_path / "merged", alpha)
    ours, theirs, found = (
        AutoModelForCausalLM.from_pretrained(run / "final").double().state_dict()
        for run in (lrm, aligned, merged)
    )
    for name, weight in found.items():
        expected = (1 - alpha) * ours[name] + alpha * theirs[name]
        assert (weight - expected).abs().max() < 1e-7, name


def test_models_of_two_types_are_merged_in_the_finer_one_and_stored_in_the_parents(lrm, tmp_path):
    import torch

    half = write_model(tmp_path / "half", 2, dtype="bfloat16")
    fine, ours = read_weights(lrm), read_weights(half)
    found = read_weights(merge(half, lrm, tmp_path / "merged", 0.5))
    for name, weight in found.items():
        assert weight.dtype == torch.bfloat16
        expected = ((ours[name].double() + fine[name].double()) / 2).bfloat16()
        assert (weight.double() - expected.double()).abs().max() <= 2**-8 * expected.abs().max()
        assert (weight == expected).double().mean() > 0.99


def test_the_manifest_says_what_was_merged(lrm, aligned, tmp_path):
    out = merge(lrm, aligned, tmp_path / "merged", 0.25)
    manifest = read_manifest(out)
    assert (manifest["final"], manifest["status"]) == ("final", "ok")
    assert manifest["recipe"] == {"method": "merge", "alpha": 0.25}
    assert manifest["lineage"]["base"]["run"] == "base/tiny/seed1"
    hashes = {manifest["lineage"]["base"]["sha256"]}
    hashes.add(manifest["lineage"]["others"]["other"]["sha256"])
    assert len(hashes) == 2
    assert set(manifest["parents"]) == {"parent", "other"}
    assert "final/config.json" in read_result(out)["files"]
    # what comes of a failed model failed, too
    failed = tmp_path / "failed"
    subprocess.run(["cp", "-r", aligned, failed], check=True)
    about = json.loads((failed / "manifest.json").read_text())
    about |= {"status": "failed", "status_reason": "its gate"}
    (failed / "manifest.json").write_text(json.dumps(about))
    assert read_manifest(merge(lrm, failed, tmp_path / "b", 0.5))["status_reason"] == (
        "parent failed: its gate"
    )


def test_models_of_another_architecture_and_checkpoint_are_refused(lrm, aligned, tmp_path):
    cases = {
        "wide": ({"hidden_size": 64}, r"the shape of .* is \(.*64.*\), expected \(.*32"),
        "deep": ({"num_hidden_layers": 3}, r"layers.2.* is in one of .*, expected it in both"),
        "heads": (
            {"num_attention_heads": 4, "num_key_value_heads": 4},
            "num_attention_heads is 4, expected 2 as in",
        ),
    }
    for name, (sizes, words) in cases.items():
        other = write_model(tmp_path / name, 3, **sizes)
        with pytest.raises(InputError, match=words):
            merge(lrm, other, tmp_path / "out", 0.5)
    with pytest.raises(InputError, match="no checkpoint 'epoch9', expected one of final"):
        merge(lrm, aligned, tmp_path / "out", 0.5, "--other-checkpoint", "epoch9")
    with pytest.raises(InputError, match=r"--alpha is 1\.5, expected 0 to 1"):
        merge(lrm, aligned, tmp_path / "out", 1.5)
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.slow
def test_merging_takes_half_a_gigabyte_at_most_whatever_the_size(tmp_path, root):
    """Three models of 0.2 GB, a tensor of 0.1 GB among them, each cut into files elsewhere."""
    sizes = {"hidden_size": 1024, "vocab_size": 24_000}
    cuts = ("1MB", "120MB", "5GB")
    models = [
        write_model(tmp_path / str(seed), seed, **sizes, max_shard_size=cut)
        for seed, cut in enumerate(cuts)
    ]
    weights = [sorted((run / "final").glob("*.safetensors")) for run in models]
    assert len({len(files) for files in weights}) == 3
    assert sum(path.stat().st_size for files in weights for path in files) > 0.6e9
    # not getrusage: a new process begins with the peak of the one that started it
    code = (
        "import re, sys, torch\nfrom workflow.scripts.models.merge_models import main\n"
        "status = lambda: open('/proc/self/status').read()\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', status())[1])\n"
        "before = peak()\nmain(sys.argv[1:])\nprint(peak() - before)"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-c", code, "--parent", models[0]),
            *("--other", models[1], "--other", models[2], "--scale", "0.5", "--scale", "-0.25"),
            *("--run", "r", "--role", "aligned", "--chat-format", "micro"),
            *("--seed", "1", "--out", tmp_path / "merged"),
        ],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) * 1024 < 0.5e9  # KiB


# --- task arithmetic


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """Another aligned model, in one file."""
    return write_model(tmp_path_factory.mktemp("second"), 3, max_shard_size="5GB")


def add(lrm, others, out, *more):
    """Merge an LRM with (run, scale) of each other model."""
    merge_models.main(
        [
            *("--parent", str(lrm), "--out", str(out)),
            *(f"--other={run}" for run, _ in others),
            *(f"--scale={scale}" for _, scale in others),
            *("--run", "aligned/tiny/summed/seed1", "--role", "aligned"),
            *("--chat-format", "micro", "--seed", "1", *more),
        ]
    )
    return out


def test_task_arithmetic_adds_scaled_differences(lrm, aligned, second, tmp_path):
    """Against transformers' own reading of the models, whose files are cut elsewhere each."""
    from transformers import AutoModelForCausalLM

    counts = {len(list((run / "final").glob("*.safetensors"))) for run in (lrm, aligned, second)}
    assert len(counts) == 3
    out = add(lrm, [(aligned, 0.75), (second, -1e-05), (second, 1.5)], tmp_path / "summed")
    base, first, last, found = (
        AutoModelForCausalLM.from_pretrained(run / "final").double().state_dict()
        for run in (lrm, aligned, second, out)
    )
    for name, weight in found.items():
        expected = base[name] + 0.75 * (first[name] - base[name])
        expected += (1.5 - 1e-05) * (last[name] - base[name])
        assert (weight - expected).abs().max() < 1e-6, name


@pytest.mark.parametrize(("scales", "source"), [((0, 0), "lrm"), ((1, 0), "aligned"), ((0, 1), "")])
def test_task_arithmetic_that_asks_for_one_model_gives_it_bit_for_bit(
    lrm, aligned, second, tmp_path, scales, source
):
    out = add(lrm, list(zip((aligned, second), scales, strict=True)), tmp_path / "out")
    expected = {"lrm": lrm, "aligned": aligned, "": second}[source]
    assert same_bytes(read_weights(out), read_weights(expected))


@pytest.mark.parametrize("scale", [0, 0.3, 0.7, 1])
def test_one_task_vector_is_the_interpolation_bit_for_bit(lrm, aligned, tmp_path, scale):
    one = add(lrm, [(aligned, scale)], tmp_path / "one")
    other = merge(lrm, aligned, tmp_path / "other", scale)
    assert same_bytes(read_weights(one), read_weights(other))


def test_the_manifest_names_all_parents_with_their_scales(lrm, aligned, second, tmp_path):
    manifest = read_manifest(add(lrm, [(aligned, 0.5), (second, 0.25)], tmp_path / "out"))
    assert manifest["recipe"] == {"method": "task_arithmetic", "scales": [0.5, 0.25]}
    others = manifest["lineage"]["others"]
    assert {name: one["scale"] for name, one in others.items()} == {"other1": 0.5, "other2": 0.25}
    hashes = {manifest["lineage"]["base"]["sha256"], *(one["sha256"] for one in others.values())}
    assert len(hashes) == 3
    assert len(set(manifest["parents"].values())) == len(manifest["parents"]) == 3


def test_a_model_with_other_token_ids_is_refused(lrm, second, tmp_path):
    other = tmp_path / "other"
    subprocess.run(["cp", "-r", second, other], check=True)
    path = other / "final" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    words = tokenizer["model"]["vocab"]
    words["what"], words["is"] = words["is"], words["what"]
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(InputError) as error:
        merge_models.check_architectures(lrm / "final", other / "final")
    assert "\n" not in str(error.value)
    assert f"its tokenizer has 'is' as {words['is']}, expected {words['what']}" in str(error.value)
    # the same ids in another order of keys are the same
    words["what"], words["is"] = words["is"], words["what"]
    path.write_text(json.dumps(tokenizer, sort_keys=True, indent=2))
    merge_models.check_architectures(lrm / "final", other / "final")


@pytest.mark.parametrize(
    ("others", "more", "words"),
    [
        (2, ["--scale=1"], "--scale is there 1 times, expected it once for each of 2 --other"),
        (2, ["--alpha=1"], "--alpha with 2 --other, expected one, or --scale"),
        (
            1,
            ["--scale=1", "--other-checkpoint=final", "--other-checkpoint=final"],
            "--other-checkpoint is there 2 times, expected it once for each of 1 --other",
        ),
    ],
)
def test_scales_and_models_that_do_not_belong_together_are_refused(
    lrm, aligned, tmp_path, others, more, words
):
    with pytest.raises(InputError, match=words):
        add(lrm, [], tmp_path / "out", *[f"--other={aligned}"] * others, *more)


# --- in an experiment


@pytest.fixture(scope="module")
def experiment(root):
    text = (root / "tests/experiments/tiny.yaml").read_text()
    return yaml.safe_load(text)


def with_merge(experiment, **entry):
    changed = copy.deepcopy(experiment)
    name = next(iter(experiment["alignments"]))
    entry = {"method": "merge", "alignment": name, "alpha": 0.5, **entry}
    # before the alignment that it is made from
    changed["alignments"] = {"merged": entry, **changed["alignments"]}
    return changed, name


def test_an_experiment_plans_a_merge_after_the_models_that_it_is_made_from(experiment):
    changed, name = with_merge(experiment, epoch=1)
    runs = list_runs(check_experiment(changed, "mine.yaml"))
    method = method_registry.get("merge")
    merged = [run for run in runs.values() if run.method == "merge"]
    assert merged
    for run in merged:
        seed = run.name.rpartition("/")[2]
        parent, other = f"lrm/tiny/{seed}", f"aligned/tiny/{name}/{seed}"
        assert method.inputs(run, changed) == {"parent": ("run", parent), "other": ("run", other)}
        assert list(runs).index(other) < list(runs).index(run.name)
        assert method.arguments(run, changed) == [
            *("--alpha", "0.5", "--other-checkpoint", "epoch1")
        ]
        assert method.sections(run, changed)["epoch"] == 1
        assert run.checkpoints == ()


def test_a_merge_of_runs_that_are_trained_for_each_epoch_count_takes_the_asked_or_the_last(
    experiment,
):
    for epoch, expected in ((None, "epochs2"), (1, "epochs1")):
        changed, name = with_merge(experiment, **({"epoch": epoch} if epoch else {}))
        changed["alignments"][name] |= {"per_epoch": "retrain", "epochs": [1, 2]}
        runs = list_runs(check_experiment(changed, "mine.yaml"))
        others = {run.others["other"] for run in runs.values() if run.method == "merge"}
        assert others and all(other.endswith(f"-{expected}") for other in others)
        assert others <= set(runs)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"alpha": 1.5}, "alignments.merged.alpha is 1.5, expected at most 1"),
        ({"alignment": "other"}, "alignments.merged.alignment: 'other' is no entry of alignments"),
        ({"alignment": "merged"}, "alignments.merged.alignment: 'merged' is a merge, expected a t"),
        ({"epoch": 99}, "alignments.merged.epoch is 99, expected one of which weights are kept: 1"),
        ({"recipe": "safety"}, "alignments.merged.recipe is unknown; expected some of"),
        ({"lrms": ["none"]}, "alignments.merged.lrms: 'none' is no entry of lrms"),
    ],
)
def test_a_merge_that_cannot_be_made_is_refused_before_any_job(experiment, entry, words):
    changed, _ = with_merge(experiment, **entry)
    with pytest.raises(InputError) as error:
        check_experiment(changed, "mine.yaml")
    assert str(error.value).startswith(f"mine.yaml: {words}")


def with_sum(experiment, vectors):
    changed = copy.deepcopy(experiment)
    entry = {"method": "task_arithmetic", "vectors": vectors}
    changed["alignments"] = {"summed": entry, **changed["alignments"]}
    return changed


def test_an_experiment_plans_task_arithmetic_on_all_its_parents(experiment):
    vectors = {"safechain": {"scale": -0.5, "epoch": 1}, "directrefusal": {"scale": 1}}
    changed = with_sum(experiment, vectors)
    changed["alignments"]["safechain"] |= {"per_epoch": "retrain", "epochs": [1, 2]}
    changed = check_experiment(changed, "mine.yaml")
    runs = list_runs(changed)
    run = runs["aligned/tiny/summed/seed1"]
    method = method_registry.get("task_arithmetic")
    # by name, whatever the order in the file
    others = ("aligned/tiny/directrefusal/seed1", "aligned/tiny/safechain/seed1-epochs1")
    assert method.inputs(run, changed) == {
        "parent": ("run", "lrm/tiny/seed1"),
        "other": ("run", *others),
    }
    assert method.arguments(run, changed) == [
        *("--scale=1.0", "--other-checkpoint=final"),
        *("--scale=-0.5", "--other-checkpoint=epoch1"),
    ]
    order = list(runs)
    assert all(order.index(other) < order.index(run.name) for other in others)
    model = list_results(changed, "mine")[f"models/{run.name}"]
    assert model.inputs["other"] == tuple(f"models/{other}" for other in others)
    assert model.rule == "derive_model"


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        ({}, "vectors is {}, expected "),
        ({"none": {"scale": 1}}, "vectors.none: 'none' is no entry of alignments"),
        ({"summed": {"scale": 1}}, "vectors.summed: 'summed' is a task_arithmetic, expected a t"),
        ({"safechain": {}}, "vectors.safechain.scale is missing"),
        (
            {"safechain": {"scale": 1, "epoch": 9}},
            "vectors.safechain.epoch is 9, expected one of which weights are kept: 1",
        ),
    ],
)
def test_task_arithmetic_that_cannot_be_done_is_refused_before_any_job(experiment, vectors, words):
    with pytest.raises(InputError) as error:
        check_experiment(with_sum(experiment, vectors), "mine.yaml")
    assert str(error.value).startswith(f"mine.yaml: alignments.summed.{words}")


def test_a_merge_of_adapters_that_are_kept_apart_is_refused(experiment):
    changed, name = with_merge(experiment)
    lora = {"r": 1, "alpha": 1, "dropout": 0, "target_modules": ["up_proj"], "merge": False}
    changed["recipes"][changed["alignments"][name]["recipe"]]["lora"] = lora
    with pytest.raises(InputError, match=f"merged.alignment: '{name}' keeps its adapters apart"):
        check_experiment(changed, "mine.yaml")


def test_a_merge_of_an_lrm_that_the_alignment_leaves_out_is_refused(experiment):
    changed, name = with_merge(experiment)
    changed["lrms"]["second"] = changed["lrms"]["tiny"]
    changed["alignments"][name]["lrms"] = ["tiny"]
    with pytest.raises(InputError, match=f"merged.lrms: {name} does not align 'second', expected"):
        check_experiment(changed, "mine.yaml")
