"""SIGKILL while rows are repaired, and a server that misbehaves, starts again or repeats the key.

The same rows in the end; no reply that was kept is bought again; the key is in nothing that was written or printed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from tests import warm
from tests.drills.counts import count
from tests.drills.kills import end
from tests.oracle.server import Said, Server, completion, serving
from tests.tools import ROOT, alpaca, write_rows

CALLS = 8
"""Calls at a time."""
KEY = "sk-planted-in-a-drill"
PATHS = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
CODE = """
import json, sys
from tunescope.verbs import in_python
verb, url, concurrency, settings = sys.argv[1:]
fixed = {"rows": "rows.jsonl", "oracle": url, "concurrency": int(concurrency), "timeout": 2.0, "out": "runs/repair"}
in_python(verb)(**fixed, **json.loads(settings))
"""
MISBEHAVIOUR = (
    Said({"error": {"message": "slow down"}}, 429, (("retry-after", "0.01"),)),
    Said({"error": {"message": "slow down"}}, 429),
    Said({"error": {"message": f"oh, {KEY}"}}, 500),
    Said(b"<html>", 503),
    Said(b'{"choices": [', length=1000),
    Said({"error": {"message": "overloaded"}}),
    Said(b""),
    Said(b'{"choices": [{"mess'),
    Said(b"\xff\xfe"),
    Said(b"", length=-1),
    Said(completion("late"), after=3.0),
)


def behave(body: dict[str, Any], call: int) -> Said:
    """Rate, shorten or rewrite, or say something that can't be read; the same for the same prompt."""
    if "response_format" in body:
        return Said({"error": {"message": "response_format is not supported", "param": "response_format"}}, 400)
    prompt = body["messages"][-1]["content"]
    number = int(prompt.partition("Question ")[2].partition("?")[0])
    if "Score: NUMBER" in prompt:
        return Said(completion(f"Score: {number % 7}\nAs I see it."), after=0.03)
    if "<corrected_response>" in prompt:
        return Said(
            completion(f"<corrected_response>\n{number}\n</corrected_response>" if number % 5 else "?"), after=0.03
        )
    if "<new_response>" in prompt:
        pair = f"<new_instruction>\nMy Question {number}?\n</new_instruction>\n" if number % 5 else ""
        return Said(completion(f"{pair}<new_response>\n{len(prompt)} better\n</new_response>"), after=0.03)
    replies = (
        f"<short_response>{number}</short_response>",
        f"<short_response>\nHere is a shorter response:\n{number}, the Endocrine one. [End]\n</short_response>",
        f"[Better Answer] {number} [End]",
        "",
        "Das ist die Antwort.",
        f"<short_response>{number}",
    )
    return Said(completion(replies[number % len(replies)] if number % 4 == 3 else replies[number % 2]), after=0.03)


def structured(body: dict[str, Any], call: int) -> Said:
    """Fill in whatever schema comes, as a server does that holds the model to it; not always well."""
    schema = body["response_format"]["json_schema"]["schema"]["properties"]
    prompt = body["messages"][-1]["content"]
    number = int(prompt.partition("Question ")[2].partition("?")[0] or 0)
    filled = {
        name: number % 6 if part["type"] == "number" else f"{number}, {name}. [End]" for name, part in schema.items()
    }
    text = json.dumps(filled)
    return Said(
        completion(text[:-9] if number % 5 == 4 else text, "length" if number % 10 == 9 else "stop"), after=0.03
    )


def faulty(body: dict[str, Any], call: int) -> Said:
    """Go wrong in a third of the first calls, differently each time."""
    number = int(body["messages"][-1]["content"].partition("Question ")[2].partition("?")[0] or 1)
    if call == 1 and number % 3 == 0:
        return MISBEHAVIOUR[number // 3 % len(MISBEHAVIOUR)]
    return behave(body, call)


def start(verb: str, folder: Path, server: Server, code: str = CODE, **settings: Any) -> subprocess.Popen[str]:
    """Start a verb in a folder, in a process group of its own."""
    return warm.start(
        ["-c", code, verb, server.url, str(CALLS), json.dumps(settings)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": PATHS, "TUNESCOPE_RUNS": "runs", "HOME": str(folder), "OPENAI_API_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )


def finish(verb: str, folder: Path, server: Server, code: str = CODE, status: int = 0, **settings: Any) -> str:
    """Run to the end; return the output. The key is neither in the output nor in any file, home included."""
    process = start(verb, folder, server, code, **settings)
    talk = process.communicate(timeout=600)[0]
    assert process.returncode == status, talk
    assert KEY not in talk
    assert not [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    return talk


def content(folder: Path) -> dict[str, object]:
    """Return what a finished run holds but the journal (times and order are its own)."""
    contents: dict[str, object] = {}
    for path in sorted((folder / "runs").rglob("*")):
        if path.is_file():
            if path.name == "run.json":
                info = json.loads(path.read_bytes())
                del info["wall_seconds"], info["outputs"]
                contents["run.json"] = info
            elif not path.name.startswith("journal.sqlite"):
                contents[str(path.relative_to(folder))] = path.read_bytes()
    return contents


def write(folder: Path, n: int) -> None:
    """Write the rows to repair."""
    rows = [alpaca(f"Question {i}?", "A response of some words, " * (1 + i % 4)) for i in range(n)]
    write_rows(folder / "rows.jsonl", rows)


def drill(
    verb: str,
    folder: Path,
    n: int,
    kills: int,
    seed: int,
    server: Server,
    code: str = CODE,
    write: Callable[[Path, int], None] = write,
    once: bool = True,
    content: Callable[[Path], dict[str, object]] = content,
    trouble: str = "SIGKILL",
    **settings: Any,
) -> None:
    """Compare an undisturbed run with others that are killed on their way, until `kills` have landed.

    `once`: an undisturbed run makes each call once; `content` returns what is compared.
    """
    rng = random.Random(seed)
    calm = folder / "calm"
    calm.mkdir()
    write(calm, n)
    finish(verb, calm, server, code, **settings)
    expected = content(calm)
    assert not once or set(server.calls.values()) == {1}
    due, landed, twice, rounds = sum(server.calls.values()), 0, 0, 0
    while landed < kills:
        killed = folder / f"kill{(rounds := rounds + 1)}"
        shutil.copytree(calm, killed, ignore=shutil.ignore_patterns("runs"))
        server.calls.clear()
        here = 0
        while landed + here < kills and sum(server.calls.values()) < due - 4 * CALLS:
            before, more = sum(server.calls.values()), rng.randint(1, 2 * CALLS)
            process = start(verb, killed, server, code, **settings)
            while process.poll() is None and sum(server.calls.values()) < before + more:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.04))
            at_work = process.poll() is None
            end(process)
            here += at_work
        finish(verb, killed, server, code, **settings)
        assert content(killed) == expected
        again = sum(server.calls.values()) - due
        assert 0 <= again <= CALLS * here, f"{again} calls were made again after {here} kills"
        twice += again
        landed += here
        assert rounds <= kills
        shutil.rmtree(killed)
    note = f"{n} items; {twice} of {rounds * due:,} calls made twice"
    count(verb, trouble, landed, rounds, "every file", note)


@pytest.mark.parametrize(("verb", "n"), [("repair simplify", 50), ("repair reflect", 30), ("repair rate", 40)])
def test_killed_three_times(tmp_path, verb, n):
    with serving(behave) as server:
        drill(verb, tmp_path, n, kills=3, seed=0, server=server)


def write_named(folder: Path, n: int) -> None:
    """Write the rows, and a run that names two of three."""
    write(folder, n)
    where = [word for i in range(0, n, 3) for word in ("or", f"instruction = 'Question {i}?'")][1:]
    command = ["-m", "tunescope", "select", "rows.jsonl", "--where", " ".join(where), "--out", "named"]
    environment = {**os.environ, "PYTHONPATH": PATHS}
    subprocess.run([sys.executable, *command], cwd=folder, env=environment, check=True, capture_output=True)


NAMED = {"from_": ["named"], "where": "kept = false", "truth": "The answer is a number."}


def test_killed_while_named_rows_are_corrected(tmp_path):
    with serving(behave) as server:
        drill("repair correct", tmp_path, 60, kills=3, seed=0, server=server, write=write_named, **NAMED)
    result = json.loads((tmp_path / "calm/runs/repair/run.json").read_text())["result"]
    assert (result["named"], result["rewritten"], result["named_kept"]) == (40, 32, 8)
    assert result["kept_by"] == {"not named": 20, "unparsed": 8}


def test_killed_where_replies_are_json(tmp_path):
    """Also while the run finds out whether they can be."""
    with serving(structured) as server:
        drill("repair reflect", tmp_path, 25, kills=3, seed=0, server=server)
    info = json.loads((tmp_path / "calm/runs/repair/run.json").read_text())["result"]
    assert info["replies"] == "json"
    assert info["stages"]["instruction"] == {
        "ok": 20,
        "partial": 0,
        "fallback": 0,
        "unparsed": 3,
        "refused": 0,
        "truncated": 2,
    }


def test_faults_change_nothing(tmp_path):
    """A server that misbehaves gives the same rows, table and lineage as one that doesn't, for 17 more calls.

    One more call finds out that it knows no schemas. Another language and the wrong marker are among what both reply.
    """
    contents, calls = [], []
    for how in (behave, faulty):
        folder = tmp_path / how.__name__
        folder.mkdir()
        write_rows(folder / "rows.jsonl", [alpaca(f"Question {i}?", "Some words, " * 3) for i in range(50)])
        with serving(how) as server:
            finish("repair simplify", folder, server)
            calls.append(sum(server.calls.values()))
        files = content(folder)
        del files["run.json"]  # it names the server's port
        contents.append({Path(name).name: data for name, data in files.items()})
    assert calls == [51, 68]
    assert set(contents[0]) == {".lock", "repaired.parquet", "repairs.parquet", "rows.jsonl", "rows.lineage.jsonl"}
    assert contents[0] == contents[1]


def calm(folder: Path, n: int, server: Server) -> dict[str, object]:
    """Write rows and repair them with nothing in the way; return the run's content, and leave only the rows there."""
    write_rows(folder / "rows.jsonl", [alpaca(f"Question {i}?", "Some words, " * 3) for i in range(n)])
    finish("repair simplify", folder, server)
    undisturbed = content(folder)
    shutil.rmtree(folder / "runs")
    return undisturbed


def away(folder: Path, n: int, seconds: float) -> None:
    """Answer 503 to everything for some seconds, in the midst of the rows."""
    with serving(behave) as server:
        expected = calm(folder, n, server)
        server.calls.clear()
        shut: list[float] = []

        def busy(body: dict[str, Any], call: int) -> Said:
            if len(server.bodies) > n + n // 3:  # those of the calm run are n
                shut.append(time.monotonic())
            return Said(b"<html>", 503) if shut and time.monotonic() < shut[0] + seconds else behave(body, call)

        server.behave = busy
        finish("repair simplify", folder, server)
        assert shut
        assert shut[-1] > shut[0] + seconds
    assert content(folder) == expected


class Restarted(Server):
    """A server in a process of its own, which can be killed and started again at the same port."""

    def __init__(self, after: float) -> None:
        with serving() as taken:
            super().__init__(behave, url=taken.url)
        self._port = int(self.url.removesuffix("/v1").rpartition(":")[2])
        self._count = multiprocessing.Value("i", 0)
        self._after = after
        self._process: multiprocessing.Process | None = None

    def start(self) -> None:
        """Serve until `stop`."""
        self._process = multiprocessing.Process(target=self._serve, daemon=True)
        self._process.start()

    def stop(self) -> None:
        """Kill it."""
        assert self._process is not None
        self._process.kill()
        self._process.join()

    def _serve(self) -> None:
        def counted(body: dict[str, Any], call: int) -> Said:
            with self._count.get_lock():
                self._count.value += 1
            return behave(body, call)._replace(after=self._after)

        with serving(counted, self._port):
            time.sleep(3600)

    @property
    def count(self) -> int:
        """Calls received, in all of its lives."""
        return int(self._count.value)


def restarts(folder: Path, n: int, times: int, seconds: float) -> None:
    """Kill the server in the midst of the rows, so often, and start it again after some seconds."""
    server = Restarted(after=0.1)
    server.start()
    expected = calm(folder, n, server)
    rng, due = random.Random(0), server.count
    process = start("repair simplify", folder, server)
    try:
        for _ in range(times):
            until = server.count + rng.randint(n // (4 * times), n // (2 * times))
            while server.count < until:
                assert process.poll() is None, process.communicate()[0]
                time.sleep(0.002)
            server.stop()
            time.sleep(rng.uniform(0.2, 1) * seconds)
            server.start()
        talk = process.communicate(timeout=600)[0]
    finally:
        end(process)
        server.stop()
    again = server.count - 2 * due
    assert process.returncode == 0, talk
    assert content(folder) == expected
    assert 0 <= again <= CALLS * times, f"{again} calls were made again after {times} restarts"


def test_a_server_without_room_for_seconds_changes_nothing(tmp_path):
    away(tmp_path, n=30, seconds=2.0)


def test_a_server_that_is_killed_and_starts_again_changes_nothing(tmp_path):
    restarts(tmp_path, n=60, times=1, seconds=1.0)


@pytest.mark.parametrize(
    ("reply", "ending"),
    [
        (Said({"error": {"message": f"no such key: {KEY}"}}, 401), "set OPENAI_API_KEY to one that it takes"),
        (
            Said({"error": {"message": f"{KEY} has no model tiny"}}, 404),
            "404: … has no model tiny; name one with --served-model",
        ),
        (Said(f'{{"error": "{KEY}"'.encode(), 400), "calls all fail for one reason: 400: "),
        (Said({"error": {"message": KEY}}, 429, (("retry-after", "7200"),)), "the server asks to wait 7200 s"),
    ],
)
def test_a_key_that_a_server_repeats_is_in_no_file_log_or_traceback(tmp_path, reply, ending):
    write_rows(tmp_path / "rows.jsonl", [alpaca(f"Question {i}?", "Some words, " * 3) for i in range(30)])
    with serving(lambda body, call: reply) as server:
        talk = finish("repair simplify", tmp_path, server, status=1)
    assert "Traceback" in talk
    assert ending in talk


@pytest.mark.drill
def test_a_server_without_room_for_minutes_changes_nothing(tmp_path):
    away(tmp_path, n=100, seconds=100.0)


@pytest.mark.drill
def test_a_server_that_is_killed_and_starts_again_five_times_changes_nothing(tmp_path):
    restarts(tmp_path, n=500, times=5, seconds=4.0)


@pytest.mark.drill
@pytest.mark.parametrize(
    ("verb", "n", "kills"), [("repair simplify", 500, 200), ("repair reflect", 250, 50), ("repair rate", 250, 50)]
)
def test_killed_many_times(tmp_path, verb, n, kills):
    with serving(behave) as server:
        drill(verb, tmp_path, n, kills, seed=1, server=server)


@pytest.mark.drill
def test_killed_fifty_times_while_named_rows_are_corrected(tmp_path):
    with serving(behave) as server:
        drill("repair correct", tmp_path, 240, kills=50, seed=1, server=server, write=write_named, **NAMED)
