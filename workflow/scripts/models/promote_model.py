"""Train again, for more epochs, with the settings of one of the best of several models.

Ranks the candidates by a rule on their scores on development benchmarks, and calls `train_sft`
with the settings of the one at a rank. The manifest's lineage tells whose they are, and the
figures of all candidates.

python -m workflow.scripts.models.promote_model --rule '{"highest": "reasoning_accuracy"}' \
    --rank 1 --seed 1 --role aligned --run aligned/tiny/best-epochs4-rank1/seed1 \
    --candidate results/micro/models/aligned/tiny/rate-learning_rate5e-05/seed1 --candidate … \
    --score … --parent results/micro/models/lrm/tiny/seed1 --chat-format micro \
    --data results/micro/data/directrefusal/records.jsonl \
    --settings '{"rate-learning_rate5e-05": {"set": 0, "arguments": ["--recipe", "…"]}, …}' \
    --out best-epochs4-rank1
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from workflow.scripts.common.errors import InputError, run
from workflow.scripts.common.io import canonical_json
from workflow.scripts.common.manifest import Promotion
from workflow.scripts.common.run_id import RunId
from workflow.scripts.config.section import parse_section
from workflow.scripts.models import train_sft
from workflow.scripts.models.methods.select import Rule
from workflow.scripts.models.select_model import add_candidates, describe, list_candidates
from workflow.scripts.models.selection import Candidate, rank


def origin_name(candidate: Candidate) -> str:
    """Return the alignment whose settings a candidate was trained with."""
    return candidate.origin or str(RunId.parse(candidate.run).alignment)


def main(argv: list[str] | None = None) -> None:
    description = (__doc__ or "").split("\n", 1)[0]
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    add_candidates(parser)
    parser.add_argument("--rank", required=True, type=int, help="1 is the best")
    parser.add_argument("--data", required=True, type=Path, action="append", help="records")
    parser.add_argument(
        "--settings",
        required=True,
        type=json.loads,
        help="by alignment, as JSON: the place of its --data, and its arguments for train_sft",
    )
    # all others are those of the training
    args, training = parser.parse_known_args(argv)
    rule = parse_section(Rule, args.rule, "--rule")
    candidates = list_candidates(args.candidate, args.score, rule)
    ranked = rank(candidates, rule)
    if args.rank > len(ranked):
        raise InputError(f"--rank is {args.rank}, expected at most the {len(ranked)} candidates")
    chosen = ranked[args.rank - 1]
    origin = origin_name(chosen)
    if origin not in args.settings:
        raise InputError(f"--settings: has none of {origin}, whose settings {chosen.name} has")
    settings = args.settings[origin]
    promotion: Promotion = {
        **describe(candidates, chosen, rule),
        "rank": args.rank,
        "origin": origin,
    }
    train_sft.main(
        [
            *("--data", str(args.data[settings["set"]]), *settings["arguments"]),
            *("--promotion", canonical_json(promotion)),
            *training,
        ]
    )


if __name__ == "__main__":
    run(main)
