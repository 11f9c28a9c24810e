"""An experiment: its file, checked, and the runs that it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.read_yaml import read_yaml
from workflow.scripts.config.section import read_section
from workflow.scripts.models.methods.registry import DEFAULT, method_of

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Run:
    """One model run: a folder with checkpoints and a manifest.

    Attributes:
        name: Folder below `models/`, such as `aligned/tiny/directrefusal/seed1`.
        role: `base`, `lrm` or `aligned`.
        section: The experiment's entry that defines it.
        checkpoints: The checkpoints to evaluate; empty stands for the final one.
        parent: The run it was trained from; None for a base or a ready-made model.
        recipe: Its training recipe; empty for a ready-made model.
        data: The training set's name; None for a base or a ready-made model.
        seed: The training seed; None for a ready-made model.
        write_as: The chat format of the training text, where it is another one than the model's.
        method: What makes it from its parent, see `models/methods/`; None for a base or a
            ready-made model.
        others: Further runs that it is made from, by the name of the input.
    """

    name: str
    role: str
    section: dict[str, Any]
    chat_format: str
    checkpoints: tuple[str, ...] = ()
    parent: str | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    data: str | None = None
    seed: int | None = None
    write_as: str | None = None
    method: str | None = None
    others: dict[str, str] = field(default_factory=dict)


def load_experiment(name: str, root: Path = ROOT) -> dict[str, Any]:
    """Load `experiments/<name>.yaml`, checked by the classes of `workflow/scripts/config/`.

    Returns:
        The experiment as plain values, without those that equal their default: to write a default
        down makes nothing stale.

    Raises:
        InputError: For an unknown experiment, or one line on what is wrong in it.
    """
    path = root / "experiments" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml")))
        raise InputError(
            f"experiment {name!r}: no experiments/{name}.yaml, expected one of {known}"
        )
    where = str(path.relative_to(root))
    return check_experiment(read_yaml(path, where), where)


def check_experiment(value: Any, where: str) -> dict[str, Any]:
    """Return an experiment as `load_experiment` does, from its file's value."""
    from workflow.scripts.config.experiment import Experiment

    return read_section(Experiment, value, where).without_defaults()


def list_runs(experiment: dict[str, Any]) -> dict[str, Run]:
    """Return every model run of an experiment by name, parents before children."""
    runs: dict[str, Run] = {}
    seeds = experiment["seeds"]

    def ready_made(role: str, name: str, section: dict[str, Any]) -> Run:
        return Run(f"{role}/{name}/hub", role, section, section["chat_format"])

    for name, base in experiment["bases"].items():
        if "pretrain" in base:
            for seed in seeds:
                run = Run(
                    f"base/{name}/seed{seed}",
                    "base",
                    base,
                    base["chat_format"],
                    recipe=base["pretrain"],
                    seed=seed,
                )
                runs[run.name] = run
        else:
            runs[f"base/{name}/hub"] = ready_made("base", name, base)

    for name, lrm in experiment["lrms"].items():
        if "data" not in lrm:
            runs[f"lrm/{name}/hub"] = ready_made("lrm", name, lrm)
            continue
        base = experiment["bases"][lrm["base"]]
        for seed in seeds:
            run = Run(
                f"lrm/{name}/seed{seed}",
                "lrm",
                lrm,
                base["chat_format"],
                parent=f"base/{lrm['base']}/{f'seed{seed}' if 'pretrain' in base else 'hub'}",
                recipe=experiment["recipes"][lrm["recipe"]],
                data=lrm["data"],
                seed=seed,
                method=DEFAULT,
            )
            runs[run.name] = run

    for lrm_name, lrm in experiment["lrms"].items():
        for name, alignment in _originals_first(experiment["alignments"], experiment):
            if lrm_name not in alignment.get("lrms", experiment["lrms"]):
                continue
            for seed in seeds:
                parent = f"lrm/{lrm_name}/{f'seed{seed}' if 'data' in lrm else 'hub'}"
                own = runs[parent].chat_format
                write_as = alignment.get("chat_format", own)
                for variant in method_of(alignment).list_variants(alignment, experiment):
                    run = Run(
                        _aligned(lrm_name, name, seed, variant.epochs),
                        "aligned",
                        alignment,
                        own,
                        variant.checkpoints,
                        parent,
                        variant.recipe,
                        variant.data,
                        seed,
                        None if write_as == own else write_as,
                        alignment.get("method", DEFAULT),
                        {
                            role: _aligned(lrm_name, other, seed, epochs)
                            for role, (other, epochs) in variant.others.items()
                        },
                    )
                    runs[run.name] = run
    return runs


def _aligned(lrm: str, alignment: str, seed: int, epochs: int | None) -> str:
    """Return the name of an aligned model's run."""
    return f"aligned/{lrm}/{alignment}/seed{seed}" + (f"-epochs{epochs}" if epochs else "")


def _originals_first(
    alignments: dict[str, Any], experiment: dict[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    """Return the alignments, those that are made from others last."""

    def is_derived(entry: tuple[str, dict[str, Any]]) -> bool:
        variants = method_of(entry[1]).list_variants(entry[1], experiment)
        return any(variant.others for variant in variants)

    return sorted(alignments.items(), key=is_derived)
