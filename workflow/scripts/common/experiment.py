"""An experiment: its file, checked against the schema, and the runs that it asks for."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow.scripts.common.errors import InputError

ROOT = Path(__file__).parents[3]
SCHEMAS = ROOT / "workflow" / "schemas"


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


def load_config(path: Path, schema: str, where: str) -> dict[str, Any]:
    """Load a YAML file and check it against a schema of `workflow/schemas/`.

    Args:
        path: The file.
        schema: The schema's name.
        where: What errors call the file.

    Raises:
        InputError: One line: the file, the key, what stands there and what was expected.
    """
    value = read_yaml(path, where)
    check_schema(value, schema, where)
    return value


def read_yaml(path: Path, where: str) -> Any:
    """Read a YAML file strictly: UTF-8, keys that are names and stand once, finite numbers.

    Raises:
        InputError: One line: the file, the line or the key, and what was expected.
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
    _check_numbers(value, where, "")
    return value


def _check_numbers(value: Any, where: str, key: str) -> None:
    """Raise `InputError` for a number that is infinite or none."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where}: {key}: is {value}, expected a finite number")
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            _check_numbers(inner, where, f"{key}.{name}" if key else str(name))


def check_schema(value: Any, schema: str, where: str) -> None:
    """Raise `InputError` for the most telling violation of a schema."""
    import yaml
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    loaded = yaml.safe_load((SCHEMAS / f"{schema}.schema.yaml").read_text())
    error = best_match(Draft202012Validator(loaded).iter_errors(value))
    if error is None:
        return
    key = ".".join(map(str, error.absolute_path)) or "the file"
    message, given = error.message, error.instance
    if error.validator == "additionalProperties":
        known = set(error.schema.get("properties", {}))
        unknown = ", ".join(sorted(map(str, set(given) - known)))
        message = f"unknown key {unknown}; expected some of {', '.join(sorted(known))}"
    elif error.validator == "type":
        message = f"is {given!r}, expected {error.validator_value}"
        if isinstance(given, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", given):
            # YAML 1.1 knows such a number only with a point and a sign
            number, _, power = given.lower().partition("e")
            point = "" if "." in number else ".0"
            message += f": write {number}{point}e{int(power):+d}"
    elif error.validator == "pattern" and error.validator_value.startswith("^[A-Za-z0-9]"):
        message = (
            f"is the name {given!r}, expected a letter or digit, then at most 63 of letters, "
            "digits, '.', '_' and '-'"
        )
    raise InputError(f"{where}: {key}: {message}")


def load_experiment(name: str, root: Path = ROOT) -> dict[str, Any]:
    """Load `experiments/<name>.yaml`, check it, and check every reference inside it.

    Raises:
        InputError: For an unknown experiment, a key or type that the schema does not know, or a
            name that refers to nothing.
    """
    path = root / "experiments" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml")))
        raise InputError(
            f"experiment {name!r}: no {path.relative_to(root)}, expected one of {known}"
        )
    where = str(path.relative_to(root))
    experiment = load_config(path, "experiment", where)
    check_references(experiment, where)
    return experiment


def check_references(experiment: dict[str, Any], where: str) -> None:
    """Raise `InputError` for a name of no entry, and where not exactly one source is given."""

    def expect(key: str, name: str, section: str) -> None:
        known = experiment.get(section, {})
        if name not in known:
            names = ", ".join(known) or "nothing"
            raise InputError(f"{where}: {key}: {name!r} is no entry of {section}, expected {names}")

    def expect_one(key: str, section: dict[str, Any], names: tuple[str, ...]) -> None:
        found = [name for name in names if name in section]
        if len(found) != 1:
            has = f"has {' and '.join(found)}" if found else "has none of its sources"
            raise InputError(f"{where}: {key}: {has}, expected one of {', '.join(names)}")

    models = ("hub", "path", "package")
    for name, base in experiment["bases"].items():
        expect_one(f"bases.{name}", base, ("pretrain", *models))
    for name, lrm in experiment["lrms"].items():
        expect_one(f"lrms.{name}", lrm, ("data", *models))
        for key in ("base", "recipe") if "data" in lrm else ("chat_format",):
            if key not in lrm:
                trained = "trained here" if "data" in lrm else "ready-made"
                raise InputError(f"{where}: lrms.{name}: {key} is missing, as it is {trained}")
        if "base" in lrm:
            expect(f"lrms.{name}.base", lrm["base"], "bases")
        if "data" in lrm:
            expect(f"lrms.{name}.data", lrm["data"], "data")
            expect(f"lrms.{name}.recipe", lrm["recipe"], "recipes")
    for name, alignment in experiment["alignments"].items():
        expect(f"alignments.{name}.data", alignment["data"], "data")
        expect(f"alignments.{name}.recipe", alignment["recipe"], "recipes")
        for lrm in alignment.get("lrms", []):
            expect(f"alignments.{name}.lrms", lrm, "lrms")
        recipe = experiment["recipes"][alignment["recipe"]]
        epochs = recipe["epochs"]
        kept = [epochs] if recipe.get("checkpoints") == "last" else alignment.get("epochs", [])
        if alignment["per_epoch"] == "one_run" and set(alignment.get("epochs", [])) - set(kept):
            raise InputError(
                f"{where}: alignments.{name}.epochs: are {alignment['epochs']}, expected "
                f"[{epochs}]: checkpoints of the recipe {alignment['recipe']} is last"
            )
        for epoch in alignment.get("epochs", []):
            if epoch > epochs and alignment["per_epoch"] == "one_run":
                past = f"epoch {epoch} is past the recipe's {epochs}"
                raise InputError(f"{where}: alignments.{name}.epochs: {past}")
        if "suite" in alignment and alignment["suite"] not in list_suites(experiment):
            none = f"no benchmark is of the suite {alignment['suite']!r}"
            raise InputError(f"{where}: alignments.{name}.suite: {none}")
    for name, benchmark in experiment["benchmarks"].items():
        for scorer in benchmark["scorers"]:
            expect(f"benchmarks.{name}.scorers", scorer, "scorers")
    for name, scorer in experiment["scorers"].items():
        if "judge" in scorer:
            expect(f"scorers.{name}.judge", scorer["judge"], "judges")
        if "model" in scorer:
            expect_one(f"scorers.{name}.model", scorer["model"], ("hub", "path"))
    micro = experiment.get("micro_data")
    for section in ("data", "benchmarks"):
        for name, entry in experiment[section].items():
            expect_one(f"{section}.{name}", entry, ("generated", "prepare"))
            if "prepare" in entry:
                expect_one(f"{section}.{name}.prepare.source", entry["prepare"]["source"], models)
            if "generated" in entry and micro is None:
                raise InputError(
                    f"{where}: {section}.{name}.generated: needs the section micro_data"
                )


def list_suites(experiment: dict[str, Any]) -> list[str]:
    """Return the names of the suites: benchmarks that are measured and reported apart."""
    named = (benchmark.get("suite") for benchmark in experiment["benchmarks"].values())
    return list(dict.fromkeys(name for name in named if name))


def list_benchmarks(experiment: dict[str, Any], run: Run) -> list[str]:
    """Return the benchmarks that a run is measured on.

    An aligned model is measured on the suite of its alignment, an LRM on the suites of those that
    start from it (on all, where none does), a base on every one.
    """
    suites = {run.section.get("suite")}
    if run.role == "lrm":
        lrm = run.name.split("/")[1]
        alignments = experiment["alignments"].values()
        suites = {a.get("suite") for a in alignments if lrm in a.get("lrms", experiment["lrms"])}
    return [
        name
        for name, benchmark in experiment["benchmarks"].items()
        if run.role == "base" or not suites or benchmark.get("suite") in suites
    ]


def suite_of(experiment: dict[str, Any], suite: str | None) -> dict[str, Any]:
    """Return what of the experiment belongs to a suite (None: to what has no suite)."""
    kept = {
        section: {n: e for n, e in experiment[section].items() if e.get("suite") == suite}
        for section in ("alignments", "benchmarks")
    }
    if published := experiment.get("report", {}).get("published"):
        chosen = [entry for entry in published if entry.get("suite") == suite]
        kept["report"] = {**experiment["report"], "published": chosen}
    return {**experiment, **kept}


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
