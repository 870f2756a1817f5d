"""Two commands on one journal, one of them killed: the same rows, and only what was in flight is bought twice."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from tests.drills.kills import end
from tests.drills.test_repair import CALLS, behave, finish, start, write
from tests.oracle.server import Server, serving
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
MOST = {"max_tokens_total": 10**7}


def drill(folder: Path, server: Server, n: int, kills: int, seed: int, **settings: Any) -> tuple[int, int]:
    """Kill one of two commands at random, time and again; return how many kills landed and calls came twice."""
    rng = random.Random(seed)
    write(folder, n)
    other = start(VERB, folder, server, CODE, out="runs/other", **settings)
    landed = 0
    for _ in range(kills):
        due, process = sum(server.calls.values()) + rng.randint(1, 3 * CALLS), None
        process = start(VERB, folder, server, CODE, out="runs/killed", **settings)
        while process.poll() is None and sum(server.calls.values()) < due:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.04))
        landed += process.poll() is None
        end(process)
    talk = other.communicate(timeout=600)[0]
    assert other.returncode == 0, talk
    finish(VERB, folder, server, CODE, out="runs/killed", **settings)
    assert read_rows(folder / "runs/other/rows.jsonl") == read_rows(folder / "runs/killed/rows.jsonl")
    return landed, sum(server.calls.values()) - len(server.calls)


def test_one_of_two_is_killed(tmp_path):
    with serving(behave) as server:
        landed, twice = drill(tmp_path, server, 80, 2, 0, **MOST)
        assert twice <= CALLS * landed


@pytest.mark.drill
@pytest.mark.parametrize("seed", range(10))
def test_one_of_two_is_killed_many_times(tmp_path, seed):
    with serving(behave) as server:
        landed, twice = drill(tmp_path, server, 400, 6, seed, **MOST)
        print(f"{landed} kills, {twice} calls twice")
        assert twice <= CALLS * landed


def test_two_side_by_side_buy_each_reply_once(tmp_path):
    with serving(behave) as server:
        landed, twice = drill(tmp_path, server, 40, 0, 0)
        write(tmp_path, 40)
        assert (landed, twice) == (0, 0)
