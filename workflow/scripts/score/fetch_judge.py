"""Bring the files of a classifier judge into the hub's cache, where scoring finds them offline.

Reads a scorer section, downloads the pinned files, compares them with the hub's hashes, loads
configuration and tokenizer as scoring will, and writes fetched.json, which lists the files. Runs on
a login node with network; a lost connection resumes.

python -m workflow.scripts.score.fetch_judge --out beaver-dam --scorer \
    '{"model": {"hub": "PKU-Alignment/beaver-dam-7b", "revision": "…"}, "weights": "torch"}'
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import write_json
from workflow.scripts.common.result import making
from workflow.scripts.config.classifier import FetchedJudge
from workflow.scripts.config.section import parse_section
from workflow.scripts.data.hub import check_revision, hub_errors, hub_token, verify_file
from workflow.scripts.score.classifier_judge import load_reader

FORMAT = 1
FILES = ["*.json", "*.model", "*.txt"]
WEIGHTS = {"safetensors": "*.safetensors", "torch": "*.bin"}


def fetch_judge(
    name: str, revision: str | None, weights: str, window_tokens: int
) -> dict[str, int]:
    """Download a classifier; return the size in bytes of each of its files, by name.

    Raises:
        InputError: There is no such repository, revision, access, network, or kind of weights, its
            tokenizer does not load, or its labels are not the categories: better now than after the
            models are trained.
    """
    from huggingface_hub import HfApi, snapshot_download

    revision = check_revision(name, revision)
    with hub_errors(name, "model", revision):
        api = HfApi(token=hub_token())
        info = api.model_info(name, revision=revision, files_metadata=True, timeout=30)
        folder = snapshot_download(
            name,
            revision=revision,
            allow_patterns=[*FILES, WEIGHTS[weights]],
            ignore_patterns=["*/*"],
            token=hub_token(),
        )
    if not list(Path(folder).glob(WEIGHTS[weights])):
        raise InputError(
            f"{name}: no {WEIGHTS[weights]}, expected weights as {weights} "
            "(the scorer's key weights: safetensors or torch)"
        )
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or []}
    files = sorted(path for path in Path(folder).iterdir() if path.is_file())
    for path in files:
        verify_file(path, siblings[path.name])
    load_reader(folder, None, window_tokens, name)
    return {path.name: path.stat().st_size for path in files}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--scorer", required=True, help="scorer section, as JSON")
    parser.add_argument("--out", required=True, type=Path, help="folder of fetched.json")
    parser.add_argument("--result", type=json.loads, help="what it is made from, as JSON")
    args = parser.parse_args(argv)
    judge = parse_section(FetchedJudge, args.scorer, "--scorer")
    name, revision = str(judge.model.hub), judge.model.revision
    with making(args.out, args.result):
        files = fetch_judge(name, revision, judge.weights, judge.window_tokens)
        write_json(
            args.out / "fetched.json",
            {"format": FORMAT, "model": name, "revision": revision, "files_bytes": files},
        )


if __name__ == "__main__":
    run(main)
