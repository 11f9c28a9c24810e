"""The model runs that an experiment asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workflow.scripts.common.run_id import RunId
from workflow.scripts.config.durability import MEASURED
from workflow.scripts.models.method_registry import DEFAULT, method_of


@dataclass(frozen=True)
class Run:
    """One model run.

    Attributes:
        id: The parts of its name.
        section: The experiment's entry that defines it.
        chat_format: The model's.
        checkpoints: The checkpoints to evaluate; empty means the final one.
        parent: Name of the run it is trained from; None for a base or a ready-made model.
        recipe: Its training recipe; empty for a ready-made model.
        data: The training set's name; None for a base or a ready-made model.
        write_as: The chat format of the training text, where it is another one than the model's.
        method: What makes it from its parent, see `models/methods/`; None for a base or a
            ready-made model.
        others: Further runs that it is made from, by the name of the input.
        start: The checkpoint of its parent that it is trained from; None for the final one.
        benchmarks: Those that it is measured on; None for all.
    """

    id: RunId
    section: dict[str, Any]
    chat_format: str
    checkpoints: tuple[str, ...] = ()
    parent: str | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    data: str | None = None
    write_as: str | None = None
    method: str | None = None
    others: dict[str, str] = field(default_factory=dict)
    start: str | None = None
    benchmarks: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        return str(self.id)

    @property
    def role(self) -> str:
        return self.id.role

    @property
    def seed(self) -> int | None:
        return self.id.seed


def origin_of(run: Run, runs: Mapping[str, Run]) -> Run:
    """Return the ready-made or pretrained model that a run comes from in the end."""
    while run.parent:
        run = runs[run.parent]
    return run


def list_runs(experiment: dict[str, Any]) -> dict[str, Run]:
    """Return every model run of an experiment by name, parents before children."""
    runs = [*_bases(experiment), *_lrms(experiment)]
    lrms = {run.id: run for run in runs if run.role == "lrm"}
    aligned = [run for lrm in experiment["lrms"] for run in _aligned(experiment, lrm, lrms)]
    runs += [*aligned, *_attacked(experiment, aligned)]
    return {run.name: run for run in runs}


def _seed_of(experiment: dict[str, Any], section: str, name: str, seed: int) -> int | None:
    """Return the seed of the run of a base or an LRM that a seed's runs start from."""
    trained = {"bases": "pretrain", "lrms": "data"}[section] in experiment[section][name]
    return seed if trained else None


def _bases(experiment: dict[str, Any]) -> list[Run]:
    runs = []
    for name, base in experiment["bases"].items():
        recipe = base.get("pretrain", {})
        seeds = dict.fromkeys(_seed_of(experiment, "bases", name, s) for s in experiment["seeds"])
        for seed in seeds:
            run = RunId("base", name, seed=seed)
            runs.append(Run(run, base, base["chat_format"], recipe=recipe))
    return runs


def _lrms(experiment: dict[str, Any]) -> list[Run]:
    runs = []
    for name, lrm in experiment["lrms"].items():
        if "data" not in lrm:
            runs.append(Run(RunId("lrm", name), lrm, lrm["chat_format"]))
            continue
        for seed in experiment["seeds"]:
            base = lrm["base"]
            parent = RunId("base", base, seed=_seed_of(experiment, "bases", base, seed))
            runs.append(
                Run(
                    RunId("lrm", name, seed=seed),
                    lrm,
                    experiment["bases"][base]["chat_format"],
                    parent=str(parent),
                    recipe=experiment["recipes"][lrm["recipe"]],
                    data=lrm["data"],
                    method=DEFAULT,
                )
            )
    return runs


def _aligned(experiment: dict[str, Any], lrm: str, lrms: dict[RunId, Run]) -> list[Run]:
    """Return the runs of every alignment that starts from an LRM, originals before derived ones."""
    runs = []
    for name, alignment in experiment["alignments"].items():
        if lrm not in alignment.get("lrms", experiment["lrms"]):
            continue
        variants = method_of(alignment).list_variants(alignment, experiment)
        for seed in experiment["seeds"]:
            parent = lrms[RunId("lrm", lrm, seed=_seed_of(experiment, "lrms", lrm, seed))]
            write_as = alignment.get("chat_format", parent.chat_format)
            runs += [
                Run(
                    RunId("aligned", lrm, name, seed, variant.epochs),
                    alignment,
                    parent.chat_format,
                    variant.checkpoints,
                    parent.name,
                    variant.recipe,
                    variant.data,
                    None if write_as == parent.chat_format else write_as,
                    alignment.get("method", DEFAULT),
                    {
                        role: str(RunId("aligned", lrm, other, seed, epochs))
                        for role, (other, epochs) in variant.others.items()
                    },
                )
                for variant in variants
            ]
    return sorted(runs, key=lambda run: bool(run.others))


def _attacked(experiment: dict[str, Any], aligned: Iterable[Run]) -> Iterator[Run]:
    """Yield the runs of durability: each aligned model, trained on for some steps.

    A run starts from the weights at which the report looks at an alignment, those of the last epoch
    that is evaluated, and is evaluated after each of its recipe's steps.
    """
    ordered = sorted(aligned, key=lambda run: run.id.epochs or 0)
    parents = {replace(run.id, epochs=None): run for run in ordered}
    measured = [name for name, one in experiment["benchmarks"].items() if one["kind"] in MEASURED]
    for name, attack in experiment.get("durability", {}).items():
        recipe = {**experiment["recipes"][attack["recipe"]], "epochs": 1}  # steps go before it
        recipe.pop("checkpoints", None)
        for run_id, parent in parents.items():
            if run_id.alignment not in attack.get("alignments", experiment["alignments"]):
                continue
            yield Run(
                replace(run_id, role="attacked", attack=name),
                attack,
                parent.chat_format,
                tuple(f"step{step}" for step in recipe["steps"]),
                parent.name,
                recipe,
                attack["data"],
                method=DEFAULT,
                start=max(parent.checkpoints, key=_number, default=None),
                benchmarks=tuple(attack.get("benchmarks", measured)),
            )


def _number(checkpoint: str) -> int:
    """Return the number at the end of a checkpoint's name."""
    return int(re.sub(r"\D", "", checkpoint) or 0)
