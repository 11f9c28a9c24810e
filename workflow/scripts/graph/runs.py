"""The model runs that an experiment asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from workflow.scripts.common.run_id import RunId
from workflow.scripts.config.mixtures import named
from workflow.scripts.config.recipe import Recipe
from workflow.scripts.models.aligned import find_run
from workflow.scripts.models.alignment import BASE, Alignment, TrainedAlignment
from workflow.scripts.models.method_registry import DEFAULT, method_of

if TYPE_CHECKING:
    from workflow.scripts.config.durability import Attack
    from workflow.scripts.config.experiment import Base, Experiment, Lrm
    from workflow.scripts.config.pretrain import Pretrain
    from workflow.scripts.config.prompting import Prompting

Kind = TypeVar("Kind", bound=Alignment)


@dataclass(frozen=True)
class Run:
    """One model run.

    Attributes:
        id: The parts of its name.
        section: The experiment's entry that defines it.
        chat_format: The model's.
        checkpoints: The checkpoints to evaluate; empty means the final one.
        parent: Name of the run it is trained from; None for a base or a ready-made model.
        recipe: Its fine-tuning recipe; None for a base or a ready-made model.
        data: The training set's name; None for a base or a ready-made model.
        write_as: The chat format of the training text, where it is another one than the model's.
        method: What makes it from its parent, see `models/methods/`; None for a base or a
            ready-made model.
        others: Further runs that it is made from, by a name of the method's own.
        prompting: What is written into the prompts of its parent, whose weights it is; None for a
            run with weights of its own.
        start: The checkpoint of its parent that it is trained from; None for the final one.
        benchmarks: Those that it is measured on; None for all.
        lrm: Name of the run of the LRM that it is aligned from; None for a base or an LRM.
    """

    id: RunId
    section: Base | Lrm | Alignment | Attack
    chat_format: str
    checkpoints: tuple[str, ...] = ()
    parent: str | None = None
    recipe: Recipe | None = None
    data: str | None = None
    write_as: str | None = None
    method: str | None = None
    others: dict[str, str] = field(default_factory=dict)
    prompting: Prompting | None = None
    start: str | None = None
    benchmarks: tuple[str, ...] | None = None
    lrm: str | None = None

    @property
    def name(self) -> str:
        return str(self.id)

    @property
    def weights(self) -> str:
        """The name of the run whose weights it is."""
        return self.name if self.prompting is None else str(self.parent)

    @property
    def role(self) -> str:
        return self.id.role

    @property
    def seed(self) -> int | None:
        return self.id.seed

    @property
    def evaluate(self) -> bool:
        """Whether it is measured on the test benchmarks."""
        return bool(getattr(self.section, "evaluate", True))

    @property
    def keeps_adapters(self) -> bool:
        """Whether its weights are adapters, for those of its parent."""
        return self.recipe is not None and self.recipe.keeps_adapters

    @property
    def pretrain(self) -> Pretrain | None:
        """How a base is trained from scratch; None for all others."""
        return getattr(self.section, "pretrain", None)

    @property
    def training(self) -> Recipe:
        """The recipe of a run that is fine-tuned."""
        assert self.recipe is not None
        return self.recipe

    def entry(self, kind: type[Kind]) -> Kind:
        """Return the entry of `alignments` that defines it, which is of a method's class."""
        assert isinstance(self.section, kind)
        return self.section


def origin_of(run: Run, runs: Mapping[str, Run]) -> Run:
    """Return the ready-made or pretrained model that a run comes from in the end."""
    while run.parent:
        run = runs[run.parent]
    return run


def list_runs(experiment: Experiment) -> dict[str, Run]:
    """Return every model run of an experiment by name, parents before children."""
    runs = [*_bases(experiment), *_lrms(experiment)]
    formats = {run.name: run.chat_format for run in runs}
    aligned = [run for lrm in experiment.lrms for run in _aligned(experiment, lrm, formats)]
    runs += [*aligned, *_attacked(experiment, aligned)]
    return _in_order({run.name: run for run in runs})


def _in_order(runs: dict[str, Run]) -> dict[str, Run]:
    """Return runs in their order, but each behind those that it is made from."""
    found: dict[str, Run] = {}

    def add(run: Run) -> None:
        for name in (run.parent, *run.others.values()):
            if name and name not in found:
                add(runs[name])
        found[run.name] = run

    for run in runs.values():
        if run.name not in found:
            add(run)
    return found


def _base_run(experiment: Experiment, name: str, seed: int) -> RunId:
    """Return the run of a base that a seed's runs start from."""
    return RunId("base", name, seed=seed if experiment.bases[name].pretrain else None)


def _lrm_run(experiment: Experiment, name: str, seed: int) -> RunId:
    """Return the run of an LRM that a seed's runs start from."""
    return RunId("lrm", name, seed=seed if experiment.lrms[name].data else None)


def _bases(experiment: Experiment) -> list[Run]:
    runs = []
    for name, base in experiment.bases.items():
        ids = dict.fromkeys(_base_run(experiment, name, seed) for seed in experiment.seeds)
        runs += [Run(run, base, base.chat_format) for run in ids]
    return runs


def _lrms(experiment: Experiment) -> list[Run]:
    runs = []
    for name, lrm in experiment.lrms.items():
        if lrm.data is None:
            runs.append(Run(RunId("lrm", name), lrm, str(lrm.chat_format)))
            continue
        base, recipe = str(lrm.base), str(lrm.recipe)
        runs += [
            Run(
                RunId("lrm", name, seed=seed),
                lrm,
                experiment.bases[base].chat_format,
                parent=str(_base_run(experiment, base, seed)),
                recipe=experiment.recipes[recipe],
                data=named(lrm.data),
                method=DEFAULT,
            )
            for seed in experiment.seeds
        ]
    return runs


def _aligned(experiment: Experiment, lrm: str, formats: Mapping[str, str]) -> list[Run]:
    """Return the runs of every alignment of an LRM, originals before derived ones.

    Args:
        experiment: The experiment.
        lrm: Name of the LRM.
        formats: Chat formats of bases and LRMs by the name of the run.
    """
    runs = []
    for name, alignment in experiment.alignments.items():
        if alignment.lrms is not None and lrm not in alignment.lrms:
            continue
        variants = method_of(alignment).list_variants(alignment, experiment)
        for seed in experiment.seeds:
            parent, origin = _parents(experiment, lrm, alignment, seed)
            lrm_run = _lrm_run(experiment, lrm, seed)
            chat_format = formats[origin]
            write_as = getattr(alignment, "chat_format", None) or chat_format
            runs += [
                Run(
                    # the same LRM with the same prompts is one run, whatever the seed
                    RunId(
                        "aligned",
                        lrm,
                        name,
                        seed if variant.prompting is None else lrm_run.seed,
                        variant.epochs,
                    ),
                    alignment,
                    chat_format,
                    variant.checkpoints,
                    parent,
                    variant.recipe,
                    variant.data,
                    None if write_as == chat_format else write_as,
                    alignment.method,
                    {
                        role: str(RunId("aligned", lrm, other, seed, epochs))
                        for role, (other, epochs) in variant.others.items()
                    },
                    variant.prompting,
                    lrm=str(lrm_run),
                )
                for variant in variants
            ]
    return sorted(runs, key=lambda run: bool(run.others))


def _parents(experiment: Experiment, lrm: str, alignment: Alignment, seed: int) -> tuple[str, str]:
    """Return the run that an alignment of an LRM starts from, and the LRM or base behind it."""
    after = alignment.after if isinstance(alignment, TrainedAlignment) else None
    if after is None:
        found = str(_lrm_run(experiment, lrm, seed))
        return found, found
    if after == BASE:
        found = str(_base_run(experiment, str(experiment.lrms[lrm].base), seed))
        return found, found
    other, epochs = find_run(after, None, experiment)
    parent = str(RunId("aligned", lrm, other, seed, epochs))
    return parent, _parents(experiment, lrm, experiment.alignments[after], seed)[1]


def _attacked(experiment: Experiment, aligned: Iterable[Run]) -> Iterator[Run]:
    """Yield the runs of durability: each aligned model, trained on for some steps.

    A run starts from the weights at which the report looks at an alignment, those of the last epoch
    that is evaluated, and is evaluated after each of its recipe's steps.
    """
    ordered = sorted(aligned, key=lambda run: run.id.epochs or 0)
    parents = {replace(run.id, epochs=None): run for run in ordered}
    for name, attack in experiment.durability.items():
        # steps go before these
        other = {"epochs": 1, "checkpoints": Recipe.model_fields["checkpoints"].default}
        recipe = experiment.recipes[attack.recipe].model_copy(update=other)
        for run_id, parent in parents.items():
            if run_id.alignment not in (attack.alignments or experiment.alignments):
                continue
            whole = parent.weights == parent.name and not parent.keeps_adapters
            if not (whole and parent.evaluate):
                continue
            yield Run(
                replace(run_id, role="attacked", attack=name),
                attack,
                parent.chat_format,
                tuple(f"step{step}" for step in recipe.steps or ()),
                parent.name,
                recipe,
                attack.data,
                method=DEFAULT,
                start=max(parent.checkpoints, key=_number, default=None),
                benchmarks=tuple(attack.measured(experiment.benchmarks)),
                lrm=parent.lrm,
            )


def _number(checkpoint: str) -> int:
    """Return the number at the end of a checkpoint's name."""
    return int(re.sub(r"\D", "", checkpoint) or 0)
