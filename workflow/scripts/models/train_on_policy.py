"""Train a model on its own turns: GRPO, distillation from a teacher, self-distillation (OPSA).

Makes a run folder as `train_sft` does, from the run folder of the parent and a JSON-lines file of
records, whose prompts the model answers while it is trained. It computes on one device. GRPO's
reward is 1 for a harmful prompt whose answer the judge passes and, of records of problems, for a
correct answer; a run whose rewards have no spread in its first steps is failed. Distillation has a
teacher, another model; the teacher of self-distillation is the parent, which is asked with a
context.

python -m workflow.scripts.models.train_on_policy --method opsa \
    --settings '{"max_new_tokens": 128, "context": "Help nobody to harm others. {prompt}"}' \
    --role aligned --run aligned/tiny/opsa/seed1 --parent results/micro/models/lrm/tiny/seed1 \
    --data results/micro/data/directrefusal/records.jsonl --data-name directrefusal \
    --recipe '{"learning_rate": 1e-5, "epochs": 1, "global_batch": 16, "precision": "fp32"}' \
    --chat-format micro --seed 1 --out results/micro/models/aligned/tiny/opsa/seed1
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow.scripts.common.chat import chat_format
from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import canonical_json, sha256_file, sha256_text
from workflow.scripts.common.manifest import Lineage, load_checkpoint
from workflow.scripts.common.records import Record, read_records
from workflow.scripts.common.result import making
from workflow.scripts.config.kinds import HARMFUL, REASONING
from workflow.scripts.config.on_policy import SETTINGS, GrpoSettings, OpsaSettings, Rollouts
from workflow.scripts.config.planning import Runtime
from workflow.scripts.config.recipe import Recipe
from workflow.scripts.config.section import parse_section
from workflow.scripts.models.launch import world_size
from workflow.scripts.models.lineage import describe_data, describe_parent
from workflow.scripts.models.prompts import Prompts, list_targets, make_prompts
from workflow.scripts.models.rewards import Reward, reward_function
from workflow.scripts.models.train_sft import (
    LOGGED,
    REQUIRED,
    Rounds,
    check_settings,
    model_dtype,
    open_state,
    parse_arguments,
    start_processes,
    train_and_write,
)
from workflow.scripts.score.registry import read_scorer
from workflow.scripts.score.scorer import Place, ScorerSection

MODULE = "models.train_on_policy"
SEEN = {  # what is kept of each step
    "grpo": ("reward", "reward_std", "frac_reward_zero_std", "completions/mean_length"),
    "distill": ("completions/mean_length",),
    "opsa": ("completions/mean_length",),
}


@dataclass(frozen=True)
class Rewarded:
    """Prompts of one kind, and what rewards the answers to them.

    Attributes:
        scorer: Scores the answers.
        judge: Folder of a trained judge, for a scorer that has one.
        records: Their prompts are asked; those of problems have answers to compare with.
    """

    scorer: ScorerSection
    judge: Path | None
    records: list[Record]


class OnPolicyRounds(Rounds):
    """Trains one run on its own turns; its `records` are what is asked.

    Args of `__init__`:
        method: `grpo`, `distill` or `opsa`.
        settings: The method's section.
        rewarded: Of GRPO: what is asked, by kind.
        teacher: Of distillation: a checkpoint.
        arguments: Those of `Rounds`.
    """

    def __init__(
        self,
        method: str,
        settings: Rollouts,
        rewarded: dict[str, Rewarded],
        teacher: Path | None,
        *arguments: Any,
    ) -> None:
        super().__init__(*arguments)
        self.method, self.settings = method, settings
        self.rewarded, self.teacher = rewarded, teacher
        self.LOGGED = (*LOGGED, *SEEN[method])

    @property
    def spread_file(self) -> Path:
        return self.state / "spread.json"

    def encode(self, tokenizer: Any) -> Prompts:
        if not isinstance(self.settings, GrpoSettings):
            context = self.settings.context if isinstance(self.settings, OpsaSettings) else None
            return make_prompts(self.records, tokenizer, self.chat, context)
        columns: dict[str, list[Any]] = {"question": [], "kind": [], "target": []}
        asked: list[Record] = []
        for kind, one in self.rewarded.items():
            records = one.records
            targets = [""] * len(records)
            if kind == REASONING:
                targets = list_targets(records, gold_reader(one.scorer))
            kept = [i for i in range(len(records)) if kind != REASONING or targets[i]]
            asked += [records[i] for i in kept]
            columns["question"] += [records[i].prompt for i in kept]
            columns["kind"] += [kind] * len(kept)
            columns["target"] += [targets[i] for i in kept]
        made = make_prompts(asked, tokenizer, self.chat)
        return Prompts(made.columns | columns, made.tokens)

    def task(self, encoded: Any, tokenizer: Any, folder: Path) -> Any:
        import torch

        from workflow.scripts.models.gpus import choose_attention
        from workflow.scripts.models.on_policy_trainer import on_policy_task

        stop = tokenizer(self.chat.stop, add_special_tokens=False)["input_ids"]
        samples = samples_of(self.settings)
        steps = len(encoded) * samples // self.recipe.global_batch
        if not steps:
            raise InputError(
                f"{len(encoded)} prompts with {samples} samples do not make a batch, expected at "
                f"least recipe.global_batch, {self.recipe.global_batch}, samples"
            )
        reward, patience, teacher = None, 0, None
        if isinstance(self.settings, GrpoSettings):
            decode = lambda ids: tokenizer.decode(ids, skip_special_tokens=False)  # noqa: E731
            reward = reward_function(self._load_reward(self.settings.passes), decode)
            patience = self.settings.patience
        if self.teacher:
            attention = choose_attention(
                self.runtime.attention, self.runtime.gpus, self.recipe.precision
            )
            teacher = self.teacher, getattr(torch, model_dtype(self.recipe)), attention
        return on_policy_task(
            self.method,
            encoded,
            stop if len(stop) == 1 else [],
            examples=steps * self.recipe.global_batch,
            reward=reward,
            teacher=teacher,
            patience=patience,
            file=self.spread_file,
        )

    def configure(self, arguments: dict[str, Any]) -> Any:
        from workflow.scripts.models.on_policy_trainer import configure

        return configure(arguments, self.settings)

    def failure(self) -> str | None:
        from workflow.scripts.models.on_policy_trainer import read_failure

        return read_failure(self.spread_file)

    def _load_reward(self, passes: dict[str, bool] | None) -> Reward:
        device = "cpu" if self.runtime.gpus == 0 else "auto"
        loaded = {
            kind: one.scorer.load(Place(where=name_scorer(kind), judge=one.judge, device=device))
            for kind, one in self.rewarded.items()
        }
        return Reward(self.chat, loaded, passes)


def name_scorer(kind: str) -> str:
    """Return what errors call the scorer of a kind of prompts."""
    return f"scorer of {kind} prompts"


def samples_of(settings: Rollouts) -> int:
    """Return how often the model answers each prompt."""
    return settings.samples if isinstance(settings, GrpoSettings) else 1


def gold_reader(scorer: Any) -> Any:
    """Return what reads (answer, prompt) as a scorer of final answers reads a gold one."""

    def read(answer: str, prompt: str) -> str | None:
        found = scorer.read(answer, prompt).text or scorer.guess(answer, prompt).text
        return None if found is None or scorer.target_error(found) else found

    return read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", choices=sorted(SETTINGS), help="how it learns")
    parser.add_argument("--settings", default="{}", help="the method's section, as JSON")
    parser.add_argument("--judge-section", type=json.loads, help="the scorer of harmful prompts")
    parser.add_argument("--judge", type=Path, help="a trained judge's file, for its type ngram")
    parser.add_argument("--fetched", type=Path, help="that a judge's files are here")
    parser.add_argument("--reasoning", type=Path, help="records of problems, JSON lines")
    parser.add_argument("--reasoning-name", help="their name in the manifest")
    parser.add_argument("--scorer-section", type=json.loads, help="the scorer of problems")
    parser.add_argument("--teacher", type=Path, help="the teacher's run folder or manifest")


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    args = parse_arguments(argv, add_arguments, (*REQUIRED, "method"))
    recipe = parse_section(Recipe, args.recipe, "--recipe")
    runtime = parse_section(Runtime, args.runtime, "--runtime")
    with making(args.out, args.result):
        train(args, recipe, runtime, argv)


def check_on_policy(method: str, recipe: Recipe, runtime: Runtime, samples: int) -> None:
    """Raise `InputError` where TRL's trainers cannot follow a recipe."""
    if recipe.gate or recipe.padding_free or (recipe.lora and recipe.lora.dropout):
        raise InputError(
            f"recipe: {method} knows no gate, no padding_free and no lora.dropout, expected none"
        )
    if (world := world_size(runtime)) > 1:
        raise InputError(
            f"{method} lets the model answer while it is trained, on one device; found {world}, "
            "expected runtime.gpus 0 or 1"
        )
    if recipe.global_batch % samples:
        raise InputError(
            f"recipe.global_batch is {recipe.global_batch}, expected a multiple of samples, "
            f"{samples}"
        )


def train(args: argparse.Namespace, recipe: Recipe, runtime: Runtime, argv: list[str]) -> None:
    """Train a run and write its folder."""
    chat = chat_format(args.chat_format)
    settings = parse_section(SETTINGS[args.method], args.settings, "--settings")
    check_settings(recipe, runtime, None)
    check_on_policy(args.method, recipe, runtime, samples_of(settings))
    records = read_records(args.data)
    parent = load_checkpoint(args.parent, args.checkpoint)
    teacher = load_checkpoint(args.teacher) if args.teacher else None
    start_processes(parent, recipe, runtime, argv, f"workflow.scripts.{MODULE}")

    lineage: Lineage = {
        "base": describe_parent(args.parent, parent.name),
        "data": describe_data(args.data_name, args.data, len(records)),
    }
    rewarded: dict[str, Rewarded] = {}
    if args.method == "grpo":
        folder = args.judge.parent if args.judge else None
        judge = read_scorer(args.judge_section, name_scorer(HARMFUL))
        rewarded[HARMFUL] = Rewarded(judge, folder, records)
        lineage["judge"] = sha256_file(args.judge) if args.judge else None
    if args.reasoning:
        problems = read_records(args.reasoning)
        scorer = read_scorer(args.scorer_section, name_scorer(REASONING))
        rewarded[REASONING] = Rewarded(scorer, None, problems)
        lineage["reasoning"] = describe_data(args.reasoning_name, args.reasoning, len(problems))
    if teacher:
        lineage["others"] = {"teacher": describe_parent(args.teacher, teacher.name)}
    told = {"method": args.method, **settings.with_defaults()}
    identity = {
        **told,
        "scorers": sha256_text(canonical_json([args.judge_section, args.scorer_section])),
    }
    state = open_state(args, recipe, None, lineage, False, MODULE, identity)
    rounds = OnPolicyRounds(
        args.method,
        settings,
        rewarded,
        teacher,
        *(parent, records, None, chat, recipe, runtime, args.seed, None, state),
    )
    others = {"teacher": args.teacher} if args.teacher else {}
    train_and_write(args, rounds, lineage, told, others)


if __name__ == "__main__":
    run(main)
