"""Fine-tune a model on records: reasoning training (base to LRM) and safety alignment alike.

Makes a run folder with the weights after the epochs that the recipe keeps and a manifest, from the
run folder of the parent and a JSON-lines file of records. A preempted run goes on from its last
saved state. Asked for several GPUs, it starts itself again under `accelerate launch`.

python -m workflow.scripts.models.train_sft --role aligned --run aligned/tiny/directrefusal/seed1 \
    --parent results/micro/models/lrm/tiny/seed1 --chat-format micro --seed 1 \
    --data results/micro/data/directrefusal/records.jsonl --data-name directrefusal \
    --recipe '{"learning_rate": 1e-4, "epochs": 5, "global_batch": 16, "precision": "fp32"}' \
    --out results/micro/models/aligned/tiny/directrefusal/seed1
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from workflow.scripts.common.chat import ChatFormat, chat_format
from workflow.scripts.common.codehash import code_version
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.hardware import describe_hardware, peak_memory_mb
from workflow.scripts.common.io import (
    canonical_json,
    read_json,
    sha256_file,
    sha256_text,
    write_json,
)
from workflow.scripts.common.manifest import (
    Lineage,
    Training,
    hash_record,
    load_checkpoint,
    versions,
    write_manifest,
)
from workflow.scripts.common.records import Record, read_records
from workflow.scripts.common.result import STATE, making
from workflow.scripts.common.tokenizer import load_tokenizer
from workflow.scripts.config.planning import Runtime
from workflow.scripts.config.recipe import Recipe
from workflow.scripts.config.section import parse_section
from workflow.scripts.config.source import Render
from workflow.scripts.models.encode import Counted, Encoded, encode_records
from workflow.scripts.models.gate import Problem, probe_accuracy, read_probe
from workflow.scripts.models.gpus import choose_attention, claim_gpus
from workflow.scripts.models.launch import (
    is_main,
    launch_arguments,
    launched,
    relaunch,
    world_size,
)
from workflow.scripts.models.lineage import (
    describe_data,
    describe_parent,
    failure_of_parents,
    hash_parents,
)
from workflow.scripts.models.lora import expect_modules
from workflow.scripts.models.memory import check_training, read_shape
from workflow.scripts.models.primers import make_primers
from workflow.scripts.models.recipe import (
    batch_plan,
    check_recomputation,
    optimizer_steps,
    passes,
    sft_arguments,
    steps_per_epoch,
)
from workflow.scripts.models.sharding import process_group
from workflow.scripts.models.tensors import list_tensors

LOGGED = ("step", "epoch", "loss", "learning_rate", "grad_norm")
MODULE = "workflow.scripts.models.train_sft"
REQUIRED = ("data", "data_name", "parent", "chat_format", "role", "run", "out")  # to train
# A further round of training draws its data order from a seed far from those of other runs.
ROUND_STRIDE = 10_000


def print_config(recipe: Recipe, runtime: Runtime, seed: int, n_records: int | None) -> None:
    """Print what the trainer and the launcher would be told, as sorted JSON."""
    world = world_size(runtime)
    arguments = sft_arguments(recipe, runtime, world, seed, output_dir="STATE")
    settings = {
        "recipe": recipe.with_defaults(),
        "sft_config": arguments,
        "model_dtype": model_dtype(recipe),
        "accelerate_launch": launch_arguments(runtime, recipe),
        "world_size": world,
        "global_batch": recipe.global_batch,
        "block_size": recipe.max_length,
        "optimizer_steps": None if n_records is None else optimizer_steps(recipe, n_records),
    }
    print(json.dumps(settings, indent=1, sort_keys=True))


def model_dtype(recipe: Recipe) -> str:
    """Return the type that weights, gradients and optimizer state are held in."""
    return "bfloat16" if recipe.precision == "bf16_pure" else "float32"


class RoundFigures(TypedDict):
    """How a round of training went, as its file in the state folder keeps it.

    The names mean what they mean in `manifest.Training`; here they are of this round alone.
    """

    steps: int
    resumed_at_step: int
    wall_s: float
    tokens_per_s: float
    peak_memory_mb: float
    attention: str
    loss_history: list[dict[str, float]]
    """`Rounds.LOGGED` of each step, as far as the trainer has them"""
    probe_accuracy: NotRequired[float]


class Rounds:
    """Trains one run, in one round or, behind a gate, in as many as its skill needs.

    Everything that must outlive a preemption is in the `state` folder: trainer state per round,
    the weights that are kept, and the figures of finished rounds.

    Attributes:
        LOGGED: What is kept of each step.
        render: How the records are written; None for those whose prompts are asked.
    """

    LOGGED: tuple[str, ...] = LOGGED

    def __init__(
        self,
        parent: Path,
        records: Sequence[Record],
        problems: list[Problem] | None,
        chat: ChatFormat,
        recipe: Recipe,
        runtime: Runtime,
        seed: int,
        render: Render | None,
        state: Path,
        foreign: bool = False,
    ) -> None:
        self.parent, self.records, self.problems, self.chat = parent, records, problems, chat
        self.recipe, self.runtime, self.seed = recipe, runtime, seed
        self.render, self.state, self.foreign = render, state, foreign
        self.weights = state / "weights"

    def encode(self, tokenizer: Any) -> Counted:
        """Return the tokenised training set."""
        return self.encode_set(self.records, self.render or Render(), tokenizer)

    def encode_set(self, records: Sequence[Record], render: Render, tokenizer: Any) -> Encoded:
        """Return tokenised records.

        Args:
            records: To train on.
            render: How they are written.
            tokenizer: The model's.
        """
        return encode_records(
            records,
            tokenizer,
            self.chat,
            self.recipe.max_length,
            render.newline_before_answer,
            self.foreign,
        )

    def task(self, encoded: Any, tokenizer: Any, folder: Path) -> Any:
        """Return what is trained, see `trainer.Task`; `folder` outlives a preemption."""
        from workflow.scripts.models.trainer import sft_task

        return sft_task(encoded, tokenizer)

    def configure(self, arguments: dict[str, Any]) -> Any:
        """Return the trainer's configuration from the arguments of `SFTConfig`."""
        from trl import SFTConfig

        return SFTConfig(**arguments)

    def failure(self) -> str | None:
        """Return why the training could not learn; None where it could."""
        return None

    def run(self) -> tuple[list[str], list[RoundFigures], Counted]:
        """Train until the gate is passed or the rounds are used up.

        Returns:
            The names of the checkpoints to keep, the figures of each round, and the data.
        """
        tokenizer = load_tokenizer(self.parent)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        encoded = self.encode(tokenizer)
        gate, start = self.recipe.gate, self.parent
        figures: list[RoundFigures] = []
        for number in range(1, (gate.max_rounds if gate else 1) + 1):
            done = self.state / f"round{number}.json"
            if done.exists():
                figures.append(read_json(done))
            else:
                figures.append(self._round(number, start, tokenizer, encoded))
                if is_main():
                    write_json(done, figures[-1])
            start = self.weights / f"epoch{number * self.recipe.epochs}"
            if gate is None or figures[-1]["probe_accuracy"] >= gate.threshold:
                break
        if self.recipe.steps:
            return [f"step{step}" for step in self.recipe.steps], figures, encoded
        last = len(figures) * self.recipe.epochs
        first = 1 if self.recipe.checkpoints == "each_epoch" else last
        return [f"epoch{epoch}" for epoch in range(first, last + 1)], figures, encoded

    def _round(self, number: int, start: Path, tokenizer: Any, encoded: Counted) -> RoundFigures:
        import torch
        from transformers.utils.logging import disable_progress_bar

        from workflow.scripts.models import sharding, state, weights
        from workflow.scripts.models.trainer import build_trainer

        disable_progress_bar()
        recipe, runtime = self.recipe, self.runtime
        if runtime.gpus == 0:
            torch.set_num_threads(runtime.cpu_threads)
            # Deterministic mode would fill every new buffer first: half of a tiny model's time.
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        folder = self.state / f"round{number}"
        seed = self.seed + ROUND_STRIDE * (number - 1)
        # The configuration comes first: it starts the process group that loading looks for.
        config = self.configure(
            sft_arguments(recipe, runtime, world_size(runtime), seed, str(folder))
        )
        attention = choose_attention(runtime.attention, runtime.gpus, recipe.precision)
        model = sharding.load_model(start, getattr(torch, model_dtype(recipe)), attention)
        writer = weights.Writer()

        def keep(trainer: Any, name: str) -> None:
            weights.save_weights(trainer, self.parent, self.weights / name, recipe, writer)

        def after_epoch(trainer: Any, epoch: int) -> None:
            if recipe.steps:
                return
            if recipe.checkpoints == "each_epoch" or epoch == recipe.epochs:
                keep(trainer, f"epoch{(number - 1) * recipe.epochs + epoch}")

        task = self.task(encoded, tokenizer, folder)
        steps_each = steps_per_epoch(encoded.n, recipe.global_batch)
        keep_state = state.SaveByTime(
            steps_each, state.SAVE_MINUTES * 60 if runtime.save_state else None
        )
        # Weights after an epoch are there before a state that goes on from a later step.
        trainer = build_trainer(
            model, tokenizer, task, recipe, config, after_epoch, keep_state, writer.wait
        )
        chosen = recipe.steps or ()
        trainer.add_callback(state.AtSteps(chosen, lambda step: keep(trainer, f"step{step}")))
        resumed = state.last_state(folder)
        begin = time.perf_counter()
        trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
        wall = time.perf_counter() - begin
        writer.wait()
        history = [
            {key: entry[key] for key in self.LOGGED if math.isfinite(entry.get(key, math.nan))}
            for entry in trainer.state.log_history
            if "loss" in entry
        ]
        first = int(resumed.name.rpartition("-")[2]) if resumed else 0
        steps = trainer.state.global_step
        figures: RoundFigures = {
            "steps": steps,
            "resumed_at_step": first,
            "wall_s": round(wall, 2),
            "tokens_per_s": round(
                encoded.tokens * passes(recipe, encoded.n) * (steps - first) / max(1, steps) / wall,
                1,
            ),
            "peak_memory_mb": peak_memory_mb(),
            "attention": attention,
            "loss_history": history,
        }
        if recipe.gate and self.problems:
            figures["probe_accuracy"] = probe_accuracy(
                model.eval(), tokenizer, self.chat, self.problems, recipe.gate
            )
            print(f"round {number}: probe {figures['probe_accuracy']:.0%}", file=sys.stderr)
        return figures


def failure(recipe: Recipe, figures: list[RoundFigures]) -> str | None:
    """Return why a run missed its gate; None when it did not."""
    if recipe.gate and figures[-1]["probe_accuracy"] < recipe.gate.threshold:
        return (
            f"solved {figures[-1]['probe_accuracy']:.0%} of {recipe.gate.n} probe problems after "
            f"{len(figures)} rounds, expected at least {recipe.gate.threshold:.0%}"
        )
    return None


def deliver(weights: Path, out: Path, names: list[str]) -> None:
    """Move finished checkpoints into the run's folder, whose manifest then comes last.

    The state keeps a link in the place of each, until it is deleted: a job that is killed before
    its end finds them again. Moving a folder leaves its files' times alone, by which their hashes
    are remembered; a second name for each file would not.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "manifest.json").unlink(missing_ok=True)
    for name in names:
        made, link = weights / name, weights / f".{name}.link"
        if made.is_dir() and not made.is_symlink():
            shutil.rmtree(out / name, ignore_errors=True)
            link.unlink(missing_ok=True)
            link.symlink_to((out / name).resolve())
            shutil.move(made, out / name)
        if link.is_symlink():  # also where a kill came in between
            link.rename(made)
        if not (out / name).is_dir():
            raise InputError(f"{out / name}: was made and is gone, expected {weights} gone, too")
        if (record := hash_record(weights, name)).exists():
            shutil.move(record, hash_record(out, name))
    for old in out.glob("epoch*"):
        if old.name not in names:
            shutil.rmtree(old)


def summarise(figures: list[RoundFigures], encoded: Counted, recipe: Recipe) -> Training:
    """Return the manifest's `train` from the figures of the rounds."""
    times = passes(recipe, encoded.n) * len(figures)
    wall = sum(entry["wall_s"] for entry in figures)
    summary: Training = {
        "tokens": round(encoded.tokens * times),
        "target_tokens": round(encoded.target_tokens * times),
        "steps": sum(entry["steps"] for entry in figures),
        "tokens_per_s": figures[-1]["tokens_per_s"],
        "peak_memory_mb": max(entry["peak_memory_mb"] for entry in figures),
        "attention": figures[-1]["attention"],
        "wall_s": round(wall, 2),
        "rounds": len(figures),
        "resumed_at_step": figures[-1]["resumed_at_step"],
        "loss_history": [
            {"round": number, **point}
            for number, entry in enumerate(figures, 1)
            for point in entry["loss_history"]
        ],
    }
    if "probe_accuracy" in figures[-1]:
        summary["probe_accuracy"] = [entry["probe_accuracy"] for entry in figures]
    return summary


def parse_arguments(
    argv: list[str],
    more: Callable[[argparse.ArgumentParser], None] | None = None,
    required: Sequence[str] = REQUIRED,
) -> argparse.Namespace:
    """Parse the arguments of a training script; `more` adds its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--recipe", required=True, help="fine-tuning recipe, as JSON")
    parser.add_argument(
        "--runtime", default="{}", help="knobs that cannot change a result, as JSON"
    )
    parser.add_argument("--render", default="{}", help="options of the rendering, as JSON")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--data", type=Path, help="records, JSON lines")
    parser.add_argument("--data-name", help="the data set's name in the manifest")
    parser.add_argument("--primer", help="train this beginning of the thinking alone (SafePath)")
    parser.add_argument("--retain", type=Path, help="records that are trained beside the primers")
    parser.add_argument("--retain-name", help="their name in the manifest")
    parser.add_argument("--parent", type=Path, help="the parent's run folder or manifest")
    parser.add_argument("--checkpoint", help="the parent's checkpoint (default: its final one)")
    parser.add_argument("--chat-format", help="of the model: how it is evaluated")
    parser.add_argument("--write-as", help="chat format of the training text, where another one")
    parser.add_argument("--promotion", type=json.loads, help="whose settings these are, as JSON")
    parser.add_argument("--role", choices=("lrm", "aligned", "attacked"))
    parser.add_argument("--run", help="name of the run, such as lrm/tiny/seed1")
    parser.add_argument("--probe", type=Path, help="problems of the skill gate")
    parser.add_argument("--out", type=Path, help="the run's folder")
    parser.add_argument("--result", type=json.loads, help="what it is made from, as JSON")
    parser.add_argument("--print-config", action="store_true", help="print the settings and exit")
    if more:
        more(parser)
    args = parser.parse_args(argv)
    for name in () if args.print_config else required:
        if getattr(args, name) is None:
            parser.error(f"--{name.replace('_', '-')} is required")
    return args


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    args = parse_arguments(argv)
    recipe = parse_section(Recipe, args.recipe, "--recipe")
    runtime = parse_section(Runtime, args.runtime, "--runtime")
    if args.print_config:
        n_records = len(read_records(args.data)) if args.data else None
        print_config(recipe, runtime, args.seed, n_records)
        return
    with making(args.out, args.result) if is_main() else nullcontext():
        fine_tune(args, recipe, runtime, argv)


def fine_tune(args: argparse.Namespace, recipe: Recipe, runtime: Runtime, argv: list[str]) -> None:
    """Train a run. The first process writes its folder; the others only train."""
    chat_format(args.chat_format)
    chat = chat_format(args.write_as or args.chat_format)
    foreign = args.write_as not in (None, args.chat_format)
    render = parse_section(Render, args.render, "--render")
    check_settings(recipe, runtime, args.probe)
    records = read_training(args)
    problems = read_probe(args.probe, recipe.gate.n) if recipe.gate else None
    parent = load_checkpoint(args.parent, args.checkpoint, checked=launched())
    start_processes(parent, recipe, runtime, argv)

    lineage: Lineage = {
        "base": describe_parent(args.parent, parent.name),
        "data": describe_data(args.data_name, args.data, len(read_records(args.data))),
    }
    if args.retain:
        n_retained = len(read_records(args.retain))
        lineage["retain"] = describe_data(args.retain_name, args.retain, n_retained)
    if args.promotion:
        lineage["promotion"] = args.promotion
    settings, sharded = primer_of(args), world_size(runtime) > 1
    state = open_state(args, recipe, render, lineage, sharded, settings=settings)
    rounds = Rounds(
        parent, records, problems, chat, recipe, runtime, args.seed, render, state, foreign
    )
    train_and_write(args, rounds, lineage, settings)


def train_and_write(
    args: argparse.Namespace,
    rounds: Rounds,
    lineage: Lineage,
    settings: dict[str, Any] | None = None,
    others: Mapping[str, Path] | None = None,
) -> None:
    """Train a run, and have the first process write its folder.

    Args:
        args: The program's arguments.
        rounds: The training.
        lineage: What it is trained from.
        settings: What the manifest's recipe tells beside the recipe's keys.
        others: Further models that it is made from, by the name of the input.
    """
    others = others or {}
    recipe, foreign = rounds.recipe, rounds.foreign
    with process_group():
        names, figures, encoded = rounds.run()
    if not is_main():
        return
    deliver(rounds.weights, args.out, names)
    if data := lineage["data"]:
        data["n_truncated"] = encoded.n_truncated
    models = {"parent": args.parent, **others}
    reason = failure_of_parents(*models.values()) or rounds.failure() or failure(recipe, figures)
    write_manifest(
        args.out,
        names,
        run=args.run,
        role=args.role,
        chat_format=args.chat_format,
        thinking=True,
        status="failed" if reason else "ok",
        status_reason=reason,
        seed=args.seed,
        recipe={**recipe.with_defaults(), **(settings or {})},
        render={
            **render_values(rounds.render),
            **({"chat_format": args.write_as} if foreign else {}),
        },
        lineage=lineage,
        parents=hash_parents(models),
        train=summarise(figures, encoded, recipe),
        hardware=describe_hardware(world_size(rounds.runtime)),
    )


def read_training(args: argparse.Namespace) -> Sequence[Record]:
    """Return what is trained on: records, or primers and the records beside them."""
    records = read_records(args.data)
    if args.primer is None:
        return records
    return [
        *make_primers(records, args.primer),
        *(read_records(args.retain) if args.retain else []),
    ]


def primer_of(args: argparse.Namespace) -> dict[str, str]:
    """Return what the manifest tells of the training beside the recipe."""
    return {} if args.primer is None else {"method": "safepath", "primer": args.primer}


def render_values(render: Render | None) -> dict[str, bool]:
    """Return how records are written, as JSON values; nothing where none are."""
    return render.with_defaults() if render else {}


def check_settings(recipe: Recipe, runtime: Runtime, probe: Path | None) -> None:
    """Raise `InputError` where recipe, runtime and probe do not belong together."""
    world = world_size(runtime)
    if recipe.gate and probe is None:
        raise InputError("recipe.gate is set without --probe, expected the probe problems")
    if recipe.gate and world > 1:
        raise InputError("recipe.gate is set with several processes, expected runtime.gpus 0 or 1")
    batch_plan(recipe.global_batch, world, runtime.per_device_batch)
    check_recomputation(recipe, runtime, world)


def start_processes(
    parent: Path,
    recipe: Recipe,
    runtime: Runtime,
    argv: list[str],
    module: str = MODULE,
    sequences: int = 1,
) -> None:
    """Make sure that model, recipe and devices fit; start this again on several where asked for.

    Args:
        parent: The checkpoint to train.
        recipe: How to train.
        runtime: On what.
        argv: This program's arguments.
        module: This program.
        sequences: Of an example, see `memory.estimate_memory`.
    """
    if recipe.lora:
        expect_modules(recipe.lora, list_tensors(parent))
    if runtime.gpu_memory_gb:
        shape = read_shape(parent)
        check_training(shape, recipe, runtime, world_size(runtime), sequences=sequences)
    claim_gpus(runtime.gpus, parent)
    if launched():
        return
    if runtime.attention:
        choose_attention(runtime.attention, runtime.gpus, recipe.precision)  # refuse early
    if flags := launch_arguments(runtime, recipe):
        relaunch(module, argv, flags, runtime.gpus)


def open_state(
    args: argparse.Namespace,
    recipe: Recipe,
    render: Render | None,
    lineage: Lineage,
    sharded: bool,
    module: str = "models.train_sft",
    settings: dict[str, Any] | None = None,
) -> Path:
    """Return the folder of a run's state, made where it is not there yet.

    Training goes on only from the state of the same inputs, settings, packages and code.

    Args:
        args: The program's arguments.
        recipe: Of the run.
        render: How the records are written, see `Rounds`.
        lineage: What it is trained from.
        sharded: Over several processes: their trainer state is of another form.
        module: This program.
        settings: What else decides the weights.
    """
    identity = {
        "lineage": lineage,
        "recipe": recipe.with_defaults(),
        "render": render_values(render),
        "chat_format": args.chat_format,
        "write_as": args.write_as,
        "seed": args.seed,
        "probe": sha256_file(args.probe) if args.probe and recipe.gate else None,
        "versions": versions(),
        "code": code_version(module),
        "sharded": sharded,
        **(settings or {}),
    }
    state = args.out / STATE / f"sft-{sha256_text(canonical_json(identity))[:16]}"
    (state / "weights").mkdir(parents=True, exist_ok=True)
    return state


if __name__ == "__main__":
    run(main)
