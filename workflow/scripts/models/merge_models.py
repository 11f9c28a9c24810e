"""Merge two models of one architecture: weights on the straight line between theirs.

Each weight is (1 - alpha) · parent + alpha · other (Wortsman et al. 2022, arXiv 2109.01903),
computed in fp32 or finer and stored in the parent's type. All else is the parent's: configuration,
tokenizer, and which weights lie in which file. The files are read and written piece by piece, so a
32B model takes less than 1 GB of memory, and no GPU.

python -m workflow.scripts.models.merge_models --parent results/micro/models/lrm/tiny/seed1 \
    --other results/micro/models/aligned/tiny/directrefusal/seed1 --alpha 0.5 --seed 1 \
    --role aligned --run aligned/tiny/merged/seed1 --chat-format micro --out merged
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflow.scripts.common.chat import chat_format
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import read_json
from workflow.scripts.common.manifest import load_checkpoint, write_manifest
from workflow.scripts.common.result import making
from workflow.scripts.models.lineage import describe_parent, failure_of_parents, hash_parents
from workflow.scripts.models.tensors import Tensor, list_tensors

PIECE = 2**24  # values of a tensor that are in memory at once
DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# What of a configuration gives weights of the same shapes another meaning.
ARCHITECTURE = ("model_type", "num_attention_heads", "num_key_value_heads")


def check_architectures(parent: Path, other: Path) -> None:
    """Raise `InputError` unless two checkpoints have the same architecture."""
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


def merge(parent: Path, other: Path, alpha: float, out: Path) -> None:
    """Write the model between two checkpoints of one architecture as a plain folder.

    Args:
        parent: Gives all but the weights, too.
        other: The second checkpoint.
        alpha: Its weight, 0 to 1.
        out: The new folder.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    ours, theirs = list_tensors(parent), list_tensors(other)
    for path in sorted(parent.iterdir()):
        if path.suffix == ".safetensors":
            names = [name for name, tensor in ours.items() if tensor.file == path]
            pairs = [(ours[name], theirs[name]) for name in names]
            _write(out / path.name, path, pairs, alpha)
        elif path.is_file() and not path.name.startswith("."):
            shutil.copyfile(path, out / path.name)


def _write(out: Path, like: Path, pairs: list[tuple[Tensor, Tensor]], alpha: float) -> None:
    """Write a file with the header of another one, and merged tensors in the same order."""
    with open(like, "rb") as source, open(out, "wb") as target:
        target.write(source.read(min(tensor.start for tensor, _ in pairs)))
        for ours, theirs in pairs:
            for piece in _merged(ours, theirs, alpha):
                target.write(piece)
        target.flush()
        os.fsync(target.fileno())


def _merged(ours: Tensor, theirs: Tensor, alpha: float) -> Iterator[bytes]:
    """Yield the bytes of a merged tensor. The ends of the line are copies, bit for bit."""
    import torch

    for first in range(0, ours.size, PIECE):
        count = min(PIECE, ours.size - first)
        start, end = (_read(tensor, first, count) for tensor in (ours, theirs))
        if alpha == 0:
            merged = start
        elif alpha == 1:
            merged = end.to(start.dtype)
        else:
            fine = torch.promote_types(torch.promote_types(start.dtype, end.dtype), torch.float32)
            merged = torch.lerp(start.to(fine), end.to(fine), alpha).to(start.dtype)
        yield merged.view(torch.uint8).numpy().tobytes()


def _read(tensor: Tensor, first: int, count: int) -> Any:
    """Return `count` values of a tensor from the one at `first` on, flat."""
    import torch

    dtype = getattr(torch, DTYPES[tensor.dtype])
    with open(tensor.file, "rb") as file:
        file.seek(tensor.start + first * dtype.itemsize)
        return torch.frombuffer(bytearray(file.read(count * dtype.itemsize)), dtype=dtype)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--parent", required=True, type=Path, help="a run's folder or manifest")
    parser.add_argument("--other", required=True, type=Path, help="the second run's")
    parser.add_argument("--other-checkpoint", help="its checkpoint (default: its final one)")
    parser.add_argument("--alpha", required=True, type=float, help="weight of the second, 0 to 1")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--role", required=True, choices=("lrm", "aligned"))
    parser.add_argument("--chat-format", required=True)
    parser.add_argument("--seed", required=True, type=int, help="of the two models; recorded")
    parser.add_argument("--out", required=True, type=Path, help="the run's folder")
    parser.add_argument("--result", type=json.loads, help="what it is made from, as JSON")
    args = parser.parse_args(argv)
    chat_format(args.chat_format)
    if not 0 <= args.alpha <= 1:
        raise InputError(f"--alpha is {args.alpha}, expected 0 to 1")
    with making(args.out, args.result):
        parent = load_checkpoint(args.parent)
        other = load_checkpoint(args.other, args.other_checkpoint)
        check_architectures(parent, other)
        merge(parent, other, args.alpha, args.out / "final")
        reason = failure_of_parents(args.parent, args.other)
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
            recipe={"method": "merge", "alpha": args.alpha},
            lineage={
                "base": describe_parent(args.parent, parent.name),
                "others": {"other": describe_parent(args.other, other.name)},
                "data": None,
            },
            parents=hash_parents({"parent": args.parent, "other": args.other}),
            train=None,
        )


if __name__ == "__main__":
    run(main)
