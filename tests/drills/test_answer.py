"""SIGKILL while prompts are answered: the same answers in the end, none made twice, none paid twice."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("openai")

from tests.drills.counts import count
from tests.drills.kills import content, end, finish, start
from tests.oracle.server import Server, echo, serving
from tests.tools import write_rows
from tunescope.microworld.model import save_random_model

CALLS = 4
"""Calls at a time in the drill of a server."""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENAI_API_KEY": "planted"}


def prepare(folder: Path, n: int) -> None:
    """Write a model and questions of one turn and of two."""
    save_random_model(folder / "tiny", seed=0)
    questions = [{"question_id": i, "turns": [f"Q{i} " * (1 + i % 5), f"And {i}"][: 1 + i % 2]} for i in range(n)]
    write_rows(folder / "q.jsonl", questions)


def kill(command: list[str], folder: Path, answers: int, after: float) -> tuple[bool, int]:
    """Kill a command once it has `answers` more and `after` seconds on; tell if it was at work, and how many it has."""
    before = kept(folder)
    process = start(command, folder, **ENVIRONMENT)
    while process.poll() is None and kept(folder) < before + answers:
        time.sleep(0.002)
    time.sleep(after)
    at_work = process.poll() is None and not list(folder.glob("runs/*/run.json"))
    end(process)
    return at_work, kept(folder)


def kept(folder: Path) -> int:
    """Count the answers on disk of an unfinished run."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("runs/*/.work-*/answers.jsonl"))


def drill(command: list[str], folder: Path, kills: int, seed: int, server: Server | None = None) -> None:
    """Compare an undisturbed run with others that are killed on their way, until `kills` have landed."""
    rng = random.Random(seed)
    calm = folder / "calm"
    finish(command, calm, **ENVIRONMENT)
    expected = content(calm)
    due = len(next(data for name, data in expected.items() if name.endswith("answers.jsonl")).splitlines())
    landed = rounds = 0
    while landed < kills:
        killed = folder / f"kill{(rounds := rounds + 1)}"
        shutil.copytree(calm, killed, ignore=shutil.ignore_patterns("runs"))
        if server is not None:
            server.calls.clear()
        here = has = 0
        while here < min(5, kills - landed) and has < due - 6:
            at_work, now = kill(command, killed, rng.randint(1, 4), rng.uniform(0, 0.03))
            assert now >= has, "an answer was lost"
            here, has = here + at_work, now
            if not at_work:
                break
        finish(command, killed, **ENVIRONMENT)
        assert content(killed) == expected
        if server is not None:
            twice = sum(server.calls.values()) - due
            assert 0 <= twice <= CALLS * here, f"{twice} calls were made again after {here} kills"
        landed += here
        assert rounds <= kills
        shutil.rmtree(killed)
    verb = "answer" if server is None else "answer, a server"
    count(verb, "SIGKILL", landed, rounds, "every file", f"{due} answers")


def here(folder: Path, n: int, tokens: int) -> list[str]:
    """Return a command that samples with the tiny model."""
    prepare(folder / "calm", n)
    return f"answer q.jsonl --model tiny --max-new-tokens {tokens} --temperature 1 --batch-size 3".split()


def at(folder: Path, n: int, server: Server) -> list[str]:
    """Return a command that asks a server."""
    prepare(folder / "calm", n)
    return f"answer q.jsonl --model {server.url} --concurrency {CALLS}".split()


def test_killed_twice(tmp_path):
    drill(here(tmp_path, 16, 32), tmp_path, kills=2, seed=0)


def test_killed_twice_at_a_server(tmp_path):
    with serving(lambda body, call: echo(body, call)._replace(after=0.03)) as server:
        drill(at(tmp_path, 20, server), tmp_path, kills=2, seed=0, server=server)


@pytest.mark.drill
def test_killed_fifty_times(tmp_path):
    drill(here(tmp_path, 60, 96), tmp_path, kills=50, seed=1)


@pytest.mark.drill
def test_killed_fifty_times_at_a_server(tmp_path):
    with serving(lambda body, call: echo(body, call)._replace(after=0.03)) as server:
        drill(at(tmp_path, 60, server), tmp_path, kills=50, seed=1, server=server)
