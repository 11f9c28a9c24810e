"""The alignment methods: the files of `methods/`, each named like its method.

A method's file says everything particular to it, see `Method`; its script makes the models. It is
loaded by name, so that a change to one method leaves the code of the others as it is, and it
imports nothing heavy: the start of every run reads it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, Union, cast

from pydantic import Discriminator, Tag

from workflow.scripts.models.alignment import Alignment, Variant

if TYPE_CHECKING:
    from workflow.scripts.config.experiment import Experiment
    from workflow.scripts.config.planning import Runtime
    from workflow.scripts.config.recipe import Recipe
    from workflow.scripts.graph.runs import Run
    from workflow.scripts.models.memory import Shape

DEFAULT = "sft"
METHODS = tuple(
    sorted(
        path.stem
        for path in (Path(__file__).parent / "methods").glob("*.py")
        if path.stem.isidentifier()
    )
)


class Method(Protocol):
    """What the file of a method holds.

    Attributes:
        ALIGNMENT: The class of its entries of `alignments`.
        SCRIPT: What makes its models, such as `models.train_sft`. The script takes `--NAME FILE`
            for each of its inputs (again for each of several of a name), what `arguments` returns,
            `--run`, `--role`, `--chat-format`, `--seed`, `--out`, `--result` and, where it trains,
            `--runtime`. None: it makes no models, and needs `ALIGNMENT`, `TRAINS` and
            `list_variants` alone.
        TRAINS: Whether it trains, on GPUs where there are any; else it is a job for a CPU.
        MOST_GPUS: Where it can compute on no more.

    What a method may leave out: `MOST_GPUS`, `modules` and `count_passes`.
    """

    ALIGNMENT: type[Alignment]
    SCRIPT: str | None
    TRAINS: bool
    MOST_GPUS: int

    def list_variants(self, alignment: Alignment, experiment: Experiment) -> list[Variant]:
        """Return the runs that an entry of `alignments` asks for, for each LRM and seed.

        Args:
            alignment: The entry, of the class `ALIGNMENT`.
            experiment: The experiment.
        """

    def inputs(self, run: Run, experiment: Experiment) -> dict[str, tuple[str, ...]]:
        """Return (kind, name, …) of what a run is made from, by the name of the input.

        An input has one name or several. The kinds: `run`, `data` (an entry of the experiment's
        data), `generated` (a file of micro_data) and `score` (`judges/NAME`, or
        RUN/BENCHMARK/SCORER: a development benchmark is measured where a method asks for its
        scores, and nowhere else).
        """

    def sections(self, run: Run, experiment: Experiment) -> dict[str, Any]:
        """Return what of the experiment can change a run, but for its inputs; as JSON values."""

    def modules(self, run: Run, experiment: Experiment) -> tuple[str, ...]:
        """Return the modules that its script loads by name for a run."""

    def count_passes(self, run: Run, epochs: float) -> float:
        """Return the passes over its records that training takes, as of supervised fine-tuning.

        Such a pass computes forward, backward, and forward once more to save memory.
        """

    def arguments(self, run: Run, experiment: Experiment) -> list[str]:
        """Return the script's arguments that are particular to the method."""

    def estimate_memory(
        self, shape: Shape, recipe: Recipe, runtime: Runtime, world: int
    ) -> dict[str, float]:
        """Return the GiB per GPU that training takes, by part, and as `total`."""


def get(name: str) -> Method:
    """Return a method by its name."""
    return cast(Method, import_module(f"workflow.scripts.models.methods.{name}"))


def count_passes(run: Run, epochs: float) -> float:
    """Return the passes over its records that a run takes, as of supervised fine-tuning."""
    method = get(run.method or DEFAULT)
    return method.count_passes(run, epochs) if hasattr(method, "count_passes") else epochs


def list_modules(run: Run, experiment: Experiment) -> tuple[str, ...]:
    """Return the modules that a run's script loads by name: its method's, which tells arguments."""
    name = run.method or DEFAULT
    method, own = get(name), f"models.methods.{name}"
    return (own, *(method.modules(run, experiment) if hasattr(method, "modules") else ()))


def most_gpus(run: Run) -> int | None:
    """Return the GPUs that a run can compute on at most; None without a limit."""
    return getattr(get(run.method), "MOST_GPUS", None) if run.method else None


def method_of(alignment: Alignment) -> Method:
    """Return the method of an entry of `alignments`."""
    return get(alignment.method)


def sets_of(run: Run) -> list[tuple[str, float | None]]:
    """Return the training sets of a run by name, one after the other in each epoch.

    With each comes how many tokens of a record are trained beside its prompt, where these are not
    the whole record. A method that trains on something else has a function `training_sets(run)`.
    """
    if run.data is None:
        return []
    own = getattr(get(run.method or DEFAULT), "training_sets", None)
    return own(run) if own else [(run.data, None)]


def method(entry: Any) -> str:
    """Return the tag of an entry, or of its section; pydantic calls it, and errors name it."""
    found = entry.get("method", DEFAULT) if isinstance(entry, dict) else None
    return str(found or getattr(entry, "method", DEFAULT))


def any_alignment() -> Any:
    """Return the type of an entry of `alignments`: the class of its method."""
    classes = tuple(Annotated[get(name).ALIGNMENT, Tag(name)] for name in METHODS)
    return Annotated[Union[classes], Discriminator(method)]  # noqa: UP007
