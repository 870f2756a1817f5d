"""SIGKILL and Ctrl-C while a server misbehaves in every way that a run survives: the same in the end.

At full length (`make drill`) what comes of it stands in docs/proofs/servers.md.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("openai")

from tests.drills import test_judge, test_repair
from tests.drills.counts import count
from tests.drills.test_repair import CALLS, KEY, content, drill, finish, start
from tests.oracle.server import Server, serving
from tunescope.oracle.hostile.table import MISBEHAVIOURS, AtRandom

SLOW = {"silent", "ten-megabytes", "in-bursts"}
"""Too slow for hundreds of runs, or not the same for the same prompt."""
SURVIVED = [
    m for m in MISBEHAVIOURS if m.gives in ("same", "again", "row", "cut", "refused", "unread") and m.name not in SLOW
]
AMID = "SIGKILL amid a server's misbehaviour"
WORK = {
    "repair reflect": (test_repair.CODE, test_repair.write),
    "judge pairwise": (test_judge.CODE, test_judge.write),
}
"""What starts each verb, and what writes its inputs."""


def what_counts(folder: Path) -> dict[str, object]:
    """Return what a finished run holds but the tokens: of what was no reply, a killed run knows fewer."""
    found = content(folder)
    info = cast(dict[str, Any], found["run.json"])
    for name in ("tokens", "replies_estimated", "cost"):
        info["result"].pop(name, None)
    info["view"]["sentences"] = [re.sub(r"used [\d,]+ tokens[^,]*", "", each) for each in info["view"]["sentences"]]
    return found


def killed(verb: str, folder: Path, n: int, kills: int, seed: int) -> None:
    """Kill a verb so often."""
    code, write = WORK[verb]
    with serving(AtRandom(SURVIVED, seed, KEY)) as server:
        drill(verb, folder, n, kills, seed, server, code, write, once=False, content=what_counts, trouble=AMID)


def interrupted(verb: str, folder: Path, n: int, times: int, seed: int) -> None:
    """Interrupt a verb so often, at random moments; each time it ends within seconds, and buys nothing twice."""
    code, write = WORK[verb]
    rng = random.Random(seed)
    calm = folder / "calm"
    calm.mkdir()
    write(calm, n)
    with serving(AtRandom(SURVIVED, seed, KEY)) as server:
        finish(verb, calm, server, code)
        expected, due = what_counts(calm), sum(server.calls.values())
        landed = rounds = 0
        while landed < times:
            landed += _interrupt_once(verb, folder / f"round{rounds}", calm, server, code, rng, due, expected)
            rounds += 1
            assert rounds <= 3 * times
    count(verb, "Ctrl-C amid a server's misbehaviour", landed, rounds, "every file; no call made twice", f"{n} items")


def _interrupt_once(
    verb: str,
    folder: Path,
    calm: Path,
    server: Server,
    code: str,
    rng: random.Random,
    due: int,
    expected: dict[str, object],
) -> bool:
    shutil.copytree(calm, folder, ignore=shutil.ignore_patterns("runs"))
    server.calls.clear()
    process = start(verb, folder, server, code)
    until = rng.randint(1, max(1, due - 2 * CALLS))
    while process.poll() is None and sum(server.calls.values()) < until:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.03))
    at_work = process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    talk = process.communicate(timeout=60)[0]
    assert time.monotonic() - began < 30
    assert KEY not in talk
    finish(verb, folder, server, code)
    assert what_counts(folder) == expected
    assert sum(server.calls.values()) == due
    shutil.rmtree(folder)
    return at_work


RUNS: dict[str, Callable[..., None]] = {"killed": killed, "interrupted": interrupted}


@pytest.mark.parametrize(
    ("how", "verb", "n", "times"),
    [
        ("killed", "repair reflect", 24, 3),
        ("killed", "judge pairwise", 10, 3),
        ("interrupted", "repair reflect", 16, 2),
    ],
)
def test_a_few_times(tmp_path, how, verb, n, times):
    RUNS[how](verb, tmp_path, n, times, seed=0)


@pytest.mark.drill
@pytest.mark.parametrize(
    ("how", "verb", "n", "times"),
    [
        ("killed", "repair reflect", 60, 200),
        ("killed", "judge pairwise", 40, 200),
        ("interrupted", "repair reflect", 40, 20),
        ("interrupted", "judge pairwise", 30, 20),
    ],
)
def test_many_times(tmp_path, how, verb, n, times):
    RUNS[how](verb, tmp_path, n, times, seed=1)
