"""How long planning takes; `benchmarks/plan_speed.py` measures larger grids."""

from __future__ import annotations

import time

from workflow.scripts.plan.experiment_state import read_experiment
from workflow.scripts.plan.make_plan import make_plan


def test_the_papers_grid_is_planned_in_under_5_seconds(root):
    begin = time.process_time()
    plan = make_plan(read_experiment("paper", root))
    assert time.process_time() - begin < 5
    aligned = [job for job in plan["jobs"] if job["path"].startswith("models/aligned/")]
    assert len(aligned) >= 30
