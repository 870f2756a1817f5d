"""SIGKILL while a page over many answers is made and written: the same bytes in the end."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest

from tests.drills.counts import count
from tests.drills.kills import begins, content, end, finish, start
from tests.verbs.report.xray_runs import many


def drill(folder: Path, answers: int, kills: int, seed: int) -> None:
    """Kill runs at work until `kills` met one, go on with each, and compare with an undisturbed run."""
    rng = random.Random(seed)
    command = ["report", *(str(run.path) for run in many(folder / "in", answers, 200, ["LoRA", "full"]))]
    finish(command, folder)
    expected = content(folder)
    (page,) = (data for name, data in expected.items() if name.endswith("report.html"))
    shutil.rmtree(folder / "runs")
    process = start(command, folder)
    begun = begins(folder)
    process.communicate()
    seconds = time.monotonic() - begun
    landed = rounds = 0
    while landed < kills:
        rounds += 1
        assert rounds <= 5 * kills, f"only {landed} of {rounds - 1} kills met a run that was still at work"
        shutil.rmtree(folder / "runs")
        process = start(command, folder)
        begins(folder)
        time.sleep(rng.uniform(0, 0.9) * seconds)
        at_work = process.poll() is None and not list(folder.glob("runs/*/run.json"))
        landed += at_work
        seconds *= 1 if at_work else 0.7  # the first run, which was timed, warms up others
        end(process, group=rounds % 2 == 1)
        finish(command, folder)
        assert content(folder) == expected
    count("report", "SIGKILL", landed, rounds, "every file", f"a page of {len(page):,} bytes")


def test_killed_twice(tmp_path):
    drill(tmp_path, answers=80, kills=2, seed=0)


@pytest.mark.drill
def test_killed_fifty_times(tmp_path):
    drill(tmp_path, answers=200, kills=50, seed=1)
