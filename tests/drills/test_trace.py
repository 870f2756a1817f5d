"""SIGKILL while rows are indexed and answers traced: the same files in the end."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest

from tests.drills.counts import count
from tests.drills.kills import content, end, finish, start
from tests.tools import write_rows
from tests.verbs.trace.planted import Writer, prose_rows, put

INDEX = ["trace", "index", "rows.jsonl"]
TRACE = ["trace", "rows.jsonl", "--answers", "a.jsonl", "--reference", "r.jsonl"]


def prepare(folder: Path, rows: int, answers: int) -> None:
    """Write rows, answers that borrow from them, and a reference."""
    folder.mkdir()
    records = prose_rows(rows, words=60)
    write_rows(folder / "rows.jsonl", records)
    writer, rng = Writer(7), random.Random(0)
    borrowed = [" ".join(rng.choice(records)["output"].split()[5:30]) for _ in range(answers)]
    put(folder / "a.jsonl", *[f"{writer.prose(30)} {text} {writer.prose(20)}" for text in borrowed])
    put(folder / "r.jsonl", *[writer.prose(40) for _ in range(250)])


def drill(command: list[str], folder: Path, kills: int, seed: int, rows: int, answers: int) -> None:
    """Compare an undisturbed run with others that are killed at a random moment of their work."""
    rng = random.Random(seed)
    calm = folder / "calm"
    prepare(calm, rows, answers)
    finish(command, calm)  # numba's cache is there from here on
    expected = content(calm)
    shutil.rmtree(calm / "runs")
    took = finish(command, calm)
    assert content(calm) == expected, "a run isn't the same twice"
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
            time.sleep(rng.uniform(0, 0.5 * took))
            at_work = process.poll() is None and not done(killed, command)
            end(process)
            if not at_work:
                break
            landed += 1
        finish(command, killed)
        assert content(killed) == expected
        shutil.rmtree(killed)
    verb = "trace index" if command is INDEX else "trace"
    count(verb, "SIGKILL", landed, rounds, "every file", f"{rows:,} rows")


def files(folder: Path) -> int:
    """Count the files of all runs, unfinished ones too."""
    return sum(1 for _ in folder.glob("runs/*/*")) if (folder / "runs").is_dir() else 0


def done(folder: Path, command: list[str]) -> bool:
    """Tell whether the command's own run has ended."""
    kind = "trace-index-*" if command == INDEX else "trace-[!i]*"
    return bool(list(folder.glob(f"runs/{kind}/run.json")))


def test_index_killed_twice(tmp_path):
    drill(INDEX, tmp_path, kills=2, seed=0, rows=1_000, answers=1)


def test_trace_killed_twice(tmp_path):
    drill(TRACE, tmp_path, kills=2, seed=0, rows=500, answers=100)


@pytest.mark.drill
def test_index_killed_fifty_times(tmp_path):
    drill(INDEX, tmp_path, kills=50, seed=1, rows=20_000, answers=1)


@pytest.mark.drill
def test_trace_killed_fifty_times(tmp_path):
    drill(TRACE, tmp_path, kills=50, seed=1, rows=10_000, answers=1_000)
