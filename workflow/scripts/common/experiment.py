"""An experiment: its file, checked, and the runs that it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.read_yaml import read_yaml
from workflow.scripts.config.section import read_section

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
            )
            runs[run.name] = run

    for lrm_name, lrm in experiment["lrms"].items():
        for name, alignment in experiment["alignments"].items():
            if lrm_name not in alignment.get("lrms", experiment["lrms"]):
                continue
            for seed in seeds:
                parent = f"lrm/{lrm_name}/{f'seed{seed}' if 'data' in lrm else 'hub'}"
                own = runs[parent].chat_format
                write_as = alignment.get("chat_format", own)
                for suffix, recipe, checkpoints in _epochs(experiment, alignment):
                    run = Run(
                        f"aligned/{lrm_name}/{name}/seed{seed}{suffix}",
                        "aligned",
                        alignment,
                        own,
                        checkpoints,
                        parent,
                        recipe,
                        alignment["data"],
                        seed,
                        None if write_as == own else write_as,
                    )
                    runs[run.name] = run
    return runs


def _epochs(
    experiment: dict[str, Any], alignment: dict[str, Any]
) -> list[tuple[str, dict[str, Any], tuple[str, ...]]]:
    """Return (suffix of the run's name, recipe, checkpoints to evaluate) of each training run."""
    recipe = experiment["recipes"][alignment["recipe"]]
    epochs = alignment.get("epochs", [recipe["epochs"]])
    if alignment["per_epoch"] == "retrain":
        return [
            (f"-epochs{n}", {**recipe, "epochs": n, "checkpoints": "last"}, (f"epoch{n}",))
            for n in epochs
        ]
    return [("", recipe, tuple(f"epoch{n}" for n in epochs))]
