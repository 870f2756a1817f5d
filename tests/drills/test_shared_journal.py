"""Two commands on one journal, one of them killed: the same rows, and only what was in flight is bought twice."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from tests.drills.counts import count
from tests.drills.kills import end
from tests.drills.test_repair import CALLS, behave, finish, start, write
from tests.oracle.server import Said, Server, serving
from tests.tools import read_rows

CODE = """
import json, sys
from tunescope.verbs import in_python
verb, url, concurrency, settings = sys.argv[1:]
settings = json.loads(settings)
fixed = {"rows": "rows.jsonl", "oracle": url, "concurrency": int(concurrency), "timeout": 2.0, "journal": "shared"}
in_python(verb)(**fixed, **settings)
"""
VERB = "repair simplify"


def slow(body: dict[str, Any], call: int) -> Said:
    """Take long enough for two commands to be at work together."""
    return behave(body, call)._replace(after=0.1)


def at_work(folder: Path) -> int:
    """Count the processes that make calls."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'shared'}?mode=ro", uri=True)) as file:
            return int(file.execute("SELECT count(DISTINCT holder) FROM reservations").fetchone()[0])
    except sqlite3.Error:  # it isn't there yet
        return 0


def drill(folder: Path, server: Server, n: int, seed: int, **settings: Any) -> tuple[bool, int]:
    """Kill one of two commands at a random moment; return whether both were at work, and how many calls came twice."""
    write(folder, n)
    killed, other = (start(VERB, folder, server, CODE, out=f"runs/{name}", **settings) for name in ("killed", "other"))
    while at_work(folder) < 2 and other.poll() is None:
        time.sleep(0.005)
    time.sleep(random.Random(seed).uniform(0, 0.4))
    has_landed = killed.poll() is None and other.poll() is None
    end(killed)
    talk = other.communicate(timeout=600)[0]
    assert other.returncode == 0, talk
    finish(VERB, folder, server, CODE, out="runs/killed", **settings)
    assert read_rows(folder / "runs/other/rows.jsonl") == read_rows(folder / "runs/killed/rows.jsonl")
    return has_landed, sum(server.calls.values()) - len(server.calls)


def test_one_of_two_is_killed(tmp_path):
    with serving(slow) as server:
        has_landed, twice = drill(tmp_path, server, 100, 0, max_tokens_total=10**7)
    assert twice <= CALLS * has_landed


@pytest.mark.drill
def test_one_of_two_is_killed_many_times(tmp_path):
    landed = total = 0
    for seed in range(15):
        folder = tmp_path / str(seed)
        folder.mkdir()
        with serving(slow) as server:
            has_landed, twice = drill(folder, server, 100, seed, max_tokens_total=10**7)
        assert twice <= CALLS * has_landed
        landed, total = landed + has_landed, total + twice
    count(VERB, "one of two on a journal killed", landed, 15, "rows", f"{total} calls made twice")
