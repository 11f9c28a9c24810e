"""Publish a model's checkpoint on the hub, in a private repository, with its manifest.

Off by default: no other rule needs it. Needs HF_TOKEN with the right to write. Every file is
compared with the manifest first, so that what is published is what was evaluated.

HF_TOKEN=... python -m workflow.scripts.models.publish_model \
    --model results/paper/models/aligned/s1.1-32b/directrefusal/seed42/manifest.json \
    --repository my-org/s1.1-32b-directrefusal --out published.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import sha256_file, write_json
from workflow.scripts.common.manifest import load_checkpoint, read_manifest
from workflow.scripts.data.hub import hub_errors, hub_token

FORMAT = 1


def publish_model(model: Path, checkpoint: str | None, repository: str) -> str:
    """Upload a verified checkpoint and its manifest; return the commit.

    Raises:
        InputError: No token, no right to write, no network, or files that are not the manifest's.
    """
    from huggingface_hub import HfApi

    if not hub_token():
        raise InputError(f"{repository}: HF_TOKEN is not set, expected a token that may write")
    folder = load_checkpoint(model, checkpoint)
    with hub_errors(repository, "model"):
        api = HfApi(token=hub_token())
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_file(path_or_fileobj=model, path_in_repo="manifest.json", repo_id=repository)
        commit = api.upload_folder(folder_path=folder, repo_id=repository)
    return commit.oid


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--model", required=True, type=Path, help="the run's manifest.json")
    parser.add_argument("--checkpoint", help="default: the final one")
    parser.add_argument("--repository", required=True, help="owner/name; made when absent")
    parser.add_argument("--out", required=True, type=Path, help="says what was published, JSON")
    args = parser.parse_args(argv)
    commit = publish_model(args.model, args.checkpoint, args.repository)
    write_json(
        args.out,
        {
            "format": FORMAT,
            "repository": args.repository,
            "commit": commit,
            "run": read_manifest(args.model)["run"],
            "manifest_sha256": sha256_file(args.model),
        },
    )


if __name__ == "__main__":
    run(main)
