"""SIGKILL while rows are measured: the same tables in the end."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.drills.kills import content, end, finish, start
from tests.tools import alpaca, write_rows
from tunescope.microworld.model import save_random_model

COMMAND = ["measure", "rows.jsonl", "--model", "tiny", "--without", "coherence"]
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


def drill(folder: Path, rows: int, kills: int, seed: int) -> None:
    """Compare an undisturbed run with others that are killed at a random moment after some shards are there."""
    rng = random.Random(seed)
    calm = folder / "calm"
    save_random_model(calm / "tiny", seed=0)
    words = ["baker", "cat", "red", "soup", "the", "a", "of", "Which", "What", "colour", "pet"]
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in range(2 * rows)]
    write_rows(calm / "rows.jsonl", [alpaca(*texts[2 * i : 2 * i + 2]) for i in range(rows)])
    finish(COMMAND, calm, **ENVIRONMENT)
    expected = content(calm)
    landed = rounds = 0
    while landed < kills:
        rounds += 1
        assert rounds <= kills
        killed = folder / f"kill{rounds}"
        shutil.copytree(calm, killed, ignore=shutil.ignore_patterns("runs"))
        for _ in range(min(4, kills - landed)):
            process, before = start(COMMAND, killed, **ENVIRONMENT), shards(killed)
            while process.poll() is None and shards(killed) <= before:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.05))
            at_work = process.poll() is None and not list(killed.glob("runs/*/run.json"))
            end(process)
            if not at_work:
                break
            landed += 1
        finish(COMMAND, killed, **ENVIRONMENT)
        assert content(killed) == expected
        shutil.rmtree(killed)
    print(f"measure: {landed} kills over {rounds} runs of {rows} rows; every file equal")


def shards(folder: Path) -> int:
    """Count the finished shards of an unfinished run."""
    return sum(path.is_dir() and path.suffix == "" for path in folder.glob("runs/*/.work-*/shards/*"))


def test_killed_twice(tmp_path):
    drill(tmp_path, rows=64 * 12, kills=2, seed=0)


@pytest.mark.drill
def test_killed_twenty_times(tmp_path):
    drill(tmp_path, rows=64 * 30, kills=20, seed=1)
