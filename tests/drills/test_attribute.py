"""SIGKILL while rows are indexed, embedded and sketched, answers attributed and rows valued: the same files after."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path

import pytest

from tests.drills.counts import count
from tests.drills.kills import content, end, finish, shards, start
from tests.tools import alpaca, write_rows

pytest.importorskip("torch")

from tunescope.microworld.model import save_random_model
from tunescope.microworld.world import make_world, open_questions

INDEX = ["attribute", "index", "rows.jsonl", "--embedder", "none", "--base", "base"]
GRADIENTS, ANSWERS = "attribute-gradients-*", f"attribute-{12 * '[0-9a-f]'}"
"""The folders of the runs that the two commands write last."""
VALUE = ["attribute", "rows.jsonl", "--value", "heldout.jsonl", "--base", "base", "--tuned", "tuned"]
ATTRIBUTE = ["attribute", "rows.jsonl", "--answers", "a.json", "--embedder", "none", "--base", "base"]


def prepare(folder: Path, rows: int, answers: int) -> None:
    """Write rows, answers, held-out questions and two models into `folder / "calm"`."""
    calm = folder / "calm"
    calm.mkdir()
    questions = [(question.prompt, question.answer) for question in open_questions(make_world(0))]
    rng = random.Random(0)
    records = [alpaca(*rng.choice(questions)) for _ in range(rows)]
    write_rows(calm / "rows.jsonl", records)
    asked = [{"instruction": q, "output": a, "generator": "m"} for q, a in rng.sample(questions, answers)]
    (calm / "a.json").write_text(json.dumps(asked))
    write_rows(calm / "heldout.jsonl", [alpaca(*each) for each in rng.sample(questions, answers)])
    save_random_model(calm / "base", 0)
    save_random_model(calm / "tuned", 1)


def files(folder: Path) -> int:
    """Count the finished shards and the files of all runs."""
    return shards(folder) + sum(1 for _ in folder.glob("runs/*/*"))


def done(folder: Path, last: str) -> bool:
    """Tell whether the last of the command's runs has ended."""
    return bool(list(folder.glob(f"runs/{last}/run.json")))


def drill(command: list[str], last: str, folder: Path, kills: int, seed: int) -> None:
    """Compare an undisturbed run with others that are killed at a random moment of their work."""
    rng, calm = random.Random(seed), folder / "calm"
    finish(command, calm)
    expected = content(calm)
    landed = rounds = 0
    while landed < kills:
        rounds += 1
        assert rounds <= 10 * kills
        killed = folder / f"kill{rounds}"
        shutil.copytree(calm, killed, ignore=shutil.ignore_patterns("runs"))
        for _ in range(min(4, kills - landed)):
            process, before = start(command, killed), files(killed)
            while process.poll() is None and files(killed) <= before:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.3))
            at_work = process.poll() is None and not done(killed, last)
            end(process)
            if not at_work:
                break
            landed += 1
        finish(command, killed)
        assert content(killed) == expected
        shutil.rmtree(killed)
    verb = "attribute index" if command is INDEX else "attribute --value" if command is VALUE else "attribute"
    count(verb, "SIGKILL", landed, rounds, "every file")


def test_index_killed_twice(tmp_path):
    prepare(tmp_path, rows=120, answers=3)
    drill(INDEX, GRADIENTS, tmp_path, kills=2, seed=0)


def test_attribute_killed_twice(tmp_path):
    prepare(tmp_path, rows=120, answers=3)
    drill(ATTRIBUTE, ANSWERS, tmp_path, kills=2, seed=1)


def test_value_killed_once(tmp_path):
    prepare(tmp_path, rows=60, answers=3)
    drill(VALUE, ANSWERS, tmp_path, kills=1, seed=4)


@pytest.mark.drill
def test_value_killed_fifty_times(tmp_path):
    prepare(tmp_path, rows=300, answers=20)
    drill(VALUE, ANSWERS, tmp_path, kills=50, seed=5)


@pytest.mark.drill
def test_index_killed_fifty_times(tmp_path):
    prepare(tmp_path, rows=1_000, answers=3)
    drill(INDEX, GRADIENTS, tmp_path, kills=50, seed=2)


@pytest.mark.drill
def test_attribute_killed_fifty_times(tmp_path):
    prepare(tmp_path, rows=1_000, answers=20)
    drill(ATTRIBUTE, ANSWERS, tmp_path, kills=50, seed=3)
