"""SIGKILL while rows are measured: the same tables in the end."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.drills import kills as killing
from tests.drills.counts import count
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
    rounds = killing.drill(COMMAND, folder, killing.shards, kills, rng, **ENVIRONMENT)
    count("measure", "SIGKILL", kills, rounds, "every file", f"{rows:,} rows")


def test_killed_twice(tmp_path):
    drill(tmp_path, rows=64 * 12, kills=2, seed=0)


@pytest.mark.drill
def test_killed_fifty_times(tmp_path):
    drill(tmp_path, rows=64 * 30, kills=50, seed=1)
