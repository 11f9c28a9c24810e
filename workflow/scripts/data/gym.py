"""Tasks of reasoning-gym (Stojanovski et al. 2025, arXiv 2505.24760): opened and drawn from.

Each question belongs to one part, training, development or test, by a hash of its text. So no
training set holds a question of a benchmark, whatever the seeds and settings of the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from difflib import get_close_matches
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypedDict

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.gym_task import SEEDS, GymTask
from workflow.scripts.config.section import Section
from workflow.scripts.data.packages import package_version

if TYPE_CHECKING:
    from workflow.scripts.data.rows import DataReport

TRAINING, DEVELOPMENT, TEST = "training", "development", "test"
PARTS = (TRAINING, TRAINING, DEVELOPMENT, TEST)
DRAWS = 40  # for each question that is wanted; one of four is of a benchmark's part
# The package seeds draw i with seed + i: seeds side by side would have nearly all draws in common.
SPACING = 2**32 // SEEDS
# Tasks whose draws hang on the order of sets, which differs from process to process.
UNSTABLE = (
    *("isomorphic_strings", "knight_swap", "list_functions", "polynomial_multiplication"),
    *("ransom_note", "word_ladder"),
)


class Entry(TypedDict):
    """An item of a task, as reasoning-gym has it."""

    question: str
    answer: str | None  # one of many right ones, or none
    metadata: dict[str, Any]  # what the question was made from; each task has its own


def open_task(task: GymTask) -> Any:
    """Return reasoning-gym's data set of a task, whose items are of type `Entry`.

    Raises:
        InputError: The package is not installed, there is no such task, or it refuses its settings.
    """
    version = package_version("reasoning_gym")
    if version is None:
        raise InputError("reasoning-gym is not installed, expected it by `make smollm`")
    from reasoning_gym.factory import DATASETS

    name = task.task
    if name not in DATASETS:
        close = get_close_matches(name, DATASETS, n=3)
        hint = f", expected something like {', '.join(close)}" if close else ""
        raise InputError(f"{name!r} is no task of reasoning-gym {version}{hint}")
    if name in UNSTABLE:
        raise InputError(f"{name!r} draws other questions in each process, expected another task")
    dataset, kind = DATASETS[name]
    known = [one.name for one in fields(kind) if one.name not in ("seed", "size")]
    for key in task.settings:
        if key not in known:
            raise InputError(f"settings.{key} is unknown, {name} has {', '.join(known)}")
    place = {"seed": task.seed * SPACING, "size": DRAWS * task.n}
    try:
        return dataset(kind(**task.settings, **place))
    except (AssertionError, TypeError, ValueError) as error:
        raise InputError(f"settings: {name} refuses them ({error})") from None


def part_of(question: str) -> str:
    """Return the part that a question belongs to."""
    return PARTS[sha256(question.encode()).digest()[0] % len(PARTS)]


def draw(dataset: Any, part: str, draws: int) -> Iterator[tuple[int, Entry]]:
    """Yield (place in the data set, item) of the different questions of a part."""
    seen = set()
    for place in range(draws):
        entry = dataset[place]
        question = entry["question"]
        if part_of(question) == part and question not in seen:
            seen.add(question)
            yield place, entry


def describe(name: str, task: GymTask, section: Section, n: int) -> DataReport:
    """Return the report of a training set or benchmark.

    Args:
        name: Its name.
        task: Its task.
        section: What of it decides its rows.
        n: How many rows there are.

    Raises:
        InputError: The task has not as many different questions as are wanted.
    """
    if n < task.n:
        raise InputError(
            f"{name}: {n} different questions in {DRAWS * task.n} draws of {task.task}, expected "
            f"n, {task.n}: a smaller n, or settings with more questions"
        )
    source = f"reasoning-gym {task.task}"
    return {
        "format": 1,
        "name": name,
        "source": source,
        "section": section.without_defaults(),
        "n": n,
    }
