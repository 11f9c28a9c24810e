"""Merge models of one architecture: an LRM and models that were trained from it.

Interpolation (`--alpha`; Wortsman et al. 2022, arXiv 2109.01903) takes each weight from the line
between two models, (1 - alpha) · parent + alpha · other. Task arithmetic (`--scale`, once for each
of any number of models; Ilharco et al. 2023, arXiv 2212.04089) adds scaled differences:
parent + Σ scale · (other - parent). Both are computed in fp32 or finer and stored in the parent's
type. All else is the parent's: configuration, tokenizer, and which weights lie in which file.

The files are read and written piece by piece and need no GPU: besides Python and torch, merging
takes at most 0.5 GB of memory, however large and however many the models are.

python -m workflow.scripts.models.merge_models --parent results/micro/models/lrm/tiny/seed1 \
    --other results/micro/models/aligned/tiny/directrefusal/seed1 --alpha 0.5 --seed 1 \
    --role aligned --run aligned/tiny/merged/seed1 --chat-format micro --out merged
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from workflow.scripts.common.chat import chat_format
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import read_json, sha256_file
from workflow.scripts.common.manifest import load_checkpoint, write_manifest
from workflow.scripts.common.result import making
from workflow.scripts.models.lineage import describe_parent, failure_of_parents, hash_parents
from workflow.scripts.models.tensors import Tensor, list_tensors

PIECE = 2**24  # values of a tensor that are in memory at once
DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# What of a configuration gives weights of the same shapes another meaning.
ARCHITECTURE = ("model_type", "num_attention_heads", "num_key_value_heads")
# Tokenizers without a tokenizer.json.
SLOW_TOKENIZERS = ("vocab.json", "merges.txt", "tokenizer.model")


def check_architectures(parent: Path, other: Path) -> None:
    """Raise `InputError` unless two checkpoints have the same architecture and token ids."""
    ours, theirs = (read_json(folder / "config.json") for folder in (parent, other))
    for key in ARCHITECTURE:
        if ours.get(key) != theirs.get(key):
            raise InputError(
                f"{other}: {key} is {theirs.get(key)}, expected {ours.get(key)} as in {parent}"
            )
    mine, its = list_tensors(parent), list_tensors(other)
    if names := sorted(set(mine) ^ set(its)):
        raise InputError(f"{names[0]} is in one of {parent} and {other}, expected it in both")
    for name, tensor in mine.items():
        if its[name].shape != tensor.shape:
            raise InputError(
                f"{other}: the shape of {name} is {its[name].shape}, expected {tensor.shape} as in "
                f"{parent}"
            )
        for one in (tensor, its[name]):
            if one.dtype not in DTYPES:
                raise InputError(
                    f"{one.file}: the type of {name} is {one.dtype}, expected one of "
                    f"{', '.join(DTYPES)}"
                )
    known, others = _read_tokens(parent), _read_tokens(other)
    if differing := sorted(set(known.items()) ^ set(others.items())):
        token = differing[0][0]
        raise InputError(
            f"{other}: its tokenizer has {token!r} as {others.get(token)}, expected "
            f"{known.get(token)} as in {parent}"
        )


def _read_tokens(folder: Path) -> dict[str, int | str]:
    """Return a tokenizer's ids by token; of one without a tokenizer.json, its files' hashes."""
    path = folder / "tokenizer.json"
    if not path.exists():
        files = [folder / name for name in SLOW_TOKENIZERS if (folder / name).exists()]
        return {file.name: sha256_file(file) for file in files}
    tokenizer = read_json(path)
    words = tokenizer["model"].get("vocab", {})
    if isinstance(words, list):  # of a unigram model: [token, score], by id
        words = {word: number for number, (word, _) in enumerate(words)}
    return {**words, **{token["content"]: token["id"] for token in tokenizer["added_tokens"]}}


def merge(parent: Path, others: Sequence[tuple[Path, float]], out: Path) -> None:
    """Write parent + Σ scale · (other - parent) as a plain folder.

    Args:
        parent: A checkpoint. It gives all but the weights, too.
        others: Further checkpoints of its architecture, and their scales.
        out: The new folder.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    ours = list_tensors(parent)
    theirs = [(list_tensors(other), scale) for other, scale in others]
    for path in sorted(parent.iterdir()):
        if path.suffix == ".safetensors":
            names = [name for name, tensor in ours.items() if tensor.file == path]
            rows = [
                (ours[name], [(tensors[name], scale) for tensors, scale in theirs])
                for name in names
            ]
            _write(out / path.name, path, rows)
        elif path.is_file() and not path.name.startswith("."):
            shutil.copyfile(path, out / path.name)


def _write(out: Path, like: Path, rows: list[tuple[Tensor, list[tuple[Tensor, float]]]]) -> None:
    """Write a file with the header of another one, and merged tensors in the same order."""
    with open(like, "rb") as source, open(out, "wb") as target:
        target.write(source.read(min(tensor.start for tensor, _ in rows)))
        for ours, theirs in rows:
            for piece in _merged(ours, theirs):
                target.write(piece)
        target.flush()
        os.fsync(target.fileno())


def _merged(ours: Tensor, theirs: Sequence[tuple[Tensor, float]]) -> Iterator[bytes]:
    """Yield the bytes of a merged tensor.

    Scales of 0, and a single one of 1, copy a model bit for bit.
    """
    import torch

    theirs = [(tensor, scale) for tensor, scale in theirs if scale]
    fine = torch.float32
    for tensor in (ours, *(tensor for tensor, _ in theirs)):
        fine = torch.promote_types(fine, _dtype(tensor))
    for first in range(0, ours.size, PIECE):
        count = min(PIECE, ours.size - first)
        start = _read(ours, first, count)
        if not theirs:
            merged = start
        elif [scale for _, scale in theirs] == [1]:
            merged = _read(theirs[0][0], first, count).to(start.dtype)
        elif len(theirs) == 1:
            (tensor, scale), begin = theirs[0], start.to(fine)
            merged = torch.lerp(begin, _read(tensor, first, count).to(fine), scale).to(start.dtype)
        else:
            begin = start.to(fine)
            merged = begin.clone()
            for tensor, scale in theirs:
                difference = _read(tensor, first, count).to(fine).sub_(begin)
                merged.add_(difference, alpha=scale)
            merged = merged.to(start.dtype)
        yield merged.view(torch.uint8).numpy().tobytes()


def _dtype(tensor: Tensor) -> Any:
    import torch

    return getattr(torch, DTYPES[tensor.dtype])


def _read(tensor: Tensor, first: int, count: int) -> Any:
    """Return `count` values of a tensor from the one at `first` on, flat."""
    import torch

    dtype = _dtype(tensor)
    piece = torch.empty(count, dtype=dtype)
    with open(tensor.file, "rb") as file:
        file.seek(tensor.start + first * dtype.itemsize)
        file.readinto(piece.view(torch.uint8).numpy())
    return piece


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--parent", required=True, type=Path, help="a run's folder or manifest")
    parser.add_argument(
        "--other", required=True, type=Path, action="append", help="another run's; may be repeated"
    )
    parser.add_argument(
        "--other-checkpoint",
        action="append",
        help="once for each other run: its checkpoint, or `final` (default)",
    )
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--alpha", type=float, help="weight of the only other model, 0 to 1")
    how.add_argument("--scale", type=float, action="append", help="once for each other model")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--role", required=True, choices=("lrm", "aligned"))
    parser.add_argument("--chat-format", required=True)
    parser.add_argument("--seed", required=True, type=int, help="of the models; recorded")
    parser.add_argument("--out", required=True, type=Path, help="the run's folder")
    parser.add_argument("--result", type=json.loads, help="what it is made from, as JSON")
    args = parser.parse_args(argv)
    chat_format(args.chat_format)
    if args.alpha is not None and not 0 <= args.alpha <= 1:
        raise InputError(f"--alpha is {args.alpha}, expected 0 to 1")
    for name in ("scale", "other_checkpoint"):
        given = getattr(args, name)
        if given is not None and len(given) != len(args.other):
            raise InputError(
                f"--{name.replace('_', '-')} is there {len(given)} times, expected it once for "
                f"each of {len(args.other)} --other"
            )
    if args.alpha is not None and len(args.other) > 1:
        raise InputError(f"--alpha with {len(args.other)} --other, expected one, or --scale")
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    scales = [args.alpha] if args.scale is None else args.scale
    recipe = (
        {"method": "merge", "alpha": args.alpha}
        if args.scale is None
        else {"method": "task_arithmetic", "scales": scales}
    )
    with making(args.out, args.result):
        parent = load_checkpoint(args.parent)
        asked = args.other_checkpoint or ["final"] * len(args.other)
        others = [
            load_checkpoint(path, None if name == "final" else name)
            for path, name in zip(args.other, asked, strict=True)
        ]
        for other in others:
            check_architectures(parent, other)
        merge(parent, list(zip(others, scales, strict=True)), args.out / "final")
        names = ["other"] if len(others) == 1 else [f"other{n + 1}" for n in range(len(others))]
        reason = failure_of_parents(args.parent, *args.other)
        write_manifest(
            args.out,
            ["final"],
            run=args.run,
            role=args.role,
            chat_format=args.chat_format,
            thinking=True,
            status="failed" if reason else "ok",
            status_reason=reason,
            seed=args.seed,
            recipe=recipe,
            lineage={
                "base": describe_parent(args.parent, parent.name),
                "others": {
                    name: {**describe_parent(path, other.name), "scale": scale}
                    for name, path, other, scale in zip(
                        names, args.other, others, scales, strict=True
                    )
                },
                "data": None,
            },
            parents=hash_parents(
                {"parent": args.parent, **dict(zip(names, args.other, strict=True))}
            ),
            train=None,
        )


if __name__ == "__main__":
    run(main)
