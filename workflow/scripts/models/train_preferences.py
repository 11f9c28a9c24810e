"""Train a model on preferences by DPO or KTO: chosen answers over rejected ones.

Makes a run folder as `train_sft` does, from the run folder of the parent and two JSON-lines files
of records: the chosen answers, and the rejected ones to the same prompts. The reference is the
parent. A preempted run goes on from its last saved state. Asked for several GPUs, it starts itself
again under `accelerate launch`.

python -m workflow.scripts.models.train_preferences --method dpo --loss '{"beta": 0.1}' \
    --role aligned --run aligned/tiny/dpo/seed1 --parent results/micro/models/lrm/tiny/seed1 \
    --data results/micro/data/safechain/records.jsonl --data-name safechain \
    --rejected complied.jsonl --rejected-name complied --chat-format micro --seed 1 \
    --recipe '{"learning_rate": 1e-5, "epochs": 1, "global_batch": 16, "precision": "fp32"}' \
    --out results/micro/models/aligned/tiny/dpo/seed1
"""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from workflow.scripts.common.chat import chat_format
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.manifest import Lineage, load_checkpoint
from workflow.scripts.common.records import Record, read_records
from workflow.scripts.common.result import making
from workflow.scripts.config.planning import Runtime
from workflow.scripts.config.preferences import LOSSES, DpoLoss, KtoLoss
from workflow.scripts.config.recipe import Recipe
from workflow.scripts.config.section import parse_section
from workflow.scripts.config.source import Render
from workflow.scripts.models.launch import is_main, launched, world_size
from workflow.scripts.models.lineage import describe_data, describe_parent
from workflow.scripts.models.preferences import (
    Preferences,
    label_columns,
    pair_columns,
    pair_records,
)
from workflow.scripts.models.recipe import batch_plan
from workflow.scripts.models.train_sft import (
    LOGGED,
    REQUIRED,
    Rounds,
    check_settings,
    open_state,
    parse_arguments,
    start_processes,
    train_and_write,
)

MODULE = "models.train_preferences"
# Sequences of an example that a forward pass computes at once.
SEQUENCES = {"dpo": 2, "kto": 1}
REWARDS = ("rewards/chosen", "rewards/rejected", "rewards/margins")


class PreferenceRounds(Rounds):
    """Trains one run on preferences; its `records` are the chosen answers.

    Args of `__init__`:
        method: `dpo`, whose rejected answers are in the order of the chosen ones, or `kto`.
        loss: The loss's section.
        rejected: The rejected answers.
        rejected_render: How they are written.
        arguments: Those of `Rounds`.
    """

    LOGGED = (*LOGGED, *REWARDS)

    def __init__(
        self,
        method: str,
        loss: DpoLoss | KtoLoss,
        rejected: list[Record],
        rejected_render: Render,
        *arguments: Any,
    ) -> None:
        super().__init__(*arguments)
        self.method, self.loss = method, loss
        self.rejected, self.rejected_render = rejected, rejected_render

    def encode(self, tokenizer: Any) -> Preferences:
        chosen = self.encode_set(self.records, self.render or Render(), tokenizer)
        rejected = self.encode_set(self.rejected, self.rejected_render, tokenizer)
        return (pair_columns if self.method == "dpo" else label_columns)(chosen, rejected)

    def task(self, encoded: Any, tokenizer: Any, folder: Path) -> Any:
        from workflow.scripts.models.preference_trainer import preference_task

        return preference_task(self.method, encoded, tokenizer, folder / "reference.json")

    def configure(self, arguments: dict[str, Any]) -> Any:
        from workflow.scripts.models.preference_trainer import configure

        return configure(arguments, self.loss)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", choices=sorted(LOSSES), help="what is optimized")
    parser.add_argument("--loss", default="{}", help="its loss, as JSON")
    parser.add_argument("--rejected", type=Path, help="records of rejected answers, JSON lines")
    parser.add_argument("--rejected-name", help="their name in the manifest")
    parser.add_argument("--rejected-render", default="{}", help="their rendering, as JSON")


def rejected_file(records: Path) -> Path:
    """Return the file of rejected answers of a training set.

    One that an LRM wrote itself has those that its judge did not pass beside its records.
    """
    own = records.with_name("rejected.jsonl")
    return own if own.exists() else records


def check_preferences(method: str, recipe: Recipe, runtime: Runtime) -> None:
    """Raise `InputError` where TRL's trainers cannot follow a recipe."""
    if recipe.gate or recipe.padding_free or (recipe.lora and recipe.lora.dropout):
        raise InputError(
            f"recipe: {method} knows no gate, no padding_free and no lora.dropout, expected none"
        )
    per_device, _ = batch_plan(recipe.global_batch, world_size(runtime), runtime.per_device_batch)
    if method == "kto" and per_device < 2:
        raise InputError("kto computes 1 example per forward pass and GPU, expected at least 2")


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    needed = ("method", "rejected", "rejected_name")
    args = parse_arguments(argv, add_arguments, (*REQUIRED, *needed))
    recipe = parse_section(Recipe, args.recipe, "--recipe")
    runtime = parse_section(Runtime, args.runtime, "--runtime")
    with making(args.out, args.result) if is_main() else nullcontext():
        train(args, recipe, runtime, argv)


def train(args: argparse.Namespace, recipe: Recipe, runtime: Runtime, argv: list[str]) -> None:
    """Train a run. The first process writes its folder; the others only train."""
    chat_format(args.chat_format)
    render, rejected_render = (
        parse_section(Render, text, "--render") for text in (args.render, args.rejected_render)
    )
    loss = parse_section(LOSSES[args.method], args.loss, "--loss")
    check_settings(recipe, runtime, None)
    check_preferences(args.method, recipe, runtime)
    worse = rejected_file(args.rejected)
    chosen, rejected = read_records(args.data), read_records(worse)
    lineage: Lineage = {
        "base": None,
        "data": describe_data(args.data_name, args.data, len(chosen)),
        "rejected": describe_data(args.rejected_name, worse, len(rejected)),
    }
    if args.method == "dpo":
        pairs = pair_records(chosen, rejected)
        chosen, rejected = [one for one, _ in pairs], [other for _, other in pairs]
        lineage["pairs"] = {"n": len(pairs)}
    parent = load_checkpoint(args.parent, args.checkpoint, checked=launched())
    module = f"workflow.scripts.{MODULE}"
    start_processes(parent, recipe, runtime, argv, module, SEQUENCES[args.method])

    lineage["base"] = describe_parent(args.parent, parent.name)
    settings = {"method": args.method, **loss.with_defaults()}
    identity = {**settings, "rejected_render": rejected_render.with_defaults()}
    sharded = world_size(runtime) > 1
    state = open_state(args, recipe, render, lineage, sharded, MODULE, identity)
    rounds = PreferenceRounds(
        args.method,
        loss,
        rejected,
        rejected_render,
        *(parent, chosen, None, chat_format(args.write_as or args.chat_format), recipe, runtime),
        *(args.seed, render, state, args.write_as not in (None, args.chat_format)),
    )
    train_and_write(args, rounds, lineage, settings)


if __name__ == "__main__":
    run(main)
