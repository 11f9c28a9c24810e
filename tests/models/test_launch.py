import json
import os
import subprocess
import sys

import pytest

from workflow.scripts.config.planning import Runtime
from workflow.scripts.config.recipe import Recipe
from workflow.scripts.models.launch import launch_arguments, thread_environment

RECIPE = Recipe(learning_rate=1e-5, epochs=1, global_batch=8)


def test_accelerate_knows_every_launch_flag():
    from accelerate.commands.launch import launch_command_parser

    flags = launch_arguments(Runtime(gpus=4, gradient_checkpointing=True), RECIPE)
    known, unknown = launch_command_parser().parse_known_args([*flags, "script.py"])
    assert unknown == []
    assert known.training_script == "script.py"
    assert (known.num_processes, known.fsdp_version, known.use_fsdp) == (4, "2", True)
    assert known.fsdp_activation_checkpointing == "true"


@pytest.mark.slow
def test_a_users_own_accelerate_configuration_changes_nothing(root, tmp_path):
    """Their file names one GPU and the layers of another model."""
    own = tmp_path / "accelerate" / "default_config.yaml"
    own.parent.mkdir()
    own.write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: FSDP\ngpu_ids: '3'\n"
        "mixed_precision: fp16\nuse_cpu: false\ndebug: false\nnum_processes: 1\n"
        "fsdp_config: {fsdp_transformer_layer_cls_to_wrap: OtherLayer, fsdp_offload_params: true}\n"
    )
    flags = launch_arguments(Runtime(gpus=4), RECIPE)
    code = (
        "import json, sys\n"
        "from accelerate.commands import launch\n"
        "parsed = launch.launch_command_parser().parse_args(sys.argv[1:])\n"
        "print(json.dumps(vars(launch._validate_launch_command(parsed)[0]), default=str))\n"
    )
    told = []
    for home in (tmp_path, tmp_path / "none"):
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, flags), "script.py"],
            env=os.environ | {"HF_HOME": str(home)},
            capture_output=True,
            text=True,
            check=True,
        )
        told.append({k: v for k, v in json.loads(done.stdout).items() if k != "nondefault"})
    assert told[0] == told[1]
    assert (told[0]["gpu_ids"], told[0]["num_processes"]) == ("all", 4)
    assert told[0]["fsdp_transformer_layer_cls_to_wrap"] is None


@pytest.mark.parametrize("gpus", [0, 1])
def test_one_process_is_not_launched(gpus):
    assert launch_arguments(Runtime(gpus=gpus), RECIPE) == []


@pytest.mark.slow
def test_launched_processes_share_the_threads_of_the_job(root, tmp_path):
    """Snakemake gives a job's threads to its command in the environment."""
    (tmp_path / "tell.py").write_text(
        "import os\n"
        "told = [os.environ[key] for key in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS')]\n"
        f"open('{tmp_path}/rank' + os.environ['RANK'], 'w').write(' '.join(told))\n"
    )
    flags = launch_arguments(Runtime(gpus=2), RECIPE)
    start = "from workflow.scripts.models.launch import relaunch; "
    subprocess.run(
        [sys.executable, "-c", f"{start}relaunch('tell', [], {flags}, 2)"],
        env=os.environ
        | {"PYTHONPATH": f"{root}:{tmp_path}", "OMP_NUM_THREADS": "6", "MKL_NUM_THREADS": "6"},
        check=True,
    )
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == ["3 3", "3 3"]


def test_without_a_given_number_the_threads_are_the_cpus_of_the_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert set(thread_environment({}, 8).values()) == {"8"}
    assert set(thread_environment({"OMP_NUM_THREADS": "1"}, 8).values()) == {"1"}
