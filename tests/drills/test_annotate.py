"""SIGKILL while a study is planned, and while annotators mark its items: the same bytes, and no lost mark."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")

from tests.drills.counts import count
from tests.drills.kills import content, drill, end, finish, start
from tests.tools import alpaca, write_rows
from tunescope.annotations.store import MarkStore
from tunescope.answers import read_answers


def write_inputs(folder: Path, n: int) -> None:
    folder.mkdir(exist_ok=True)
    answers = [{"prompt_id": f"p{i}", "prompt": f"Who is {i}?", "text": f"Person {i} is a baker."} for i in range(n)]
    write_rows(folder / "answers.jsonl", answers)


class Annotator:
    """Marks an item again and again, and remembers what the server acknowledged."""

    def __init__(self, port: int, token: str, name: str) -> None:
        self.port, self.name = port, name
        self.cookie, self.csrf = "", ""
        self.sent: list[str] = []
        self.acknowledged: set[str] = set()
        reply = self.ask("POST", "/enter", {"token": token})
        self.cookie = reply.headers["set-cookie"].partition(";")[0]
        self.csrf = re.search(r'"csrf": "(\w+)"', self.ask("GET", "/item/1").text)[1]

    def ask(self, method: str, path: str, body: object = None) -> Reply:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            headers = {"content-type": "application/json", "cookie": self.cookie, "x-csrf-token": self.csrf}
            connection.request(method, path, json.dumps(body), headers)
            reply = connection.getresponse()
            return Reply(reply.status, dict(reply.getheaders()), reply.read().decode())
        finally:
            connection.close()

    def mark(self, mark_id: str) -> None:
        value = {"start": 0, "end": 6, "category": "not factual"}
        reply = self.ask("POST", "/item/1/mark", {"mark_id": mark_id, "base": 0, "value": value})
        assert (reply.status, json.loads(reply.text)["version"]) == (200, 1), reply
        self.acknowledged.add(mark_id)

    def work(self) -> None:
        """Mark until the server is gone."""
        while True:
            self.sent.append(f"{random.getrandbits(128):032x}")
            try:
                self.mark(self.sent[-1])
            except (OSError, HTTPException):
                return

    def go_on(self) -> None:
        """Send again what wasn't acknowledged."""
        for mark_id in self.sent:
            if mark_id not in self.acknowledged:
                self.mark(mark_id)


class Reply:
    """What a server said."""

    def __init__(self, status: int, headers: dict[str, str], text: str) -> None:
        self.status, self.headers, self.text = status, {name.lower(): value for name, value in headers.items()}, text


def lines_until_serving(process) -> Iterator[str]:
    for line in process.stderr:
        yield line
        if line.startswith("Serving at"):
            return
    raise AssertionError("the server ended")


def serve_and_kill(folder: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    write_inputs(folder, 3)
    finish(["annotate", "create", "--kind", "spans", "answers.jsonl"], folder)
    (study,) = (folder / "runs").iterdir()
    process = start(["annotate", "serve", str(study), "--port", "0"], folder)
    talk = "".join(lines_until_serving(process))
    port = int(re.search(r"Serving at http://127\.0\.0\.1:(\d+)", talk)[1])
    annotators = [Annotator(port, re.search(rf"{name}: \S+#(\S+)", talk)[1], name) for name in ("A1", "A2")]
    for _ in range(kills):
        threads = [threading.Thread(target=each.work) for each in annotators]
        for thread in threads:
            thread.start()
        time.sleep(rng.uniform(0.05, 0.5))
        end(process)
        for thread in threads:
            thread.join()
        process = start(["annotate", "serve", str(study), "--port", str(port)], folder)
        talk = "".join(lines_until_serving(process))
        assert "enter#" not in talk
        with MarkStore(study) as store:
            kept = {each.mark.mark_id: each for each in store.marks()}
        for each in annotators:
            assert each.acknowledged <= kept.keys()
            each.go_on()
    end(process)
    with MarkStore(study) as store:
        kept = {each.mark.mark_id: (each.version, each.mark.annotator) for each in store.marks()}
    assert kept == {mark_id: (1, each.name) for each in annotators for mark_id in each.sent}
    assert all(len(each.sent) > kills for each in annotators)
    marks = f"{len(kept):,} marks acknowledged: none lost, none twice"
    count("annotate serve", "SIGKILL", kills, kills, marks)


def test_the_server_is_killed_once(tmp_path):
    serve_and_kill(tmp_path / "place", kills=1, seed=0)


@pytest.mark.drill
def test_the_server_is_killed_fifty_times(tmp_path):
    serve_and_kill(tmp_path / "place", kills=50, seed=1)


def plan_and_kill(folder: Path, n: int, kills: int, seed: int) -> None:
    """A study of causes: rows are looked through, then everything is written."""
    calm = folder / "calm"
    write_inputs(calm, n)
    write_rows(calm / "rows.jsonl", [alpaca(f"Who is {i}?", f"A baker, and {i} of them.") for i in range(n)])
    spans = [{"answer_id": each.answer_id, "start": 0, "end": 6} for each in read_answers(calm / "answers.jsonl")]
    write_rows(calm / "spans.jsonl", spans)
    command = ["annotate", "create", "--kind", "cause", "answers.jsonl", "--rows", "rows.jsonl"]
    written = lambda place: len(list(place.glob("runs/*/*"))) + len(list(place.glob("runs/*/.work-*")))  # noqa: E731
    rounds = drill([*command, "--spans", "spans.jsonl"], folder, written, kills, random.Random(seed))
    files = {name.rpartition("/")[2] for name in content(calm) if not name.endswith(".lock")}
    assert files == {"assignments.jsonl", "guidelines.md", "items.jsonl", "run.json"}
    count("annotate create", "SIGKILL", kills, rounds, "every file")


def test_a_plan_is_killed_twice(tmp_path):
    plan_and_kill(tmp_path, n=300, kills=2, seed=0)


@pytest.mark.drill
def test_a_plan_is_killed_fifty_times(tmp_path):
    plan_and_kill(tmp_path, n=600, kills=50, seed=1)
