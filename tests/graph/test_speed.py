"""How long planning takes; `benchmarks/plan_speed.py` measures larger grids."""

from __future__ import annotations

import time

from workflow.scripts.common.codehash import forget_files
from workflow.scripts.graph.jobs import read_graph
from workflow.scripts.graph.plan import make_plan


def test_the_papers_grid_is_planned_in_under_2_seconds(root):
    forget_files()
    begin = time.process_time()
    plan = make_plan(read_graph("paper", root))
    assert time.process_time() - begin < 2
    assert plan.rules["safety_sft"].missing + plan.rules["safety_sft"].done == 30
