"""SIGKILL while a page over many answers is made and written: the same bytes in the end."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest

from tests.drills.kills import begins, content, end, finish, start
from tests.verbs.report.xray_runs import many


def drill(folder: Path, answers: int, kills: int, seed: int) -> None:
    """Kill a run `kills` times after its folder is there, go on with each, and compare with an undisturbed run."""
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
    landed = 0
    for number in range(kills):
        shutil.rmtree(folder / "runs")
        process = start(command, folder)
        begins(folder)
        time.sleep(rng.uniform(0, 0.9) * seconds)
        landed += process.poll() is None and not list(folder.glob("runs/*/run.json"))
        end(process, group=number % 2 == 1)
        finish(command, folder)
        assert content(folder) == expected
    assert landed >= kills / 2, f"only {landed} of {kills} kills met a run that was still at work"
    print(f"report: {landed} of {kills} kills in {seconds:.1f} s of work; a page of {len(page):,} bytes, equal")


def test_killed_twice(tmp_path):
    drill(tmp_path, answers=80, kills=2, seed=0)


@pytest.mark.drill
def test_killed_twenty_times(tmp_path):
    drill(tmp_path, answers=1000, kills=20, seed=1)
