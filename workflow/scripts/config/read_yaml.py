"""YAML, read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError


def read_yaml(path: Path, where: str) -> Any:
    """Read a YAML file strictly: UTF-8, and keys that are text and given once.

    Raises:
        InputError: One line: the file, the line and what was expected.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
            seen: dict[Any, int] = {}
            for key, _ in node.value:  # before `<<` puts in what it refers to
                line = key.start_mark.line + 1
                if key.tag == "tag:yaml.org,2002:merge":
                    continue
                if key.tag != "tag:yaml.org,2002:str":
                    found = key.value or "null"
                    raise InputError(f"{where}:{line}: key {found}, expected text: '{found}'")
                if key.value in seen:
                    before = seen[key.value]
                    raise InputError(
                        f"{where}:{line}: key {key.value} is given twice, first in line {before}"
                    )
                seen[key.value] = line
            self.flatten_mapping(node)
            return super().construct_mapping(node, deep)

    try:
        value = yaml.load(path.read_bytes().decode("utf-8-sig"), Loader)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{where}:{line}: not UTF-8, expected a file saved as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}" if mark else where
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        raise InputError(f"{place}: not YAML ({' '.join(str(problem).split())})") from None
    return value
