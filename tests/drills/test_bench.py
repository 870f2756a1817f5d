"""SIGKILL in the midst of a suite: the same scores in the end, and no finished task scored again."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("lm_eval")

from tests.drills import kills as killing
from tests.drills.counts import count
from tests.tools import write_rows
from tunescope.microworld.model import save_random_model
from tunescope.microworld.world import make_world, open_questions

FILES = ["first.jsonl", "second.jsonl", "third.jsonl"]
COMMAND = ["bench", *FILES, "--model", "tiny", "--shots", "4", "--exemplars", "fixed", "--spread"]
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


def drill(folder: Path, kills: int, seed: int) -> None:
    """Compare an undisturbed run with others that are killed at a random moment after some tasks are scored."""
    rng = random.Random(seed)
    calm = folder / "calm"
    save_random_model(calm / "tiny", seed=0)
    questions = [
        {"question": each.prompt, "choices": list(each.choices), "answer": each.gold}
        for each in open_questions(make_world(0))
    ]
    for number, name in enumerate(FILES):
        write_rows(calm / name, questions[number :: len(FILES)])
    rounds = killing.drill(COMMAND, folder, killing.shards, kills, rng, **ENVIRONMENT)
    count("bench", "SIGKILL", kills, rounds, "every file", f"{len(FILES)} tasks")


def test_killed_once(tmp_path):
    drill(tmp_path, kills=1, seed=0)


@pytest.mark.drill
def test_killed_fifty_times(tmp_path):
    drill(tmp_path, kills=50, seed=1)
