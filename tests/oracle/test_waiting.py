"""Who waits for a server is told why within 5 seconds, and isn't flooded."""

import asyncio
import io
import math
import re
import sys
from random import Random

import pytest

pytest.importorskip("openai")

from tests.oracle.server import Said, completion, serving
from tests.oracle.test_ask import ask, prompts
from tunescope.errors import RetryableError
from tunescope.oracle.halt import Halt
from tunescope.oracle.rate_limit import RateLimit
from tunescope.oracle.retry import ItemClock, Retries
from tunescope.progress import Waiting


def waited(err):
    """Return the lines that say why a server is waited for."""
    return [line for line in err.splitlines() if line.startswith("waiting: ")]


@pytest.mark.parametrize("retry_after", [12.0, None])
def test_it_is_said_before_five_seconds_pass(retry_after, capsys):
    """Before the wait where the server says how long it is, else before the waits come to as much."""
    slept, said_at = [], []

    async def sleep(seconds):
        slept.append(seconds)
        said_at.append(len(waited(capsys.readouterr().err)) > 0)

    async def attempt():
        if len(slept) < 5:
            raise RetryableError("429: later", retry_after)
        return "x"

    async def run():
        retries = Retries(RateLimit(1, Halt(), sleep), None, Random(0))
        return await retries.until_answered(attempt, ItemClock(math.inf))

    assert asyncio.run(run()) == "x"
    first = said_at.index(True)
    assert said_at.count(True) == 1
    assert first == 0 if retry_after else slept[first] >= 1


def test_a_word_for_each_cause_and_no_flood(tmp_path, capfd):
    """Sixteen workers, seven tries each, and reasons that differ in their numbers."""

    def behave(body, call):
        if call <= 6:
            return Said({"error": {"message": f"try again in {call}.{len(server.bodies)} s"}}, 503 if call % 2 else 429)
        return Said(completion("x"))

    with serving(behave) as server:
        _, came = ask(tmp_path, prompts(16), server.url, concurrency=16)
    assert set(came.values()) == {"x"}
    lines = waited(capfd.readouterr().err)
    assert sorted(line[:12] for line in lines) == ["waiting: 429", "waiting: 503"]
    assert all(re.fullmatch(r"waiting: \d{3}: try again in [\d.]+ s, \d+ s", line) for line in lines)


def test_nothing_is_said_while_others_are_answered(tmp_path, capfd):
    def behave(body, call):
        if body["messages"][0]["content"] == "P0" and call <= 3:
            return Said({"error": {"message": "later"}}, 500)
        return Said(completion("x"))

    with serving(behave) as server:
        ask(tmp_path, prompts(16), server.url, concurrency=2)
    assert waited(capfd.readouterr().err) == []


def test_a_rate_limit_that_a_reply_tells_of_is_said(tmp_path, capfd):
    headers = (("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s"))
    with serving(lambda body, call: Said(completion("x"), headers=headers)) as server:
        ask(tmp_path, ["a"], server.url)
    assert waited(capfd.readouterr().err) == ["waiting: the server's rate limit, 360 s"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_has_one_line_that_changes(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    waiting = Waiting()
    waiting.note("429: slow\x1b[2J down", 12)
    waiting.note("429: slow down", 9)
    waiting.note("503: " + "x" * 100, 9)
    shown = terminal.getvalue()
    assert "\n" not in shown
    assert "\x1b[2J" not in shown
    lines = shown.split("\r")[1:]
    assert lines[1] == "waiting: 429: slow down, 9 s\x1b[K"
    assert len(lines) == 3
    assert all(len(line.removesuffix("\x1b[K")) <= 39 for line in lines)


def test_what_came_ends_the_wait(capsys):
    waiting = Waiting()
    waiting.note("429: a", 3)
    waiting.end()
    waiting.note("429: a", 3)
    assert capsys.readouterr().err == ""
    waiting.note("429: a", 4.5)
    waiting.note("429: b", 30)
    waiting.note("the connection failed (a)", 30)
    waiting.note("the connection failed (b)", 30)
    assert waited(capsys.readouterr().err) == ["waiting: 429: a, 4 s", "waiting: the connection failed (a), 30 s"]
