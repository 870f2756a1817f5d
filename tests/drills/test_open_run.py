"""SIGKILL while a run is asked, left open and asked again: every file as of a run that nothing disturbed."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from tests.drills.counts import count
from tests.drills.kills import end
from tests.drills.test_repair import CALLS, content, finish, start
from tests.oracle.server import Said, completion, serving
from tests.tools import alpaca, write_rows

CODE = """
import json, sys
from tunescope.verbs import in_python
verb, url, concurrency, settings = sys.argv[1:]
place = {"prompts": "rows.jsonl", "model": url} if verb == "answer" else {"rows": "rows.jsonl", "oracle": url}
in_python(verb)(**place, concurrency=int(concurrency), out="runs/open", deadline=0.7, **json.loads(settings))
"""


class Sluggish:
    """Refuses every seventh row as too long; to every fifth it says that it has no room, as long as it is `full`."""

    def __init__(self) -> None:
        self.full = False
        self.replies: Counter[int] = Counter()

    def __call__(self, body: dict[str, Any], call: int) -> Said:
        number = int(re.findall(r"Question (\d+)\?", body["messages"][-1]["content"])[-1])
        if self.full and number % 5 == 1:
            return Said({"error": {"message": "no room"}}, 503)
        self.replies[number] += 1
        if number % 7 == 3:
            return Said({"error": {"message": "maximum context length"}}, 400, after=0.02)
        return Said(completion(f"<short_response>{number}</short_response>"), after=0.02)


def kill_and_go_on(
    verb: str, folder: Path, server: Any, kills: int, rng: random.Random, **settings: Any
) -> tuple[int, dict[str, Any]]:
    """Kill a command so often on its way, then run it to its end; return the kills that met it, and run.json."""
    landed = 0
    for _ in range(kills):
        before, more = sum(server.calls.values()), rng.randint(1, 2 * CALLS)
        process = start(verb, folder, server, CODE, **settings)
        while process.poll() is None and sum(server.calls.values()) < before + more:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.04))
        landed += process.poll() is None
        end(process)
    finish(verb, folder, server, CODE, **settings)
    return landed, json.loads((folder / "runs/open/run.json").read_text("utf-8"))


def drill(verb: str, folder: Path, n: int, kills: int, **settings: Any) -> None:
    """Compare a run that is killed while it is first asked, and again while it is open, with an undisturbed one."""
    for name in ("calm", "killed"):
        (folder / name).mkdir()
        write_rows(folder / name / "rows.jsonl", [alpaca(f"Question {i}?", "Some words, " * 3) for i in range(n)])
    behave, rng = Sluggish(), random.Random(0)
    with serving(behave) as server:
        finish(verb, folder / "calm", server, CODE, **settings)
        behave.replies.clear()
        behave.full = True
        landed, info = kill_and_go_on(verb, folder / "killed", server, kills, rng, **settings)
        assert info["open"] == sum(i % 5 == 1 for i in range(n))
        behave.full = False
        more, info = kill_and_go_on(verb, folder / "killed", server, kills, rng, **settings)
    assert (info["open"], info["settled"]) == (0, sum(i % 7 == 3 for i in range(n)))
    assert files(folder / "killed") == files(folder / "calm")
    twice = sum(behave.replies.values()) - n
    assert 0 <= twice <= CALLS * (landed + more)
    note = f"{twice} calls made twice"
    count(f"{verb}, open", "SIGKILL", landed + more, 1, "every file", note)


def files(folder: Path) -> dict[str, object]:
    """Return what a run holds, but for what `--again` would go on with: it is in the order of arrival."""
    return {name: data for name, data in content(folder).items() if "/.work-" not in name}


@pytest.mark.parametrize("verb", ["repair simplify", "answer"])
def test_killed_while_it_is_open(tmp_path, verb):
    drill(verb, tmp_path, n=40, kills=1, **({} if verb == "answer" else {"response_format": "tags"}))


@pytest.mark.drill
@pytest.mark.parametrize("verb", ["repair simplify", "answer"])
def test_killed_often_while_it_is_open(tmp_path, verb):
    drill(verb, tmp_path, n=200, kills=25, **({} if verb == "answer" else {"response_format": "tags"}))
