"""Mix training sets into one: exact counts of each, rows and order drawn by a seed.

Reads the records of the sets and writes records.jsonl, whose `id` and `source` tell the set and the
row of each record, and report.json with the counts. All epochs of a training go through these rows.

python -m workflow.scripts.data.mix_records --name mixed --out mixed \
    --mixture '{"mix": [{"set": "directrefusal"}, {"set": "reasoning", "n": 500}], "seed": 1}' \
    --sets results/micro/data/micro/directrefusal/directrefusal.jsonl \
    results/micro/data/micro/reasoning/reasoning.jsonl
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import sha256_file, write_json
from workflow.scripts.common.records import read_records, write_records
from workflow.scripts.common.result import making
from workflow.scripts.config.dataset import Dataset
from workflow.scripts.config.section import parse_section
from workflow.scripts.config.source import Part
from workflow.scripts.data.mixing import check_part, count_part, mix_records


def mix_files(parts: list[Part], seed: int, files: list[Path], name: str, out: Path) -> None:
    """Write the mixture of the sets in `files`, one for each part, into the folder `out`.

    Raises:
        InputError: A set is too small.
    """
    sets = {part.set: read_records(file) for part, file in zip(parts, files, strict=True)}
    sizes = list(map(len, sets.values()))
    first = count_part(parts[0], sizes[0], 0)
    counts = [count_part(part, size, first) for part, size in zip(parts, sizes, strict=True)]
    for part, size, n in zip(parts, sizes, counts, strict=True):
        check_part(part, size, n, f"data.{name}")
    mixed = mix_records(sets, counts, seed)
    records = out / "records.jsonl"
    write_records(records, mixed)
    report = {
        "format": 1,
        "name": name,
        "seed": seed,
        "sets": [
            {"set": part.set, "n": n, "of": size, "sha256": sha256_file(file)}
            for part, n, size, file in zip(parts, counts, sizes, files, strict=True)
        ],
        "n": len(mixed),
        "sha256": sha256_file(records),
    }
    write_json(out / "report.json", report)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--mixture", required=True, help="its sets (mix) and seed, as JSON")
    parser.add_argument("--sets", required=True, nargs="+", type=Path, help="records of each set")
    parser.add_argument("--name", required=True, help="the mixture's name")
    parser.add_argument("--out", type=Path, required=True, help="folder of the two files")
    parser.add_argument("--result", type=json.loads, help="what it is made from, as JSON")
    args = parser.parse_args(argv)
    section = parse_section(Dataset, args.mixture, args.name)
    parts = [Part(set=one) if isinstance(one, str) else one for one in section.mix or ()]
    if len(parts) != len(args.sets):
        raise InputError(
            f"--sets has {len(args.sets)} files, expected one for each of {len(parts)}"
        )
    with making(args.out, args.result):
        mix_files(parts, section.seed, args.sets, args.name, args.out)


if __name__ == "__main__":
    run(main)
