"""Ctrl-C while calls are made: those under way come back and are kept, and nothing is bought twice."""

import asyncio
import os
import re
import signal
import threading
import time

import pytest

pytest.importorskip("openai")

from tests.oracle.cells import fast_time
from tests.oracle.server import Said, completion, serving
from tests.oracle.test_ask import ask, prompts
from tunescope.oracle.journal import Journal


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_calls_under_way_come_back_and_nothing_is_bought_twice(tmp_path, capfd):
    def behave(body, call):
        if len(server.bodies) == 6:
            interrupt()
        return Said(completion("x"), after=0.2)

    handler = signal.getsignal(signal.SIGINT)
    with serving(behave) as server:
        with pytest.raises(KeyboardInterrupt):
            ask(tmp_path, prompts(30), server.url, concurrency=4)
        n_asked = len(server.bodies)
        assert 6 <= n_asked <= 8
        with Journal(tmp_path / "journal.sqlite") as journal:
            assert len(journal) == n_asked
        server.behave = lambda body, call: Said(completion("x"))
        came = ask(tmp_path, prompts(30), server.url)[1]
        assert sum(server.calls.values()) == len(came) == 30
    assert signal.getsignal(signal.SIGINT) is handler
    said = re.fullmatch(
        r"interrupted: (\d) calls? under way may come back for 10 s; Ctrl-C again ends at once\n"
        r"(\d) of (\d) came back; their replies are kept\n",
        capfd.readouterr().err,
    )
    assert said is not None
    assert 1 <= int(said[1]) == int(said[2]) == int(said[3]) <= 4


def test_they_have_ten_seconds(tmp_path, capfd):
    """Of the event loop, which runs fast here."""

    def behave(body, call):
        if len(server.bodies) == 2:
            interrupt()
        return Said(completion("x"), after=1.5 if body["messages"][0]["content"] == "P1" else 0.0)

    with serving(behave) as server, fast_time():
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            ask(tmp_path, prompts(9), server.url, concurrency=1, timeout=1e6)
        assert time.monotonic() - began < 1.2
        with Journal(tmp_path / "journal.sqlite") as journal:
            assert (len(journal), len(server.bodies)) == (1, 2)
    assert "0 of 1 came back" in capfd.readouterr().err


def test_a_second_one_ends_at_once(tmp_path):
    def behave(body, call):
        if len(server.bodies) == 1:
            interrupt()
            threading.Timer(0.1, interrupt).start()
        return Said(completion("x"), after=1.5)

    with serving(behave) as server:
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            ask(tmp_path, prompts(9), server.url, concurrency=1)
        assert time.monotonic() - began < 1.2


def test_one_while_the_server_is_waited_for_ends_at_once(tmp_path, capfd):
    """No call is under way, and none begins."""
    with serving(lambda body, call: Said({}, 503)) as server:

        async def sleep(seconds):
            interrupt()
            await asyncio.sleep(60)

        with pytest.raises(KeyboardInterrupt):
            ask(tmp_path, ["a"], server.url, sleep)
        assert len(server.bodies) == 1
    assert "interrupted" not in capfd.readouterr().err


def test_outside_the_main_thread_it_is_nobodys(tmp_path):
    came = []
    with serving(lambda body, call: Said(completion("x"))) as server:
        thread = threading.Thread(target=lambda: came.append(ask(tmp_path, ["a"], server.url)[1]))
        thread.start()
        thread.join()
    assert came == [{"a": "x"}]
