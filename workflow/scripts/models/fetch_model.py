"""Bring a ready-made model into a run folder: from the hub, a local folder or a package.

Writes `final/` (config, tokenizer and safetensors) and, last, `manifest.json`. Runs on a login node
with network: nothing but a package's GGUF file needs torch. A lost connection resumes; after an
interruption the same command keeps the files that were finished. Every file of the hub is compared
with the hash that the hub gives. Weights are safetensors only, and no code of a repository is ever
run or fetched.

python -m workflow.scripts.models.fetch_model --model '{"hub": "Qwen/Qwen2.5-32B-Instruct"}' \
    --revision 5ede1c97bbab6ce5cda5812749b4c0bdf79b18dd --run base/qwen2.5-32b/hub --role base \
    --chat-format s1 --out results/paper/models/base/qwen2.5-32b/hub
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from importlib import import_module
from pathlib import Path

from workflow.scripts.common.chat import chat_format
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import read_json
from workflow.scripts.common.manifest import ModelSource, write_manifest
from workflow.scripts.common.result import making
from workflow.scripts.data.hub import check_revision, hub_errors, hub_token, verify_file
from workflow.scripts.data.packages import package_file

# What a plain model folder holds. Patterns match paths, so that folders are left out by IGNORE.
KEEP = ["*.safetensors", "*.json", "tokenizer.model", "*.txt", "*.jinja", "LICENSE*"]
IGNORE = ["*/*", "consolidated*"]
PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}


def fetch_hub(name: str, revision: str | None, folder: Path) -> None:
    """Download a hub model at a commit into `folder` and verify every file.

    Files of an earlier try that are whole are kept. The client never takes up a file that another
    process left in part, so those parts are removed.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils import filter_repo_objects

    revision = check_revision(name, revision)
    with hub_errors(name, "model", revision):
        api = HfApi(token=hub_token())
        info = api.model_info(name, revision=revision, files_metadata=True, timeout=30)
        siblings = {sibling.rfilename: sibling for sibling in info.siblings or []}
        wanted = set(filter_repo_objects(siblings, allow_patterns=KEEP, ignore_patterns=IGNORE))
        check_weights({Path(file) for file in siblings if "/" not in file}, f"hub model {name}")
        for part in folder.rglob("*.incomplete"):
            part.unlink()
        snapshot_download(
            name,
            revision=revision,
            local_dir=folder,
            allow_patterns=KEEP,
            ignore_patterns=IGNORE,
            token=hub_token(),
        )
    for path in folder.iterdir():  # what an earlier download for another revision left
        if path.is_file() and path.name not in wanted:
            path.unlink()
    for file in sorted(wanted):
        verify_file(folder / file, siblings[file])
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def copy_folder(source: Path, folder: Path) -> None:
    """Copy the plain model files of a local folder."""
    if not source.is_dir():
        raise InputError(f"{source}: no such folder, expected a model folder")
    check_weights({Path(path.name) for path in source.iterdir()}, str(source))
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_file() and any(path.match(pattern) for pattern in KEEP):
            shutil.copyfile(path, folder / path.name)


def check_weights(files: set[Path], where: str) -> None:
    """Raise `InputError` unless the files are a model folder's with safetensors weights."""
    names = {str(path) for path in files}
    if not any(path.suffix == ".safetensors" for path in files):
        pickled = sorted(str(path) for path in files if path.suffix in PICKLED)
        refused = f"; {', '.join(pickled)}: pickled weights are refused" if pickled else ""
        raise InputError(f"{where}: no *.safetensors{refused}; expected weights as safetensors")
    for expected in ("config.json", "tokenizer_config.json"):
        if expected not in names:
            raise InputError(f"{where}: no {expected}, expected a whole model folder")


def check_shards(folder: Path) -> None:
    """Raise `InputError` when a shard that the weights' index names is missing."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return
    for shard in sorted(set(read_json(index)["weight_map"].values())):
        if not (folder / shard).is_file():
            raise InputError(f"{folder / shard}: missing, though {index.name} names it")


def fetch_model(model: ModelSource, revision: str | None, out: Path) -> None:
    """Fill `out/final` with the model. Local copies appear whole, under their name, or not at all.

    Raises:
        InputError: The section is none of `{"hub"}`, `{"path"}` and `{"package": {"name",
            "file"}}`, the source cannot be had, or it holds no safetensors.
    """
    final = out / "final"
    if set(model) == {"hub"}:
        # The download fills the folder file by file; the manifest alone says that it is complete.
        final.mkdir(parents=True, exist_ok=True)
        fetch_hub(model["hub"], revision, final)
        check_shards(final)
        return
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".final.") as temporary:
        folder = Path(temporary) / "final"
        if set(model) == {"path"}:
            copy_folder(Path(model["path"]), folder)
        elif set(model) == {"package"} and set(model["package"]) == {"name", "file"}:
            # loaded by name: no other source's results are made by it
            conversion = import_module("workflow.scripts.models.convert_gguf")
            package = model["package"]
            conversion.convert_gguf(package_file(package["name"], package["file"]), folder)
        else:
            known = '{"hub"}, {"path"} or {"package": {"name", "file"}}'
            raise InputError(f"--model: {model}, expected {known}")
        check_shards(folder)
        if final.exists():
            shutil.rmtree(final)
        folder.rename(final)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="where the model comes from, as JSON")
    parser.add_argument("--revision", help="commit hash, for a hub model")
    parser.add_argument("--run", required=True, help="the run's name, such as base/x/hub")
    parser.add_argument("--role", required=True, choices=["base", "lrm"])
    parser.add_argument("--chat-format", required=True)
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--result", type=json.loads, help="what it is made from, as JSON")
    args = parser.parse_args(argv)
    chat_format(args.chat_format)
    try:
        model: ModelSource = json.loads(args.model)
    except ValueError as error:
        raise InputError(f"--model: not JSON ({error})") from None
    if not isinstance(model, dict):
        raise InputError(f"--model: {model!r}, expected a JSON object")
    with making(args.out, args.result):
        (args.out / "manifest.json").unlink(missing_ok=True)
        fetch_model(model, args.revision, args.out)
        source: ModelSource = {**model, "revision": args.revision} if args.revision else model
        write_manifest(
            args.out,
            ["final"],
            run=args.run,
            role=args.role,
            chat_format=args.chat_format,
            thinking=args.role == "lrm",
            status="ok",
            status_reason=None,
            seed=None,
            recipe={},
            parents={},
            lineage={"base": None, "data": None, "source": source},
            train=None,
        )


if __name__ == "__main__":
    run(main)
