"""Several processes with one journal: nothing is bought twice, and each budget counts what the others use."""

import asyncio
import json
import os
import subprocess
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.tools import examples
from tunescope.errors import WorkError
from tunescope.oracle.api import RawReply
from tunescope.oracle.budget import Budget
from tunescope.oracle.caller import Caller
from tunescope.oracle.holders import Holders, started_at
from tunescope.oracle.journal import Journal
from tunescope.oracle.journal_file import open_file, transaction
from tunescope.oracle.pool import ask_all
from tunescope.oracle.request import Request

DECODING = {"max_tokens": 50}


class Answering:
    """Answers with the prompt's length, after a few turns of the loop; counts what it is paid for."""

    max_concurrency = None

    def __init__(self, usage=None, wait=None):
        self.usage, self.wait, self.asked = usage or {"prompt_tokens": 4, "completion_tokens": 6}, wait, []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def send(self, messages, options):
        self.asked.append(messages[-1]["content"])
        for _ in range(len(self.asked) % 5):
            await asyncio.sleep(0)
        if self.wait is not None:
            await self.wait.wait()
        choice = {"message": {"content": f"to {messages[-1]['content']}"}, "finish_reason": "stop"}
        return RawReply(json.dumps({"choices": [choice], "usage": self.usage}).encode())

    async def is_answering(self):
        return True


async def no_wait(seconds):
    await asyncio.sleep(0)


def caller_of(journal, transport, limit=None, concurrency=8):
    return Caller(
        "m", transport, DECODING, concurrency, budget=Budget(max_tokens=limit), journal=journal, sleep=no_wait
    )


async def ask(caller, prompts):
    """Ask about each prompt; return the texts and failures by prompt."""
    results = {}

    async def work(prompt, calls):
        return (await calls.ask(Request.plain(prompt))).text

    def done(prompt, result):
        results[prompt] = result.value if result.failure is None else result.failure

    await ask_all(caller, [(prompt, prompt) for prompt in prompts], work, done)
    return results


def prompts(n):
    return [f"P{number:02}" for number in range(n)]


def together(path, transport, lists, limit=None):
    """Ask in several processes' stead side by side; return the callers and what each got."""

    async def run(callers):
        return await asyncio.gather(*(ask(caller, asked) for caller, asked in zip(callers, lists, strict=True)))

    with ExitStack() as stack:
        callers = [caller_of(stack.enter_context(Journal(path)), transport, limit) for _ in lists]
        return callers, asyncio.run(run(callers))


def count(path, what):
    with Journal(path) as journal, journal.changing():
        return journal._file.execute(f"SELECT count(*) FROM {what}").fetchone()[0]


def test_two_processes_buy_each_reply_once(tmp_path):
    transport = Answering()
    callers, results = together(tmp_path / "j", transport, [prompts(30), prompts(30)])
    assert sorted(transport.asked) == prompts(30)
    assert results[0] == results[1] == {prompt: f"to {prompt}" for prompt in prompts(30)}
    assert sum(caller.n_made for caller in callers) == sum(caller.n_replayed for caller in callers) == 30
    assert [caller.budget.tokens for caller in callers] == [300, 300]
    assert (count(tmp_path / "j", "reservations"), count(tmp_path / "j", "holders")) == (0, 0)


@given(
    lists=st.lists(st.lists(st.integers(0, 20), max_size=20, unique=True), min_size=2, max_size=3),
    limit=st.integers(1000, 6000),
    n_tokens=st.integers(0, 50),
)
@hypothesis_settings(max_examples=examples(8), deadline=None)
def test_budgets_hold_for_all_processes_together(tmp_path_factory, lists, limit, n_tokens):
    transport = Answering({"prompt_tokens": 900, "completion_tokens": n_tokens})
    path = tmp_path_factory.mktemp("shared") / "j"
    callers, results = together(path, transport, [[f"P{each}" for each in asked] for asked in lists], limit)
    assert len(transport.asked) == len({*transport.asked})
    truth = 900 + (n_tokens or 1)  # 0 can't be true, and is estimated
    assert len(transport.asked) * truth <= limit
    for caller, asked, result in zip(callers, lists, results, strict=True):
        stopped = caller.halt.error
        assert len(result) == len(asked) or (isinstance(stopped, WorkError) and "has no room" in str(stopped))
        assert stopped is None or limit - len(transport.asked) * truth < 1026 + 50 + 3


def test_a_killed_process_lets_go_of_its_calls_and_they_stay_counted(tmp_path):
    done = subprocess.Popen(["true"])
    done.wait()
    with Journal(tmp_path / "j") as journal:
        ours = journal.reservations
        with journal.changing():
            number = ours._holders.enter()
            journal._file.execute("UPDATE holders SET pid = ? WHERE number = ?", (done.pid, number))
            key = caller_key(journal, "P00")
            values = (key, number, 1027, 50)
            journal._file.execute(
                "INSERT INTO reservations (key, holder, prompt, completion) VALUES (?, ?, ?, ?)", values
            )
    transport = Answering()
    callers, results = together(tmp_path / "j", transport, [prompts(2)])
    assert results == [{"P00": "to P00", "P01": "to P01"}]
    assert callers[0].budget.elsewhere == (1027, 50)
    callers, _ = together(tmp_path / "j", transport, [prompts(3)], limit=2170)
    assert str(callers[0].halt.error) == (
        "the budget has no room for another call (20 tokens, and up to 1,077 by calls of other processes or killed "
        "ones; a call may use up to 1,077: a token for each of 3 bytes of prompt, 1,024 of the server's own and a "
        "reply of 50); raise --max-tokens-total or --max-cost"
    )


def caller_key(journal, prompt):
    from tunescope.oracle.call import make_call

    return make_call(Request.plain(prompt).render("tags"), "m", DECODING).key


def test_a_call_that_is_cut_off_is_lost_and_stays_counted(tmp_path):
    async def run(journal):
        caller = caller_of(journal, Answering(wait=asyncio.Event()))
        asking = asyncio.create_task(ask(caller, prompts(2)))
        while len(caller.transport.asked) < 2:
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        return caller

    with Journal(tmp_path / "j") as journal:
        caller = asyncio.run(run(journal))
        assert (caller.budget.reserved, caller.budget.elsewhere) == ((0, 0), (2 * 1027, 2 * 50))
        again = caller_of(journal, Answering())
        assert len(asyncio.run(ask(again, prompts(2)))) == 2
    assert (count(tmp_path / "j", "reservations"), again.budget.tokens) == (2, 20)
    with Journal(tmp_path / "j") as journal:
        assert caller_of(journal, Answering()).budget.elsewhere == (2 * 1027, 2 * 50)


def test_who_waits_for_another_process_stops_with_a_halt(tmp_path):
    async def run(journals):
        slow, waiting = (caller_of(journal, Answering(wait=asyncio.Event())) for journal in journals)
        first = asyncio.create_task(ask(slow, prompts(1)))
        while not slow.transport.asked:
            await asyncio.sleep(0)
        second = asyncio.create_task(ask(waiting, prompts(1)))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not second.done()
        waiting.halt.set(WorkError("enough"))
        assert await second == {}
        slow.transport.wait.set()
        assert await first == {"P00": "to P00"}
        assert waiting.transport.asked == []

    with Journal(tmp_path / "j") as one, Journal(tmp_path / "j") as two:
        asyncio.run(run([one, two]))


@pytest.fixture
def file(tmp_path):
    file = open_file(tmp_path / "j")
    yield file
    file.close()


def enter(file, **more):
    """Write a process into the journal; `more` says what differs from this one."""
    with transaction(file):
        number = Holders(file).enter()
        for name, value in more.items():
            file.execute(f"UPDATE holders SET {name} = ? WHERE number = ?", (value, number))
    return number


def test_a_process_is_there_until_it_ends(file):
    with subprocess.Popen(["sleep", "60"]) as process:
        other = enter(file, pid=process.pid, started=started_at(process.pid))
        holders = Holders(file)
        assert holders.is_there(enter(file))
        assert holders.is_there(other)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is dead, and nobody has asked for it
        assert not holders.is_there(other)
    assert not holders.is_there(other)
    assert not holders.is_there(enter(file, started="1"))  # another process has its number
    assert not holders.is_there(None)
    assert not holders.is_there(999)


@pytest.mark.parametrize(("more", "seconds"), [({"host": "elsewhere"}, 60), ({}, 600)])
def test_without_a_beat_it_is_gone_after_a_while(file, more, seconds):
    now = 0.0
    holders, number = Holders(file, lambda: now), enter(file, **more)
    assert holders.is_there(number)
    now = seconds - 1
    assert holders.is_there(number)
    holders.beat(number)
    assert holders.is_there(number)
    now += seconds - 1
    assert holders.is_there(number)
    now += 1
    assert not holders.is_there(number)
    holders.leave(number)
    assert not holders.is_there(number)
