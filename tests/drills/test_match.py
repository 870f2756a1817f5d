"""SIGKILL while tunings are matched at equal loss: the same bytes in the end."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.drills.test_judgement_runs import drill
from tests.verbs.test_match import scored


def matched(seeds: int, tasks: int) -> list[str]:
    """Write tune and bench runs here, under names that hold wherever the folder is; return the command."""
    draws = random.Random(seeds)
    names = [f"task {number}" for number in range(tasks)]
    runs = [
        scored(Path("in"), method, seed, draws.uniform(0.2, 0.4), draws.uniform(0.5, 1), names)
        for seed in range(seeds)
        for method in ("lora", "full")
        for _ in range(3)
    ]
    return ["study", "match", *runs]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_match_killed_once(place):
    drill(matched(seeds=5, tasks=100), place, kills=1, seed=0)


@pytest.mark.drill
def test_match_killed_fifty_times(place):
    drill(matched(seeds=20, tasks=200), place, kills=50, seed=1)
