"""What `record_code` writes into codes.lock, in a repository of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from workflow.scripts.common.codehash import code_version, forget_files
from workflow.scripts.common.errors import InputError
from workflow.scripts.graph import record_code

RULE = '''rule make_one:
    shell:
        r"""
        python -m workflow.scripts.data.one --out {output:q} --result {params.result:q}
        """
'''


def git(folder: Path, *arguments: str) -> str:
    user = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *user, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one script and one rule, committed, whose code is recorded."""
    for name, text in {
        "workflow/scripts/data/one.py": "VALUE = 1\n",
        "rules/data.smk": RULE,
        ".gitattributes": (root / ".gitattributes").read_text(),
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(record_code, "ROOT", tmp_path)
    git(tmp_path, "init", "-q", "-b", "main")
    run("--new", "--reason", "first")
    commit(tmp_path)
    return tmp_path


def run(*arguments: str) -> None:
    forget_files()
    record_code.main(list(arguments))
    forget_files()


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "change")


def edit(folder: Path, text: str) -> None:
    (folder / "workflow/scripts/data/one.py").write_text(text)
    forget_files()


def test_a_change_is_recorded_once_as_the_same_or_as_new(repository: Path) -> None:
    first = code_version("data.one", repository)
    run("--check")
    edit(repository, "VALUE = 2 - 1\n")
    assert code_version("data.one", repository) != first
    with pytest.raises(InputError, match=r"codes.lock: nothing says whether the code of data.one"):
        run("--check")
    run("--same", "--reason", "the same sum")
    assert code_version("data.one", repository) == first
    run("--check")
    commit(repository)
    edit(repository, "VALUE = 2\n")
    run("--new", "--reason", "two")
    assert code_version("data.one", repository) != first
    edit(repository, "VALUE = 1\n")  # back
    assert code_version("data.one", repository) == first
    lines = (repository / "codes.lock").read_text().splitlines()
    reasons = {line.split(" ", 3)[3] for line in lines if line.startswith("data.one ")}
    assert reasons == {"first", "the same sum", "two"} and lines == sorted(lines)


def test_code_that_was_committed_unrecorded_is_no_version_to_be_the_same_as(
    repository: Path,
) -> None:
    first = code_version("data.one", repository)
    edit(repository, "VALUE = 2 - 1\n")
    commit(repository)
    with pytest.raises(InputError, match=r"data.one: its code at HEAD is not recorded either"):
        run("--same", "--reason", "the same sum")
    run("--same", "--since", "HEAD~", "--reason", "the same sum")
    assert code_version("data.one", repository) == first


def test_a_reworded_shell_command_can_be_recorded_too(repository: Path) -> None:
    before = code_version("rules.make_one", repository)
    path = repository / "rules/data.smk"
    path.write_text(path.read_text().replace("--out {output:q}", '--out "{output}"'))
    forget_files()
    assert code_version("rules.make_one", repository) != before
    run("--same", "--reason", "another quote", "rules.make_one")
    assert code_version("rules.make_one", repository) == before


def test_two_branches_that_record_code_merge_without_a_conflict(repository: Path) -> None:
    first = code_version("data.one", repository)
    for branch, text in (("left", "VALUE = 3 - 2\n"), ("right", "VALUE = 4 - 3\n")):
        git(repository, "switch", "-q", "-c", branch, "main")
        edit(repository, text)
        run("--same", "--reason", branch)
        commit(repository)
    git(repository, "merge", "-q", "-X", "ours", "left")  # of the script; the lock keeps both
    for text in ("VALUE = 3 - 2\n", "VALUE = 4 - 3\n"):
        edit(repository, text)
        assert code_version("data.one", repository) == first


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--same"], "--reason is empty"),
        (["--new", "--reason", " "], "--reason is empty"),
        (["--same", "--reason", "x", "data.two"], "data.two: expected some of"),
        (["--same", "--reason", "x", "--since", "nowhere"], "--since nowhere: "),
    ],
)
def test_what_cannot_be_recorded_is_refused(
    repository: Path, arguments: list[str], said: str
) -> None:
    edit(repository, "VALUE = 7\n")
    with pytest.raises(InputError, match=said):
        run(*arguments)


def test_a_script_that_was_not_there_before_is_new(repository: Path) -> None:
    (repository / "workflow/scripts/data/two.py").write_text("VALUE = 1\n")
    rules = repository / "rules/data.smk"
    rules.write_text(rules.read_text() + RULE.replace("one", "two"))
    with pytest.raises(InputError, match=r"data.two: is not in HEAD, expected --new"):
        run("--same", "--reason", "x")


def test_every_script_of_the_rules_is_listed(root: Path) -> None:
    found = record_code.list_scripts(root)
    assert {"models.train_sft", "report.make_report", "rules.safety_sft"} <= set(found)
    assert {"generate.vllm_engine", "models.merge_models"} <= set(found)
    assert not {"graph.plan", "models.publish_model", "rules.publish_model"} & set(found)
