"""SIGKILL at random moments of a study whose cells run side by side: the same files, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.drills.kills import begins, drill_study, start
from tests.tools import alpaca, write_rows

# The cells of `change` compare different rows: of alike ones, the first that comes names the files in their one run.
RECIPE = """
about: Side by side.
inputs: {rows: rows.jsonl}
steps:
  check: {verb: check, rows: "{rows}", vary: {max_words: [20, 50, 500]}}
  top: {verb: select, rows: "{rows}", from: ["{check}"], vary: {top: [500, 1000]}, by: n}
  clean: {verb: select, rows: "{top}/rows.jsonl", from: "{check}", where: faulty = false}
  change: {verb: compare, a: "{rows}", b: "{top}/rows.jsonl"}
  page: {verb: report, runs: ["{check}", "{change}"]}
"""
COMMAND = ["study", "run", "recipe.yaml", "--workers", "2"]


@pytest.fixture
def study(tmp_path):
    write_rows(
        tmp_path / "rows.jsonl", [alpaca(f"What is {i} and {7 * i}?", f"It is {8 * i}.", n=i) for i in range(2000)]
    )
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def test_a_study_side_by_side_killed_twice(study):
    drill_study(COMMAND, study, kills=2, seed=0)


@pytest.mark.drill
def test_a_study_side_by_side_killed_fifty_times(study):
    drill_study(COMMAND, study, kills=50, seed=1)


def descendants(pid: int) -> set[int]:
    """Return the processes that a process has started, and those that they have."""
    children = {
        int(each) for task in Path(f"/proc/{pid}/task").glob("*") for each in (task / "children").read_text().split()
    }
    return children.union(*map(descendants, children))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_behind(study, number):
    process = start(COMMAND, study)
    begins(study)
    deadline = time.monotonic() + 60
    while not list(study.glob("runs/check-*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    left = descendants(process.pid)
    os.kill(process.pid, number)
    talk = process.communicate(timeout=60)[1]
    assert process.returncode == (130 if number == signal.SIGINT else -9), talk
    while any(is_alive(pid) for pid in left):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not list(study.glob("runs/study-*/run.json"))


def is_alive(pid: int) -> bool:
    status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(status) and not status.startswith("Z")
