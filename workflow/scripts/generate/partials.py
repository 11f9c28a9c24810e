"""Finished completions of one checkpoint, kept on disk until the whole run is there."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from workflow.scripts.generate.turns import Completion


class Partials:
    """Completions by index of the request, in files that a killed run leaves readable.

    Args:
        folder: Where the files are; made when something is kept.
        digest: Of all that decides what the completions are. Other digests are left alone.
        shard: Which of the processes that share the requests this is; each has its own file.
    """

    def __init__(self, folder: Path, digest: str, shard: int = 0) -> None:
        self.folder, self.digest = folder, digest
        self.path = folder / f"{digest}.{shard}.jsonl"
        self.done: dict[int, Completion] = {}
        for path in sorted(folder.glob(f"{digest}.*.jsonl")):
            # A line without its end was being written when the process was killed.
            lines = path.read_text(encoding="utf-8").split("\n")[:-1]
            for line in lines:
                row = json.loads(line)
                index = row.pop("index")
                self.done[index] = Completion(**row)
            if path == self.path:
                os.truncate(path, sum(len(line.encode()) + 1 for line in lines))

    def add(self, completions: dict[int, Completion]) -> None:
        """Keep more completions, on disk when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            for index, completion in completions.items():
                file.write(json.dumps({"index": index, **asdict(completion)}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.done.update(completions)
