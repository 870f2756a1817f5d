"""`tunescope-gate`, the action and the hooks, in a small git repository whose rows change."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest
import yaml

from tests.tools import ROOT, alpaca, write_rows
from tunescope.cli.gate import run_gate
from tunescope.views import Table, View, to_markdown

GOOD = [alpaca(f"Tell me of thing number {i}.", f"Thing number {i} is round, blue and heavy.") for i in range(60)]
EMPTY = [alpaca(f"Describe item {i}.", "") for i in range(8)]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
HOOKS = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))}


def git(*arguments):
    settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *settings, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(workplace):
    """A repository with sixty good rows, in which the working tree has eight empty answers more."""
    git("init", "--quiet")
    (workplace / "data").mkdir()
    write_rows(workplace / "data/rows.jsonl", GOOD)
    git("add", "data")
    git("commit", "--quiet", "--message", "rows")
    write_rows(workplace / "data/rows.jsonl", [*GOOD, *EMPTY])
    return workplace


@pytest.fixture
def programs(tmp_path_factory):
    """A folder whose `tunescope-gate` and `tunescope` are ours, as an installation would put them on the path."""
    folder = tmp_path_factory.mktemp("bin")
    for name, module in (("tunescope-gate", "tunescope.cli.gate"), ("tunescope", "tunescope")):
        (folder / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {module} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def bash(command, programs, *arguments, **environment):
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    source = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command, "bash", *arguments],
        env={**os.environ, "PATH": path, "PYTHONPATH": source, **environment},
        capture_output=True,
        text=True,
    )


def test_growth_fails_and_is_added_to_the_summary(repository, capsys):
    (repository / "summary.md").write_text("# Before\n")
    index = git("ls-files", "--stage")
    assert run_gate(["data/*.jsonl", "--fault", "empty_answer", "--summary", "summary.md"]) == 3
    said = capsys.readouterr()
    assert "empty_answer grew: 0 of 60 rows (0.00 %) in A, 8 of 68 (11.76 %) in B." in said.out
    assert "the gate 'grown > 0' holds" in said.err
    summary = (repository / "summary.md").read_text()
    assert summary.startswith("# Before\nA has 60 rows and B has 68")
    assert "| empty\\_answer | 0 | 8 | 0.00 % | 11.76 % |" in summary
    assert "rows.jsonl\\:61 |" in summary
    assert git("ls-files", "--stage") == index
    assert sorted(path.name for path in repository.iterdir()) == [".git", "data", "summary.md"]


def test_what_passes(repository, capsys):
    assert run_gate(["data/rows.jsonl", "--fault", "refusal"]) == 0
    assert run_gate(["data/rows.jsonl", "--fail-on", "grown > 1"]) == 0
    git("commit", "--quiet", "--all", "--message", "empty")
    assert run_gate(["data/rows.jsonl"]) == 0
    assert run_gate(["data/rows.jsonl", "--base", "HEAD~1"]) == 3
    assert "No fault grew beyond what other rows from the same source would show." in capsys.readouterr().out


def test_the_rows_as_they_are_have_a_gate_too_and_new_rows_are_only_checked(repository, capsys):
    write_rows(repository / "new.jsonl", [*GOOD[:3], *EMPTY[:1]])
    assert run_gate(["new.jsonl"]) == 0
    assert run_gate(["new.jsonl", "--fail-on-check", "surely_wrong_rows > 0"]) == 3
    said = capsys.readouterr()
    assert "HEAD has no such rows, so nothing can have grown" in said.err
    assert said.out.startswith("4 rows (alpaca in ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["typo.jsonl"], "no file of this repository is called typo.jsonl; name row files"),
        (["data/rows.jsonl", "--base", "nowhere"], "git read-tree: fatal: Not a valid object name nowhere"),
        (["data/rows.jsonl", "--fault", "typo"], "--fault typo: expected one that both runs have"),
        (["data/rows.jsonl", "--fail-on", "grown >"], "in the expression"),
    ],
)
def test_what_is_refused(repository, capsys, arguments, sentence):
    assert run_gate(arguments) == 1
    assert sentence in capsys.readouterr().err


def test_outside_of_a_repository(workplace, capsys, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(workplace.parent))
    assert run_gate(["rows.jsonl"]) == 1
    assert "git ls-files: fatal: not a git repository" in capsys.readouterr().err


def action_step(inputs, base):
    """Return the shell of the action's last step and its environment, with what GitHub would fill in."""
    step = ACTION["runs"]["steps"][-1]
    given = {name: about.get("default", "") for name, about in ACTION["inputs"].items()} | inputs
    named = {f"${{{{ inputs.{name} }}}}": value for name, value in given.items()}
    environment = {name: named.get(value, base) for name, value in step["env"].items()}
    assert step["shell"] == "bash"
    assert step["env"]["BASE"].startswith("${{ inputs.base || github.event.pull_request.base.sha")
    return step["run"], environment


def test_the_action_fails_a_pull_request_that_grows_a_fault(repository, programs):
    base = git("rev-parse", "HEAD")
    git("commit", "--quiet", "--all", "--message", "worse")
    summary = repository / "summary.md"
    shell, environment = action_step({"rows": "data/*.jsonl\n\n", "faults": "empty_answer refusal"}, base)
    done = bash(shell, programs, GITHUB_STEP_SUMMARY=str(summary), **environment)
    assert done.returncode == 3, done.stderr
    assert "| empty\\_answer | 0 | 8 |" in summary.read_text()
    shell, environment = action_step({"rows": "data/*.jsonl", "faults": "refusal"}, base)
    assert bash(shell, programs, GITHUB_STEP_SUMMARY=str(summary), **environment).returncode == 0
    condition = {"fail-on": "grown > 5", "fail-on-check": "empty_answer > 1%"}
    shell, environment = action_step({"rows": "data/rows.jsonl", **condition}, base)
    assert bash(shell, programs, GITHUB_STEP_SUMMARY=str(summary), **environment).returncode == 3


def test_the_action_fetches_a_base_that_a_shallow_checkout_lacks(repository, programs, tmp_path):
    base = git("rev-parse", "HEAD")
    git("commit", "--quiet", "--all", "--message", "worse")
    git("clone", "--quiet", "--depth=1", f"file://{repository}", str(tmp_path / "shallow"))
    shell, environment = action_step({"rows": "data/rows.jsonl"}, base)
    summary = tmp_path / "summary.md"
    done = bash(f"cd {tmp_path / 'shallow'}\n{shell}", programs, GITHUB_STEP_SUMMARY=str(summary), **environment)
    assert done.returncode == 3, done.stderr
    assert "| empty\\_answer | 0 | 8 |" in summary.read_text()


def test_the_action_installs_itself():
    install = ACTION["runs"]["steps"][0]
    assert install["run"] == "${{ inputs.install }}"
    assert ACTION["inputs"]["install"]["default"].endswith('"$GITHUB_ACTION_PATH"')


def test_the_hooks(repository, programs):
    def run(name, *arguments, files=()):
        """As pre-commit does: the entry, the arguments (a repository's own, else the hook's), the changed files."""
        hook = HOOKS[name]
        return bash(f'{hook["entry"]} "$@"', programs, *(arguments or hook.get("args", ())), *files).returncode

    assert run("tunescope-check", files=["data/rows.jsonl"]) == 3
    assert run("tunescope-check", "--fail-on", "very_long > 0", files=["data/rows.jsonl"]) == 0
    assert run("tunescope-gate", "data/rows.jsonl") == 3
    assert run("tunescope-gate", "--fault", "refusal", "data/rows.jsonl") == 0
    assert all(hook["language"] == "python" for hook in HOOKS.values())


def test_a_text_from_outside_is_no_markup():
    hostile = "<img src=x> | `a` [b](http://c) @d *e*\n# f &amp; \x1b[31m"
    text = to_markdown(
        View((f"Of {hostile}",), (Table(hostile, (hostile,), ((hostile,), (1.5,), (None,)), "A note."),))
    )
    shown = r"&lt;img src=x&gt; \| \`a\` \[b\](http\://c) \@d \*e\*\\n\# f &amp;amp; \\x1b\[31m"
    head = f"Of {shown}\n\n**{shown}**\n\n"
    assert text == f"{head}| {shown} |\n|---|\n| {shown} |\n| 1.5 |\n| – |\n\nA note.\n\n"
