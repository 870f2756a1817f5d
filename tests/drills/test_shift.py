"""SIGKILL while models are compared: the same tables in the end."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("pysbd")

from tests.drills import kills as killing
from tests.drills.counts import count
from tests.tools import write_rows
from tunescope.microworld.model import save_random_model

WORDS = ["baker", "cat", "red", "soup", "the", "a", "of", "which", "colour", "pet."]
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
GIVEN = ["shift", "--tuned", "tuned", "--base", "base", "--answers", "answers.jsonl"]
ASKED = ["shift", "--tuned", "tuned", "--base", "base", "--prompts", "answers.jsonl", "--max-new-tokens", "8"]


def drill(folder: Path, command: list[str], answers: int, kills: int, seed: int) -> None:
    """Compare an undisturbed run with others that are killed at a random moment after some work is there."""
    rng = random.Random(seed)
    calm = folder / "calm"
    save_random_model(calm / "base", seed=0)
    save_random_model(calm / "tuned", seed=1)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(calm / "base" / name, calm / "tuned" / name)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 30))) for _ in range(2 * answers)]
    records = [{"prompt_id": str(i), "prompt": texts[2 * i], "text": texts[2 * i + 1]} for i in range(answers)]
    if command is ASKED:
        records = [{name: value for name, value in record.items() if name != "text"} for record in records]
    write_rows(calm / "answers.jsonl", records)
    rounds = killing.drill(command, folder, done, kills, rng, **ENVIRONMENT)
    assert json.loads(next(calm.glob("runs/*/run.json")).read_text())["result"]["answers"] == answers
    verb = "shift --prompts" if command is ASKED else "shift"
    count(verb, "SIGKILL", kills, rounds, "every file", f"{answers} answers")


def done(folder: Path) -> int:
    """Count the finished shards and the kept answers of an unfinished run."""
    kept = sum(path.read_bytes().count(b"\n") for path in folder.glob("runs/*/.work-*/answers.jsonl"))
    return killing.shards(folder) + kept


def test_killed_twice(tmp_path):
    drill(tmp_path, GIVEN, answers=16 * 12, kills=2, seed=0)


def test_killed_while_answering(tmp_path):
    drill(tmp_path, ASKED, answers=48, kills=1, seed=0)


@pytest.mark.drill
def test_killed_fifty_times(tmp_path):
    drill(tmp_path, GIVEN, answers=16 * 40, kills=50, seed=1)


@pytest.mark.drill
def test_killed_fifty_times_while_answering(tmp_path):
    drill(tmp_path, ASKED, answers=16 * 10, kills=50, seed=2)
