"""The staleness matrix: what each key of an experiment and each module makes stale, exactly.

A result is stale when its key is another than before; here the keys before and after a change are
compared. `tests/workflow/` shows that Snakemake makes just those results.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.scripts.common import pins
from workflow.scripts.common.codehash import forget_files, reached_modules, reached_packages
from workflow.scripts.common.errors import InputError
from workflow.scripts.common.pins import package_of, read_lock
from workflow.scripts.config.document import describe_keys
from workflow.scripts.config.experiment import Experiment
from workflow.scripts.config.load import check_experiment
from workflow.scripts.config.mixtures import expand_mixtures
from workflow.scripts.config.recipe import Gate, Lora
from workflow.scripts.config.section import Section, read_section
from workflow.scripts.config.sweeps import expand_sweeps
from workflow.scripts.graph.record_code import PARTS, list_scripts
from workflow.scripts.graph.results import Result, _outside_digest, list_keys, list_results

Names = set[str]
ROOT = Path(__file__).parents[2]
TINY = "tests/experiments/tiny.yaml"
EVERY_KEY = "tests/experiments/every_key.yaml"


def apart(experiment: Any) -> Any:
    """Return a copy without the objects that YAML's anchors share."""
    return json.loads(json.dumps(experiment))


@pytest.fixture(scope="module")
def tiny(root: Path) -> dict[str, Any]:
    experiment = apart(yaml.safe_load((root / TINY).read_text()))
    experiment["resources"] = {"safety_sft": {"gpu": 8, "runtime": 60}}
    return experiment


def names(experiment: dict[str, Any]) -> Names:
    return set(list_results(check_experiment(experiment, "it"), "it"))


def keys_of_results(experiment: dict[str, Any], root: Path = ROOT) -> dict[str, str]:
    return list_keys(list_results(check_experiment(experiment, "it"), "it"), root)


def keys_of_changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, str]:
    """Return the keys of a changed experiment, though its new value may be one that is refused."""
    try:
        return keys_of_results(after)
    except InputError:
        values = [expand_sweeps(one, "it").value for one in (before, after)]
        graft = grafted(read_section(Experiment, values[0], "it"), *values)
        return list_keys(list_results(expand_mixtures(graft), "it"))


def grafted(section: Any, before: Any, after: Any) -> Any:
    """Return a section with what is different in `after`, unchecked."""
    if before == after:
        return section
    if isinstance(section, Section):
        changed = {
            key: grafted(getattr(section, key), before.get(key), value)
            for key, value in after.items()
            if value != before.get(key)
        }
        return section.model_copy(update=changed)
    if isinstance(section, dict):
        return {key: grafted(section[key], before[key], value) for key, value in after.items()}
    if isinstance(after, dict):
        return (Lora if "r" in after else Gate).model_validate_json(json.dumps(after))
    return tuple(after) if isinstance(after, list) else after


def stale(before: dict[str, Any], after: dict[str, Any]) -> Names:
    """Return the results of `after` that were there before, under another key."""
    return moved(keys_of_results(before), keys_of_results(after))


def moved(old: dict[str, str], new: dict[str, str]) -> Names:
    """Return the names that have another key than before."""
    return {name for name in new if name in old and old[name] != new[name]}


REPORT, OVERLAP = "report/it", "data/overlap"


def matching(name: str, parts: tuple[str, ...]) -> bool:
    """Tell whether a name holds one of some parts; `benchmark NAME` means samples and scores."""
    path = f"{name}/"
    return any(
        path.startswith(("generate/", "score/")) and f"/{part.split()[1]}/" in path
        if part.startswith("benchmark ")
        else part in path
        for part in parts
    )


def having(*parts: str) -> Callable[[Names], Names]:
    """Return a selector of the results whose name holds one of `parts`, and of the report."""
    return lambda names: {name for name in names if matching(name, (*parts, REPORT))}


def nothing(names: Names) -> Names:
    return set()


READY_MADE = [
    *(f"base/{name}/hub" for name in ("fetched", "packaged", "local")),
    *(f"lrm/{name}/hub" for name in ("ready", "bundled", "own", "harmony")),
    *("aligned/ready/prompted/hub", "aligned/harmony/effort/hub"),
]
NOT_MICRO = (
    *("data/records/", "data/benchmarks/", "score/fetched/classifier"),
    *(f"models/{run}" for run in READY_MADE),
    *(
        f"/{run}/{name}/"
        for run in READY_MADE
        for name in ("letters", "packed", "filed", "told", "drawn_sums")
    ),
)


def micro(names: Names) -> Names:
    """Select all that is made from generated data."""
    return {name for name in names if not matching(name, NOT_MICRO)}


LRM, JUDGES = (
    ("lrm/tiny", "aligned/tiny", "attacked/tiny", "data/sampled/"),
    ("score/judges/ngram", "score/judges/second"),
)
FETCHED = ("fetched/classifier", "/packed/classifier")
SUM = "/summed/seed"  # made from both
CHOSEN = "/chosen/seed"  # by the scores of others on dev_…
SAFE = ("/safest/seed", "/safest-epochs4-rank1/seed")
SAFEST = ("/promoted/seed", *SAFE)
SWEPT = ("/swept-alpha0.25/seed", "/swept-alpha0.75/seed", CHOSEN)
ATTACKED = ("/directrefusal/undo/", "/safechain/undo/")
# merged is made from it, too, replayed goes on from it, and durability attacks it
DIRECT = ("/directrefusal/seed", "/merged/seed", "/replayed/seed", SUM, *SWEPT, ATTACKED[0])
RETRAINED = ("/retrained/seed", *SAFEST)
NGRAM = ("/harmful/ngram", "/dev_harmful/ngram", CHOSEN, *SAFEST)
MATH = ("/clock_sums/math", "/dev_sums/math", CHOSEN)
CHAIN = ("/safechain/seed", SUM, ATTACKED[1], "/distilled/seed")
PRIMED = "/primed/seed"
KEPT = "/kept/seed"  # adapters, for the weights of lrm/tiny
MIXED = ("mixtures/mixed", "/replayed/seed")
JOINT = ("mixtures/safechain+from_path@1", "/joint/seed")
SELECTED = ("data/sampled/selfmade", "/thinksafe/seed")  # what of an LRM's own samples is kept
SELFMADE = ("/selfmade/", *SELECTED)
ON_POLICY = ("/rewarded/seed", "/distilled/seed", "/reminded/seed")
PREFERENCES = ("/preferred/seed", "/labelled/seed")
# Key of the experiment (a prefix of it) to what a change makes stale; the longest prefix counts.
MATRIX: dict[str, Callable[[Names], Names]] = {
    "description": having(),
    "seeds": having(),
    "report.transcripts": having(),
    "report.single_file": having(),
    "report.published": having(),
    "report.interval_width": having(),
    "report.frontier": having(),
    "report.frontier_margin": having(),
    "gate": nothing,
    "resources": nothing,
    "runtime": nothing,
    "hardware": nothing,
    "budget": nothing,
    # every generated file is drawn from these, the judge's rows too; but for some sizes
    "micro_data": micro,
    "micro_data.harmful": having(
        *("data/micro/harmful", OVERLAP, "benchmark harmful", "benchmark dev_harmful"),
        *(CHOSEN, *SAFEST),
    ),
    "micro_data.benign": having("data/micro/benign", OVERLAP, "benchmark benign"),
    "micro_data.judge_train": having("data/micro/judge_train", *JUDGES, *NGRAM),
    "micro_data.judge_test": having("data/micro/judge_test", *JUDGES, *NGRAM),
    "data.reasoning": having(*LRM),
    "data.mixed": having(*MIXED),
    "data.directrefusal": having(*DIRECT, PRIMED),
    "data.directrefusal.render": having(*DIRECT),
    "data.safechain": having(*CHAIN, KEPT, "/joint/seed"),
    "data.complied": having("attacked/"),
    "data.complied.generated": having("attacked/", OVERLAP),
    "data.reasoning.generated": having(*LRM, *MIXED, OVERLAP),
    "data.directrefusal.generated": having(*DIRECT, PRIMED, *MIXED, *SELFMADE, OVERLAP),
    "data.selfmade.sampled": having(*SELFMADE),
    **{
        f"data.selfmade.sampled.{key}": having(*SELECTED)
        for key in ("judge", "passes", "per_prompt", "otherwise", "min_records")
    },
    "data.safechain.generated": having(*CHAIN, KEPT, *JOINT, OVERLAP),
    "data.from_hub": having("records/from_hub", *RETRAINED, *MIXED, OVERLAP),
    "data.from_package": having(
        *("records/from_package", PRIMED, *PREFERENCES, "/rewarded/seed", OVERLAP)
    ),
    "data.from_path": having("records/from_path", *JOINT, *PREFERENCES, *ON_POLICY, OVERLAP),
    "data.drawn": having("records/drawn", OVERLAP),
    "bases.tiny": having("base/tiny", *LRM),
    "bases.fetched": having("base/fetched"),
    "bases.packaged": having("base/packaged"),
    "bases.local": having("base/local"),
    "bases.fetched.parameters_b": having(),
    "lrms.tiny": having(*LRM),
    "lrms.ready": having("lrm/ready", "aligned/ready", "attacked/ready"),
    "lrms.ready.base": having(),
    "lrms.ready.parameters_b": having(),
    "lrms.bundled": having("lrm/bundled"),
    "lrms.own": having("lrm/own"),
    "lrms.harmony": having("lrm/harmony", "aligned/harmony"),
    "lrms.harmony.parameters_b": having(),
    "recipes.reasoning": having(*LRM),
    "recipes.safety": having(*DIRECT, *CHAIN, PRIMED),
    "recipes.attack": having("attacked/"),
    "recipes.attack.epochs": having(),
    "recipes.attack.checkpoints": having(),
    "recipes.longer": having(),
    "durability.undo": having("attacked/"),
    "durability.undo.alignments": having(),
    "durability.undo.benchmarks": having(),
    "recipes.adapters": having(KEPT),
    "recipes.other": having(*RETRAINED, "/joint/seed", "/thinksafe/seed", *PREFERENCES, *ON_POLICY),
    "recipes.other.epochs": having("/joint/seed"),  # the others have their own
    "recipes.other.checkpoints": having("/joint/seed"),
    "alignments.directrefusal": having(*DIRECT),
    "alignments.merged": having("/merged/seed"),
    "alignments.merged.lrms": having(),
    "alignments.primed": having(PRIMED),
    "alignments.primed.lrms": having(),
    "alignments.primed.per_epoch": having(),
    "alignments.primed.epochs": having("generate/aligned/tiny/primed", "score/aligned/tiny/primed"),
    "alignments.kept": having(KEPT),
    "alignments.kept.lrms": having(),
    "alignments.kept.per_epoch": having(),
    "alignments.summed": having(SUM),
    "alignments.summed.lrms": having(),
    "alignments.prompted": having("/prompted/"),
    "alignments.prompted.lrms": having(),
    "alignments.effort": having("/effort/"),
    "alignments.effort.lrms": having(),
    "alignments.directrefusal.epochs": having(
        *("generate/aligned/tiny/directrefusal", "score/aligned/tiny/directrefusal"),
        *("generate/aligned/ready/directrefusal", "score/aligned/ready/directrefusal", CHOSEN),
        ATTACKED[0],  # from the weights that are looked at last
    ),
    "alignments.safechain": having(*CHAIN),
    "alignments.retrained": having(*RETRAINED),
    "alignments.retrained.lrms": having(),
    "alignments.chosen": having(CHOSEN),
    "alignments.chosen.lrms": having(),
    "alignments.safest": having(*SAFE),
    "alignments.promoted": having(*SAFEST),
    "alignments.promoted.evaluate": having(),
    "alignments.promoted.lrms": having(),
    "alignments.safest.lrms": having(),
    "alignments.replayed": having("/replayed/seed"),
    "alignments.joint": having("/joint/seed"),
    "alignments.swept": having(*SWEPT),
    "alignments.swept.evaluate": having(),
    "alignments.swept.alpha": nothing,  # each run has one of the sweep
    "alignments.swept.sweep": having(CHOSEN),  # the names of the others tell the values
    "alignments.swept.lrms": having(),
    "alignments.thinksafe": having("/thinksafe/seed"),
    "alignments.preferred": having("/preferred/seed"),
    "alignments.labelled": having("/labelled/seed"),
    "alignments.rewarded": having("/rewarded/seed"),
    "alignments.distilled": having("/distilled/seed"),
    "alignments.reminded": having("/reminded/seed"),
    "benchmarks.clock_sums": having("benchmark clock_sums"),
    "benchmarks.harmful": having("benchmark harmful"),
    "benchmarks.benign": having("benchmark benign"),
    "benchmarks.dev_sums": having("benchmark dev_sums", CHOSEN),
    "benchmarks.dev_sums.generated": having("benchmark dev_sums", CHOSEN, OVERLAP),
    "benchmarks.dev_sums.split": having(CHOSEN),
    "benchmarks.dev_sums.scorers": having(CHOSEN),
    "benchmarks.dev_harmful": having("benchmark dev_harmful", CHOSEN, *SAFEST),
    "benchmarks.dev_harmful.generated": having("benchmark dev_harmful", CHOSEN, *SAFEST, OVERLAP),
    "benchmarks.dev_harmful.split": having(CHOSEN, *SAFEST),
    "benchmarks.dev_harmful.scorers": having(CHOSEN, *SAFEST),
    "benchmarks.letters": having("benchmark letters"),
    "benchmarks.letters.prepare": having("/letters/", OVERLAP),
    "benchmarks.packed": having("benchmark packed"),
    "benchmarks.packed.prepare": having("/packed/", OVERLAP),
    "benchmarks.told": having("benchmark told"),
    "benchmarks.told.task": having("/told/", OVERLAP),
    "benchmarks.told.include_path": having("/told/", OVERLAP),
    "benchmarks.drawn_sums": having("benchmark drawn_sums"),
    "benchmarks.drawn_sums.reasoning_gym": having("/drawn_sums/", OVERLAP),
    "benchmarks.filed": having("benchmark filed"),
    "benchmarks.filed.prepare": having("/filed/", OVERLAP),
    "scorers.math": having(*MATH),
    "scorers.choice": having("/letters/choice"),
    "scorers.refusal": having("/refusal/"),
    "scorers.screen": having("/selfmade/screen", *SELECTED, "/rewarded/seed"),
    "scorers.math_alone": having("/rewarded/seed"),
    "scorers.task": having("/told/task"),
    "scorers.ngram": having(*NGRAM),
    "scorers.llm": having("/harmful/llm"),
    "scorers.classifier": having("/packed/classifier"),
    "scorers.classifier.model": having(*FETCHED),
    "scorers.classifier.weights": having(*FETCHED),
    "scorers.classifier.window_tokens": having(*FETCHED),
    "scorers.own_classifier": having("/filed/own_classifier"),
    "judges.ngram": having("score/judges/ngram", *NGRAM),
    "judges.second": having("score/judges/second"),
    # what the report alone shows
    **{
        f"{entry}.title": having()
        for entry in (
            "lrms.tiny",
            "alignments.directrefusal",
            "alignments.merged",
            "benchmarks.harmful",
        )
    },
    # names of other entries, and what decides which results there are
    "alignments.directrefusal.lrms": having(),
    "alignments.directrefusal.per_epoch": having(
        "/merged/seed", "/replayed/seed", SUM, *SWEPT, ATTACKED[0]
    ),
    "alignments.safechain.lrms": having(),
    "alignments.safechain.per_epoch": having(SUM, ATTACKED[1], "/distilled/seed"),
    "alignments.replayed.per_epoch": having(),
    "alignments.replayed.lrms": having(),
    "alignments.joint.per_epoch": having(),
    "alignments.retrained.per_epoch": having(*SAFEST),
    "alignments.retrained.epochs": having(*SAFEST),
    **{
        f"alignments.{name}.{key}": having()
        for name in (
            *("thinksafe", "preferred", "labelled"),
            *("rewarded", "distilled", "reminded"),
        )
        for key in ("per_epoch", "epochs", "lrms")
    },
    "benchmarks.clock_sums.generated": having("benchmark clock_sums", OVERLAP),
    "benchmarks.harmful.generated": having("benchmark harmful", OVERLAP),
    "benchmarks.benign.generated": having("benchmark benign", OVERLAP),
    **{
        f"benchmarks.{name}.scorers": having()
        for name in ("clock_sums", "harmful", "benign", "packed", "filed", "told", "drawn_sums")
    },
    "benchmarks.letters.scorers": having(),
}
# Other values of what names something.
OTHERS = {
    "data.reasoning.generated": "safechain",
    "data.directrefusal.generated": "safechain",
    "data.safechain.generated": "reasoning",
    "data.complied.generated": "reasoning",
    "durability.undo.data": "reasoning",
    "durability.undo.recipe": "longer",
    "lrms.tiny.base": "local",
    "lrms.tiny.data": "safechain",
    "lrms.tiny.recipe": "safety",
    "alignments.directrefusal.data": "safechain",
    "alignments.directrefusal.recipe": "other",
    "alignments.directrefusal.per_epoch": "retrain",
    "alignments.safechain.data": "directrefusal",
    "alignments.safechain.lrms": ["tiny", "ready"],  # some model is made from tiny's
    "alignments.safechain.recipe": "other",
    "alignments.safechain.per_epoch": "retrain",
    "alignments.merged.alignment": "safechain",
    "alignments.primed.chat_format": "chatml",
    "alignments.primed.data": "safechain",
    "alignments.primed.per_epoch": "retrain",
    "alignments.primed.recipe": "other",
    "alignments.primed.retain": "safechain",
    "alignments.kept.data": "directrefusal",
    "alignments.kept.per_epoch": "retrain",
    "alignments.kept.recipe": "safety",
    "alignments.retrained.data": "safechain",
    "alignments.replayed.data": "safechain",
    "alignments.replayed.recipe": "other",
    "alignments.replayed.after": "safechain",
    "alignments.replayed.per_epoch": "retrain",
    "alignments.swept.alignment": "safechain",
    "alignments.swept.lrms": ["tiny", "ready"],
    "alignments.retrained.lrms": ["tiny", "ready"],
    "alignments.chosen.highest": "truncated",
    "alignments.safest.lowest": "harmful_strict",
    "alignments.safest.among": ["promoted", "retrained"],
    "alignments.safest.halving": [5],
    "alignments.safest.lrms": ["tiny", "tiny"],
    "alignments.promoted.lowest": "harmful_strict",
    "alignments.promoted.among": ["safechain"],
    "alignments.promoted.lrms": ["tiny", "tiny"],  # some model is made from tiny's
    "benchmarks.dev_sums.generated": "benign",
    "benchmarks.dev_sums.split": "test",
    "benchmarks.dev_sums.scorers": ["choice"],
    "benchmarks.dev_harmful.generated": "benign",
    "benchmarks.dev_harmful.split": "test",
    "benchmarks.dev_harmful.scorers": ["llm"],
    "alignments.joint.recipe": "safety",
    "alignments.joint.per_epoch": "retrain",
    "alignments.retrained.recipe": "safety",
    "alignments.retrained.per_epoch": "one_run",
    **{
        f"alignments.{name}.{key}": value
        for name in ("preferred", "labelled")
        for key, value in (
            ("data", "safechain"),
            ("rejected", "directrefusal"),
            ("recipe", "safety"),
            ("per_epoch", "one_run"),
        )
    },
    "alignments.preferred.loss": "hinge",
    **{
        f"alignments.{name}.{key}": value
        for name in ("rewarded", "distilled", "reminded")
        for key, value in (
            ("data", "directrefusal"),
            ("recipe", "safety"),
            ("per_epoch", "one_run"),
        )
    },
    "alignments.rewarded.reasoning": "reasoning",
    "alignments.rewarded.judge": "refusal",
    "alignments.rewarded.scorer": "math",
    "alignments.rewarded.samples": 8,
    "alignments.distilled.teacher": "retrained",
    "alignments.reminded.context": "Refuse: {prompt}",
    "alignments.thinksafe.data": "from_path",
    "alignments.thinksafe.recipe": "safety",
    "alignments.thinksafe.per_epoch": "one_run",
    "data.selfmade.sampled.prompts": "safechain",
    "data.selfmade.sampled.ask": "Refuse: {prompt}",
    "data.selfmade.sampled.kind": "benign",
    "data.selfmade.sampled.engine": "vllm",
    "data.selfmade.sampled.judge": "refusal",
    "data.selfmade.sampled.otherwise": "drop",
    "benchmarks.clock_sums.generated": "benign",
    "benchmarks.harmful.generated": "benign",
    "benchmarks.benign.generated": "harmful",
    "benchmarks.letters.engine": "vllm",
    "benchmarks.letters.template": "Choose: {prompt}",
    "benchmarks.told.task": "told_sums_again",
    "benchmarks.told.include_path": "./tests/tasks",
    "recipes.reasoning.gate.probe": "clock_sums",
    # values that scorers take
    **{
        f"scorers.{section}.{key}": value
        for section in ("math.extractor", "llm.llm")
        for key, value in (("reply_limit_field", "max_completion_tokens"), ("max_error_share", 0.2))
    },
    "scorers.choice.letters": "ABCDE",
    "scorers.choice.default_choice": "B",
    "scorers.ngram.threshold": 0.6,
    "scorers.ngram.answer_from": "after_first_delimiter_or_all",
    "scorers.llm.rubric": "beavertails",
    "scorers.classifier.model.revision": "b" * 40,
    "scorers.classifier.weights": "torch",
    "scorers.classifier.dtype": "bfloat16",
    "scorers.classifier.windows": "first_256",
    "scorers.ngram.judge": "second",
    "scorers.task.metric": "exact_match,last",
    # folders that are there
    **dict.fromkeys(("bases.local.path", "lrms.own.path", "lrms.harmony.path"), "./envs"),
    "alignments.effort.effort": "low",
    "scorers.own_classifier.model.path": "./envs",
}


# Values of what is not there.
NEW = {
    "gate": {"probe": "probe", "threshold": 0.5, "n": 4, "max_rounds": 2},
    "lora": {"r": 8, "alpha": 16, "dropout": 0.1, "target_modules": ["q_proj"]},
}


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of everything that is not an object."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value


def changed(experiment: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a copy in which the value at `key` is another one."""
    after = copy.deepcopy(experiment)
    *path, last = key.split(".")
    section = after
    for name in path:
        section = section[name]
    value = section[last]
    if key in OTHERS:
        section[last] = OTHERS[key]
    elif last == "seeds":
        section[last] = [*value, 9]
    elif isinstance(value, bool):
        section[last] = not value
    elif isinstance(value, int | float):
        section[last] = value + 1
    elif isinstance(value, list):
        section[last] = value[:-1]
    elif value is None:
        section[last] = NEW[last]
    elif path[-1:] == ["source"] and last == "path":
        section[last] = "tests/experiments/other_rows.jsonl"
    else:
        section[last] = f"{value}x"
    return after


def keys_of(root: Path) -> list[str]:
    return [key for key, _ in leaves(yaml.safe_load((root / EVERY_KEY).read_text()))]


@pytest.fixture(scope="module")
def every_key(root: Path) -> dict[str, Any]:
    experiment = apart(yaml.safe_load((root / EVERY_KEY).read_text()))
    check_experiment(experiment, EVERY_KEY)
    return experiment  # with its defaults, for a key that is not there cannot be changed


@pytest.fixture(scope="module")
def keys_before(every_key: dict[str, Any]) -> dict[str, str]:
    return keys_of_results(every_key)


# an entry of another method, or a scorer of another type, has other keys
KEYS = [key for key in keys_of(ROOT) if not re.fullmatch(r".*\.method|scorers\.\w+\.type", key)]


@pytest.mark.filterwarnings("ignore:Pydantic serializer")  # values that are refused
@pytest.mark.parametrize("key", KEYS)
def test_a_changed_key_makes_exactly_these_results_stale(every_key, keys_before, key):
    prefix = max((p for p in MATRIX if f"{key}.".startswith(f"{p}.")), key=len)
    after = keys_of_changed(every_key, changed(every_key, key))
    assert moved(keys_before, after) == MATRIX[prefix](set(keys_before) & set(after))


def test_every_key_of_the_schema_is_in_the_matrix(root):
    """A new key needs an entry in every_key.yaml, and with it a row of the matrix."""
    schema = Experiment.model_json_schema()
    rows = describe_keys(schema, schema["$defs"])
    keys = [re.sub(r" \([\w, ]+\)", "", key.strip("`")) for key, *_ in rows]
    known = [key for key in keys if "[]" not in key]  # a list counts as a whole
    ends = {key for key in known if not any(other.startswith(f"{key}.") for other in known)}

    def pattern(key: str) -> str:
        named = {end: re.escape(end).replace("NAME", r"[^.]+") for end in known}
        return max((end for end in known if re.match(rf"{named[end]}(\.|$)", key)), key=len)

    assert ends - {pattern(key) for key in keys_of(root)} == set()


def test_run_time_knobs_make_nothing_stale(tiny):
    after = copy.deepcopy(tiny)
    after["resources"] = {"generate_samples": {"gpu": 1, "threads": 64, "mem_mb": 1}}
    after["runtime"] = {"generate_samples": {"batch_size": 1}}
    after["hardware"] = {"nodes": 4, "gpu_tflops": 312}
    after["budget"] = {"gpu_hours": 10, "disk_gb": 100, "usd": 1}
    check_experiment(after, "tiny.yaml")
    assert stale(tiny, after) == set()


def test_key_order_and_number_format_make_nothing_stale(tiny):
    def reordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reordered(value[key]) for key in reversed(value)}
        return value

    after = reordered(tiny)
    for section in ("data", "bases", "lrms", "alignments", "benchmarks", "scorers", "judges"):
        after[section] = {key: after[section][key] for key in tiny[section]}
    after["recipes"]["safety"]["min_lr_ratio"] = 0.05
    after["recipes"]["reasoning"]["min_lr_ratio"] = 0.0  # was 0
    after["benchmarks"]["benign"]["decoding"]["temperature"] = 0.0  # was 0
    assert stale(tiny, after) == set()


def test_a_default_that_is_written_down_makes_nothing_stale(tiny):
    after = copy.deepcopy(tiny)
    after["recipes"]["safety"].update(max_grad_norm=1, lora=None, padding_free=False)
    after["benchmarks"]["harmful"].update(repeats=1, task=None, template="{prompt}", engine="hf")
    after["scorers"]["ngram"]["judge_thinking"] = True
    after["data"]["safechain"]["render"] = {"newline_before_answer": True}
    assert check_experiment(after, TINY) == check_experiment(tiny, TINY)
    assert stale(tiny, after) == set()


def test_two_settings_that_swap_their_values_are_seen(tiny):
    before, after = copy.deepcopy(tiny), copy.deepcopy(tiny)
    before["recipes"]["safety"].update(learning_rate=0.1, weight_decay=0.2)
    after["recipes"]["safety"].update(learning_rate=0.2, weight_decay=0.1)
    assert stale(before, after) == having("/aligned/")(names(tiny))


def test_a_model_folder_counts_by_its_content_not_by_its_times(every_key, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    weights = bytearray(3_000_000)
    (folder / "model.safetensors").write_bytes(weights)
    experiment = copy.deepcopy(every_key)
    experiment["bases"]["local"]["path"] = str(folder)
    experiment["scorers"]["own_classifier"]["model"]["path"] = str(folder)
    before = keys_of_results(experiment)
    _outside_digest.cache_clear()
    shutil.copy(folder / "model.safetensors", tmp_path / "copy")
    (tmp_path / "copy").replace(folder / "model.safetensors")
    assert keys_of_results(experiment) == before
    for place in (0, 2_999_999):
        _outside_digest.cache_clear()
        (folder / "model.safetensors").write_bytes(weights[:place] + b"1" + weights[place + 1 :])
        after = keys_of_results(experiment)
        changed = {name for name in after if before[name] != after[name]}
        assert changed == having("base/local", "/filed/own_classifier")(set(after))


def test_a_new_benchmark_leaves_what_there_is_but_the_report(tiny):
    after = copy.deepcopy(tiny)
    after["benchmarks"]["more"] = {**tiny["benchmarks"]["clock_sums"], "n": 4}
    assert stale(tiny, after) == {REPORT, OVERLAP}
    new = names(after) - names(tiny)
    assert new and all("/more" in name for name in new)


def has(*parts: str, but: tuple[str, ...] = ()) -> Callable[[str], bool]:
    return lambda name: matching(name, parts) and not matching(name, but)


TRAINED = has("models/lrm/tiny", "models/aligned/", "models/attacked/")
WITH_TORCH = has(
    *("models/base/tiny", "models/base/packaged", "models/lrm/bundled", "models/lrm/tiny"),
    *("models/aligned/", "models/attacked/", "generate/", *FETCHED, "/filed/own_classifier"),
    but=("/letters/",),
)
ADAPTED = has("generate/aligned/tiny/kept/", but=("/letters/",))
TRANSFORMERS = has("generate/", but=("/letters/",))
TASKS = has("data/benchmarks/told", "/told/task")
VLLM = has("benchmark letters", but=("score/",))
PREPARED = ("data/records/", "data/benchmarks/")
SCORES = tuple(
    f"benchmark {name}"
    for name in (
        *("clock_sums", "harmful", "benign", "letters", "packed", "filed", "told", "drawn_sums"),
        *("dev_sums", "dev_harmful", "selfmade"),
    )
)
# Package of an environment's lock: the results that it computes something of.
COMPUTES: dict[tuple[str, str], Callable[[str], bool]] = {
    ("train", "trl"): TRAINED,
    ("train", "peft"): lambda name: TRAINED(name) or ADAPTED(name),
    ("train", "accelerate"): TRAINED,
    ("train", "torch"): WITH_TORCH,
    ("train", "tokenizers"): has("models/base/tiny"),
    ("train", "gguf"): has("models/base/packaged", "models/lrm/bundled"),
    ("train", "lm-eval"): TASKS,
    ("vllm", "vllm"): VLLM,
    ("vllm", "torch"): VLLM,
    ("train", "datasets"): lambda name: TRAINED(name) or matching(name, PREPARED),
    ("train", "pyarrow"): has(*PREPARED),
    ("train", "math-verify"): has(
        *(*MATH[:2], "/drawn_sums/verifier", "models/aligned/tiny/rewarded")
    ),
    ("train", "openai"): has("/harmful/llm", *MATH[:2]),
    ("train", "numpy"): has(*JUDGES, *NGRAM[:2]),
    ("train", "scikit-learn"): has(*JUDGES),
    ("train", "scipy"): has(*SCORES, *JUDGES, OVERLAP, REPORT, but=("generate/",)),
    ("train", "statsmodels"): has(REPORT),
    ("train", "matplotlib"): has(REPORT),
    ("train", "pandas"): has(REPORT),
    ("train", "rich"): has("nothing"),
    ("train", "huggingface-hub"): has("nothing"),
}


@pytest.mark.parametrize(("environment", "package"), COMPUTES)
def test_an_updated_package_makes_exactly_the_results_stale_that_import_it(
    every_key, monkeypatch, environment, package
):
    every_key = copy.deepcopy(every_key)
    every_key["benchmarks"]["letters"]["engine"] = "vllm"
    results = list_results(check_experiment(every_key, "it"), "it")
    before = list_keys(results)
    locks = {name: read_lock(name) for name in ("train", "vllm")}
    locks[environment] = {**locks[environment], package: "999"}
    assert package in read_lock(environment)
    monkeypatch.setattr(pins, "read_lock", locks.__getitem__)
    after = list_keys(results)
    direct = {name for name in results if COMPUTES[environment, package](name)}
    assert {name for name in results if before[name] != after[name]} == downstream(results, direct)


def test_every_import_is_known_by_its_package(modules, root):
    """What `pins` takes for an import's package is what is installed under it."""
    installed = packages_distributions()
    imports = set().union(*(reached_packages(name, root) for name in modules))
    assert {"torch", "sklearn", "math_verify", "accelerate"} <= imports
    lock = read_lock("train")
    for name in imports & set(installed):
        packages = {re.sub(r"[-_.]+", "-", one).lower() for one in installed[name]}
        assert package_of(name) in packages & set(lock), name
    assert all(package_of(name) in lock or name in read_lock("vllm") for name in imports)


def test_every_part_of_the_code_can_be_recorded(every_key, root):
    results = list_results(check_experiment(every_key, "it"), "it").values()
    used = {name for result in results for name in (result.module, *result.also)}
    assert used <= set(list_scripts(root))
    scorers = {part for part in PARTS if part.startswith("score.scorers.")}
    assert set(PARTS) - scorers <= used | {"generate.vllm_engine"}
    assert scorers <= set(list_scripts(root))


@pytest.fixture(scope="module")
def modules(root: Path) -> list[str]:
    found = (root / "workflow/scripts").rglob("*.py")
    return sorted(
        str(path.relative_to(root / "workflow/scripts").with_suffix("")).replace("/", ".")
        for path in found
    )


def test_a_changed_module_reaches_the_results_whose_scripts_import_it_and_no_other(
    root, tiny, tmp_path, modules
):
    """For each module: its results and what is made from them; a comment makes nothing stale."""
    shutil.copytree(root / "workflow", tmp_path / "workflow")
    results = list_results(check_experiment(tiny, TINY), "it")
    before = list_keys(results, tmp_path)
    reached = {
        name: {one for part in parts_of(result) for one in reached_modules(part, tmp_path)}
        for name, result in results.items()
    }
    used = set().union(*reached.values())
    assert {"common.chat", "common.records", "models.train_sft", "score.scorers.ngram"} <= used
    for module in modules:
        path = tmp_path / "workflow/scripts" / (module.replace(".", "/") + ".py")
        text = path.read_text()
        for addition, counts in (("\n# a remark\n", False), ("\nADDED = 1\n", True)):
            path.write_text(text + addition)
            forget_files()
            after = list_keys(results, tmp_path)
            direct = {name for name in results if counts and module in reached[name]}
            found = {name for name in results if before[name] != after[name]}
            assert found == downstream(results, direct), module
        path.write_text(text)
    forget_files()


def parts_of(result: Result) -> tuple[str, ...]:
    return result.module, *result.also


def downstream(results: dict[str, Result], direct: Names) -> Names:
    found: Names = set()
    for name, result in results.items():
        if name in direct or found.intersection(result.made_from):
            found.add(name)
    return found
