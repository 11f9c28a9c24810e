"""Whether training jobs fit the GPUs that they ask for, told before any of them is submitted."""

from __future__ import annotations

from pathlib import Path

from workflow.scripts.common.errors import InputError
from workflow.scripts.config.planning import Runtime, TrainingKnobs
from workflow.scripts.graph.runs import Run
from workflow.scripts.models import method_registry
from workflow.scripts.models.lora import expect_modules
from workflow.scripts.models.memory import check_memory, guess_shape, read_shape
from workflow.scripts.models.recipe import check_recomputation
from workflow.scripts.models.tensors import list_tensors

GUESS_MARGIN = 1.15  # how far a guessed need may lie above the memory of a GPU


def check_fit(
    run: Run,
    origin: Run,
    source: Path,
    knobs: TrainingKnobs,
    gpus: int,
    nodes: int,
    parameters: float,
) -> None:
    """Compare the memory that a run's training needs with its GPUs'.

    Model sizes come from the fetched base model. Where it is not here yet they are estimated from
    the parameter count, with 15 % tolerance.

    Args:
        run: The run to train.
        origin: The ready-made model at the start of its chain of parents.
        source: That model's folder.
        knobs: The experiment's `runtime` of its rule.
        gpus: Of each node.
        nodes: How many.
        parameters: Of the model, as the experiment tells them.

    Raises:
        InputError: It needs more than `gpu_memory_gb`, or its recipe cannot run on several GPUs.
    """
    recipe = run.training
    runtime = Runtime(gpus=gpus, **knobs.model_dump())
    try:
        check_recomputation(recipe, runtime, gpus * nodes)
    except InputError as error:
        raise InputError(f"{run.name}: {error}") from None
    here = (source / "manifest.json").exists()
    if recipe.lora and here:
        try:
            expect_modules(recipe.lora, list_tensors(source / "final"))
        except InputError as error:
            raise InputError(f"{run.name}: {error}") from None
    if knobs.gpu_memory_gb is None or not gpus:
        return
    if here:
        shape, basis, margin = read_shape(source / "final"), "", 1.0
    else:
        shape, margin = guess_shape(parameters), GUESS_MARGIN
        basis = f"; guessed from {parameters / 1e9:g} B parameters: {origin.name} is not here yet"
    method = method_registry.get(run.method or method_registry.DEFAULT)
    try:
        estimate = method.estimate_memory(shape, recipe, runtime, gpus * nodes)
        check_memory(estimate, knobs.gpu_memory_gb, basis, margin)
    except InputError as error:
        raise InputError(f"{run.name}: {error}") from None
