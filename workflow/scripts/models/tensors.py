"""Where the tensors of a model lie in its safetensors files, read from their headers.

The format: https://huggingface.co/docs/safetensors, eight bytes with the header's length, the
header, a JSON object, and the tensors without gaps.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path


@dataclass(frozen=True)
class Tensor:
    """A tensor in a file.

    Attributes:
        file: The file.
        dtype: As the format calls it, such as `BF16`.
        shape: Its shape.
        start: Its first byte, counted from the file's beginning.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        """The number of its values."""
        return prod(self.shape)


def list_tensors(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a model folder by name, in the order in which they lie in its files."""
    found = []
    for path in sorted(folder.glob("*.safetensors")):
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        for name, entry in header.items():
            if name != "__metadata__":
                start = 8 + length + entry["data_offsets"][0]
                found.append((name, Tensor(path, entry["dtype"], tuple(entry["shape"]), start)))
    return dict(sorted(found, key=lambda pair: (pair[1].file, pair[1].start)))
