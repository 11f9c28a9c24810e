"""Merging two models: the ends of the line bit for bit, the middle, lineage, refusals."""

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
def test_merging_takes_little_memory_whatever_the_size(tmp_path, root):
    """Two models of 0.8 GB each, one tensor of 0.4 GB: far less than either is used."""
    sizes = {"hidden_size": 1024, "vocab_size": 100_000, "max_shard_size": "5GB"}
    models = [write_model(tmp_path / str(seed), seed, **sizes) for seed in (1, 2)]
    code = (
        "import sys, resource, torch\nfrom workflow.scripts.models.merge_models import main\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "main(sys.argv[1:])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-c", code, "--parent", models[0], "--other", models[1]),
            *("--alpha", "0.5", "--run", "r", "--role", "aligned", "--chat-format", "micro"),
            *("--seed", "1", "--out", tmp_path / "merged"),
        ],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) * 1024 < 0.5e9  # Linux counts in KiB


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


def test_a_merge_of_an_lrm_that_the_alignment_leaves_out_is_refused(experiment):
    changed, name = with_merge(experiment)
    changed["lrms"]["second"] = changed["lrms"]["tiny"]
    changed["alignments"][name]["lrms"] = ["tiny"]
    with pytest.raises(InputError, match=f"merged.lrms: {name} does not align 'second', expected"):
        check_experiment(changed, "mine.yaml")
