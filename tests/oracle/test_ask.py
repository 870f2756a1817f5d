"""The journal, the rate limit and the budget, against a server that misbehaves: nothing lost, nothing asked twice."""

import asyncio
import json
import sqlite3
import time
from contextlib import ExitStack
from random import Random
from threading import Event

import pytest

pytest.importorskip("openai")

from tests.oracle.server import Said, completion, serving
from tunescope.errors import RunError, ServerRefusal, SettingsError, TunescopeError, WorkError
from tunescope.oracle.api import seconds_of
from tunescope.oracle.call_export import CallExport
from tunescope.oracle.connect import make_caller, resolve_model
from tunescope.oracle.journal import Journal, call_key
from tunescope.oracle.pool import ask_all
from tunescope.oracle.request import Request
from tunescope.oracle.retry import EXTRA_RETRIES, MAX_TRIES
from tunescope.oracle.settings import OracleSettings, validate_oracle

KEY = "sk-planted-0123456789"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


async def no_wait(seconds):
    await asyncio.sleep(0)


def ask(folder, prompts, url, sleep=no_wait, **settings):
    """Ask about each prompt; return the caller and what came: a text, or a reason, by prompt."""
    settings = OracleSettings(oracle=url, served_model="tiny", response_format="tags", **settings)
    replies = {}

    async def work(prompt, calls):
        return (await calls.ask(Request.plain(prompt))).text

    def done(prompt, result):
        replies[prompt] = result.value if result.failure is None else result.failure

    with Journal(folder / "journal.sqlite") as journal:
        caller = make_caller(settings, "tiny", journal, sleep=sleep, jitter=Random(0))
        asyncio.run(ask_all(caller, [(prompt, prompt) for prompt in prompts], work, done))
    return caller, replies


def prompts(n):
    return [f"P{i}" for i in range(n)]


def test_replies_are_kept_and_replay_is_free(tmp_path):
    with serving() as server:
        first, came = ask(tmp_path, prompts(30), server.url)
        again, replayed = ask(tmp_path, prompts(30), server.url)
        assert sum(server.calls.values()) == 30
    assert came == replayed == {f"P{i}": f"1: P{i}" for i in range(30)}
    assert (first.n_made, first.n_replayed, again.n_made, again.n_replayed) == (30, 0, 0, 30)
    assert (again.budget.prompt_tokens, again.budget.completion_tokens) == (150, 60)
    assert not (tmp_path / "journal.sqlite-wal").exists()
    rows = sqlite3.connect(tmp_path / "journal.sqlite").execute("SELECT key, body, seconds FROM replies").fetchall()
    asked = [{"role": "user", "content": "P7"}]
    (body,) = [
        body for key, body, _ in rows if key == call_key(asked, "tiny", {"temperature": 0.0, "max_tokens": 1024})
    ]
    assert json.loads(body)["choices"][0]["message"]["content"] == "1: P7"
    assert all(0 < seconds < 5 for _, _, seconds in rows)


@pytest.mark.parametrize("word", ["abort", "error", "insufficient_system_resource", "TIMEOUT"])
def test_a_reply_that_the_server_broke_off_is_asked_for_again(tmp_path, word):
    """Also where a run ended with it: it is in the journal and was paid for, but it is no reply."""

    def breaks_off(body, call):
        return Said(completion("A piece", word)) if call <= MAX_TRIES + 1 else Said(completion("Whole"))

    with serving(breaks_off) as server:
        first, came = ask(tmp_path, ["P0"], server.url)
        again, whole = ask(tmp_path, ["P0"], server.url)
        assert sum(server.calls.values()) == MAX_TRIES + 2
    assert came == {"P0": f"the server broke the reply off (finish_reason {word}), in the last of 7 tries"}
    assert (whole, first.budget.n_replies, again.budget.n_replies) == ({"P0": "Whole"}, MAX_TRIES, MAX_TRIES + 2)


def test_what_decides_a_reply_is_in_the_key():
    asked = [{"role": "user", "content": "a"}]
    keys = [
        call_key(asked, "m", {"temperature": 0}),
        call_key([{"role": "user", "content": "b"}], "m", {"temperature": 0}),
        call_key(asked, "n", {"temperature": 0}),
        call_key(asked, "m", {"temperature": 1}),
        call_key(asked, "m", {"temperature": 0}, {"type": "object"}),
        call_key(asked, "m", {"temperature": 0}, None, 1),
    ]
    assert len(set(keys)) == 6
    assert keys[0] == call_key([{"content": "a", "role": "user"}], "m", {"temperature": 0})


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"temperature": 1.0, "seed": 7}, [7, 8, 10]),
        ({"temperature": 1.0, "seed": -1}, [None, None, None]),
        ({"temperature": 0.0, "seed": 7}, [None, None, None]),
    ],
)
def test_each_sample_has_a_seed_of_its_own(tmp_path, settings, sent):
    """And one key each, of which the first sample's is what it was when all had the same seed."""

    async def work(prompt, calls):
        for sample in (0, 1, 3):
            await calls.ask(Request.plain(prompt), sample)

    with serving() as server, Journal(tmp_path / "j") as journal:
        settings = OracleSettings(oracle=server.url, served_model="tiny", response_format="tags", **settings)

        for _ in range(2):
            asyncio.run(ask_all(make_caller(settings, "tiny", journal), [("a", "a")], work, lambda key, result: None))
        assert [body.get("seed") for body in server.bodies] == sent
        asked = [{"role": "user", "content": "a"}]
        decoding = {"temperature": settings.temperature, "max_tokens": 1024}
        told = [decoding | ({} if seed is None else {"seed": seed}) for seed in sent]
        keys = [call_key(asked, "tiny", each, None, sample) for each, sample in zip(told, (0, 1, 3), strict=True)]
        assert len(set(keys)) == len(journal) == 3
        assert all(len(journal.bodies(key)) == 1 for key in keys)
        if sent[0] == 7:
            assert keys[0] == "05a3c635a018fb04b050e3cb36e7c870"


def test_a_file_that_is_no_journal(tmp_path):
    (tmp_path / "j").write_text("not a database, but long enough to look like something")
    with pytest.raises(RunError, match="found no journal"):
        Journal(tmp_path / "j")


def test_the_same_prompt_is_asked_once_even_when_its_reply_is_useless(tmp_path):
    with serving(lambda body, call: Said(completion(""), after=0.05)) as server:
        _, came = ask(tmp_path, ["a", "b", "a", "a"], server.url)
        assert server.calls == {"a": 1, "b": 1}
    assert came == {"a": "", "b": ""}


@pytest.mark.slow
@pytest.mark.parametrize(
    "said",
    [
        Said({"error": {"message": "slow down"}}, 429, (("retry-after", "0.01"),)),
        Said({"error": {"message": "slow down"}}, 429),
        Said({"error": {"message": "oh"}}, 500),
        Said(b"<html>", 503),
        Said(completion("late"), after=0.6),
        Said(b'{"choices": [', length=1000),
        Said({"error": {"message": "overloaded"}}),
        Said(b""),
        Said(b'{"choices": [{"mess'),
        Said(b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'),
        Said({"choices": [{"message": "hello"}]}),
        Said(None, length=-1),
        Said(b"what?", length=-2),
    ],
    ids=(
        "429-after",
        "429",
        "500",
        "503",
        "hanging",
        "half-sent",
        "error",
        "empty",
        "cut",
        "not-utf8",
        "no-object",
        "reset",
        "no",
    ),
)
def test_faults_that_pass(tmp_path, said):
    """Every third call of a prompt's first two goes wrong; every row is answered, and none twice."""

    def behave(body, call):
        number = int(body["messages"][-1]["content"][1:])
        return said if number % 3 == 0 and call <= 2 else Said(completion(f"fine {number}"))

    with serving(behave) as server:
        caller, came = ask(tmp_path, prompts(12), server.url, timeout=0.3, concurrency=4)
        assert came == {f"P{i}": f"fine {i}" for i in range(12)}
        assert server.calls == {f"P{i}": 3 if i % 3 == 0 else 1 for i in range(12)}
        assert caller.n_made == 20
        again, replayed = ask(tmp_path, prompts(12), server.url)
        assert (replayed, again.n_made) == (came, 0)


@pytest.mark.parametrize(("status", "tries"), [(400, 1), (413, 1), (422, 1), (500, MAX_TRIES)])
def test_a_row_fails_alone(tmp_path, status, tries):
    bad = Said({"error": {"message": "no"}}, status)
    with serving(lambda body, call: bad if body["messages"][0]["content"] == "P3" else Said(completion("x"))) as server:
        caller, came = ask(tmp_path, prompts(6), server.url)
        assert server.calls["P3"] == tries
    assert caller.halt.error is None
    assert str(came.pop("P3")) == f"{status}: no" + (f", in the last of {MAX_TRIES} tries" if tries > 1 else "")
    assert set(came.values()) == {"x"}


def test_a_prompt_that_is_too_long_fails_with_its_length(tmp_path):
    long = "word " * 4000
    bad = Said({"error": {"message": "maximum context length is 4096 tokens"}}, 400)
    with serving(lambda body, call: bad if len(body["messages"][0]["content"]) > 9999 else Said(completion("x"))) as s:
        _, came = ask(tmp_path, ["a", long], s.url)
    assert came["a"] == "x"
    assert str(came[long]) == "400: maximum context length is 4096 tokens (about 5,000 tokens in the prompt)"


def test_a_server_that_asks_for_no_wait_is_waited_for(tmp_path):
    naps = []

    async def sleep(seconds):
        naps.append(seconds)

    full = Said({"error": {"message": "full"}}, 429, (("retry-after", "0"),))
    with serving(lambda body, call: full if call < MAX_TRIES else Said(completion("x"))) as server:
        _, came = ask(tmp_path, ["a"], server.url, sleep)
    assert came == {"a": "x"}
    assert len(naps) == MAX_TRIES - 1
    assert sum(naps) > 5


def test_a_row_has_a_deadline(tmp_path):
    def behave(body, call):
        return Said(completion("x"), after=0.4 if body["messages"][0]["content"] == "P0" else 0.0)

    with serving(behave) as server:
        _, came = ask(tmp_path, prompts(3), server.url, timeout=0.1, deadline=0.25)
    assert str(came["P0"]) == "not done within the row's 0.25 s; the last try: no reply in 0.1 s"
    assert (came["P1"], came["P2"]) == ("x", "x")


def test_the_first_twenty_alike_stop_the_work(tmp_path):
    with serving(lambda body, call: Said({"error": {"message": "no"}}, 400)) as server:
        caller, came = ask(tmp_path, prompts(100), server.url, concurrency=4)
        assert 20 <= sum(server.calls.values()) < 40  # others go on beside a slow one
    assert str(caller.halt.error) == "the first 20 calls all fail for one reason: 400: no"
    assert len(came) < 40


@pytest.mark.parametrize("words", ["too long", "flagged by the content filter"])
def test_many_rows_at_fault_at_the_start_stop_nothing(tmp_path, words):
    """Each for what it holds: the next one may be answered."""
    bad = Said({"error": {"message": words}}, 400)
    with serving(
        lambda body, call: Said(completion("x")) if body["messages"][0]["content"] == "P29" else bad
    ) as server:
        caller, came = ask(tmp_path, prompts(30), server.url, concurrency=1)
    assert (caller.halt.error, len(came), came["P29"]) == (None, 30, "x")


STOPS = {
    "key": Said({"error": {"message": "Incorrect API key provided"}}, 401),
    "account": Said({"error": {"message": "Your credit balance is too low"}}, 400),
    "model": Said({"error": {"message": 'model "tiny" not found, try pulling it first'}}, 404),
    "page": Said(b"<html><title>Sign in</title>"),
}


@pytest.mark.parametrize("fault", STOPS)
@pytest.mark.parametrize("n_answered", [0, 10])
def test_what_no_row_gets_past_stops_at_the_first_call_and_the_same_command_goes_on(tmp_path, fault, n_answered):
    """Whenever it comes: calls under way come back and are kept, none begins, and nothing is bought twice."""

    def behave(body, call):
        number = int(body["messages"][0]["content"][1:])
        if number == n_answered:
            return STOPS[fault]
        return Said(completion("x"), after=0.5 if number > n_answered else 0.0)  # the refusal comes first

    with serving(behave) as server:
        caller, came = ask(tmp_path, prompts(30), server.url, concurrency=4)
        assert (type(caller.halt.error), caller.halt.error.fault) == (ServerRefusal, fault)
        n_asked = sum(server.calls.values())
        assert n_answered < n_asked <= n_answered + 4
        assert len(came) == n_asked - 1  # all but the one that failed: it isn't an item's failure
        server.behave = lambda body, call: Said(completion("x"))
        caller, came = ask(tmp_path, prompts(30), server.url, concurrency=4)
        assert sum(server.calls.values()) == 31
    assert (caller.halt.error, len(came), set(came.values())) == (None, 30, {"x"})


def test_a_403_is_the_rows_once_any_call_was_answered(tmp_path):
    """Also by one that was under way when it came; then no call begins before that one is back."""
    under_way = Event()

    def behave(body, call):
        if body["messages"][0]["content"] == "P0":
            under_way.wait(30)
            return Said({"error": {"message": "Forbidden"}}, 403)
        under_way.set()
        return Said(completion("x"), after=0.1)

    with serving(behave) as server:
        caller, came = ask(tmp_path, prompts(6), server.url, concurrency=3)
        assert caller.halt.error is None
        assert came == {"P0": "403: Forbidden", **{f"P{i}": "x" for i in range(1, 6)}}
        caller, came = ask(tmp_path, ["P0"], server.url)
    assert (caller.halt.error, came) == (None, {"P0": "403: Forbidden"})


def test_many_403_in_a_row_are_the_keys(tmp_path):
    """An address that is shut out after some calls: the rows aren't at fault."""

    def behave(body, call):
        is_open = int(body["messages"][0]["content"][1:]) in (0, 19)
        return Said(completion("x")) if is_open else Said(b"error code: 1020", 403)

    with serving(behave) as server:
        caller, came = ask(tmp_path, prompts(60), server.url, concurrency=1)
    assert (len(came), caller.halt.error.fault) == (20 + 19, "key")


def test_a_403_is_the_keys_where_no_call_was_answered(tmp_path):
    with serving(lambda body, call: Said({"error": {"message": "Forbidden"}}, 403, after=0.05)) as server:
        caller, came = ask(tmp_path, prompts(20), server.url, concurrency=3)
        assert sum(server.calls.values()) <= 3
    assert (came, caller.halt.error.fault) == ({}, "key")
    assert str(caller.halt.error).startswith("the server refuses the key in OPENAI_API_KEY: 403: Forbidden; set ")


@pytest.mark.parametrize(
    ("said", "settings"),
    [(Said({"error": {"message": "oh"}}, 500), {}), (Said(b"", 503, after=0.01), {"deadline": 0.02})],
)
def test_a_server_that_fails_many_after_it_answered_stops_the_work(tmp_path, said, settings):
    """It lists its models and answers nothing else: that isn't the rows' fault, and no finished run is made of it."""
    with serving() as server:
        ask(tmp_path, prompts(5), server.url)
        server.behave = lambda body, call: said
        caller, came = ask(tmp_path, prompts(60), server.url, concurrency=1, **settings)
        assert isinstance(caller.halt.error, WorkError)
        assert str(caller.halt.error).startswith("20 in a row aren't answered: ")
        assert len(came) == 5 + 19
        server.behave = lambda body, call: Said(completion("x"))
        caller, came = ask(tmp_path, prompts(60), server.url)
        assert (caller.halt.error, len(came), came["P59"]) == (None, 60, "x")


def test_many_refusals_after_a_reply_stop_nothing(tmp_path):
    """Also where the work is begun again and only the refused are asked: what was answered before counts."""

    def behave(body, call):
        if body["messages"][0]["content"] == "P5":
            return Said(completion("x"), after=0.1)
        return Said({"error": {"message": "too long"}}, 400)

    with serving(behave) as server:
        for _ in range(2):
            caller, came = ask(tmp_path, prompts(60), server.url)
            assert caller.halt.error is None
            assert (len(came), came["P5"]) == (60, "x")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_stops_at_once_and_is_nowhere(tmp_path, status):
    with serving(lambda body, call: Said({"error": {"message": f"bad {KEY}"}}, status)) as server:
        caller, _ = ask(tmp_path, prompts(50), server.url, concurrency=2)
        assert sum(server.calls.values()) <= 4
    assert str(caller.halt.error).startswith(f"the server refuses the key in OPENAI_API_KEY: {status}: bad …; set")
    assert KEY not in repr(caller.halt.error)
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.slow
def test_a_row_that_always_hangs_fails_alone_even_as_the_last(tmp_path):
    def behave(body, call):
        return Said(completion("x"), after=0.3 if body["messages"][0]["content"] == "P0" else 0.0)

    with serving(behave) as server:
        ask(tmp_path, prompts(4)[1:], server.url)
        caller, came = ask(tmp_path, prompts(4), server.url, timeout=0.1)
    assert caller.halt.error is None
    assert str(came.pop("P0")) == f"no reply in 0.1 s, in the last of {MAX_TRIES} tries"
    assert set(came.values()) == {"x"}


def test_a_key_that_a_reply_repeats_is_not_kept(tmp_path):
    with serving(lambda body, call: Said(completion(f"your key is {KEY}"))) as server:
        _, came = ask(tmp_path, ["a"], server.url)
    assert came == {"a": "your key is …"}
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_server_that_is_full_for_good_stops_the_work(tmp_path):
    with serving(lambda body, call: Said(b"<html>", 503)) as server:
        caller, _ = ask(tmp_path, prompts(40), server.url, concurrency=4)
    assert isinstance(caller.halt.error, WorkError)
    assert str(caller.halt.error).startswith("503: a web page, in the last of 15 tries")


@pytest.mark.slow
def test_a_server_that_is_full_for_all_is_waited_for_longer(tmp_path):
    """One that has no room for one row while it answers others isn't: that row has 7 tries."""
    said = Said(b"<html>", 503)
    away = MAX_TRIES + EXTRA_RETRIES - 1
    with serving(lambda body, call: said if call <= away else Said(completion("x"))) as server:
        caller, came = ask(tmp_path, prompts(4), server.url, concurrency=4)
        assert (caller.halt.error, set(came.values()), set(server.calls.values())) == (None, {"x"}, {away + 1})

        def behave(body, call):
            return said if body["messages"][0]["content"] == "P9" else Said(completion("x"))

        server.behave = behave
        caller, came = ask(tmp_path, prompts(300)[4:], server.url, concurrency=8)
        assert (caller.halt.error, server.calls["P9"]) == (None, MAX_TRIES)
    assert str(came["P9"]).endswith(f", in the last of {MAX_TRIES} tries")


@pytest.mark.slow
def test_a_server_that_goes_away_stops_the_work_and_one_that_comes_back_goes_on(tmp_path):
    with serving() as server:
        ask(tmp_path, prompts(5), server.url)
        port = int(server.url.removesuffix("/v1").rpartition(":")[2])
    with serving(lambda body, call: Said(b"", length=-1)) as dead:
        caller, _ = ask(tmp_path, prompts(40), dead.url)
        assert sum(dead.calls.values()) <= (MAX_TRIES + EXTRA_RETRIES) * 40
    assert isinstance(caller.halt.error, WorkError)
    assert "the connection failed" in str(caller.halt.error)
    with serving(port=port) as server:
        caller, came = ask(tmp_path, prompts(40), server.url)
        assert sum(server.calls.values()) == 35
    assert (caller.halt.error, len(came)) == (None, 40)


def test_a_restart_is_survived(tmp_path):
    """The server goes away while rows wait, and comes back in the waits between tries."""
    with ExitStack() as back, ExitStack() as up:
        server = up.enter_context(serving())
        port = int(server.url.removesuffix("/v1").rpartition(":")[2])
        answer = Said(completion("1: P0"))
        server.behave = lambda body, call: answer if body["messages"][0]["content"] == "P0" else Said(b"", length=-1)
        naps = []

        async def sleep(seconds):
            naps.append(seconds)
            if len(naps) == 8:
                up.close()
            if len(naps) == 16:
                back.enter_context(serving(port=port))
            await asyncio.sleep(0.01)

        caller, came = ask(tmp_path, prompts(8), server.url, sleep)
    assert (caller.halt.error, set(came)) == (None, set(prompts(8)))
    assert came["P2"] == "1: P2"


@pytest.mark.slow
def test_fewer_calls_at_a_time_while_a_server_says_too_many(tmp_path):
    """The server takes two at a time: calls over that get 429."""

    def behave(body, call):
        if server.at_work > 2:
            return Said({"error": {"message": "too many"}}, 429, (("retry-after", "0.01"),))
        return Said(completion("x"), after=0.02)

    with serving(behave) as server:
        caller, came = ask(tmp_path, prompts(60), server.url, asyncio.sleep, concurrency=16)
        calls = sum(server.calls.values())
    assert set(came.values()) == {"x"}
    assert caller.rate_limit.limit < 8
    assert calls < 60 * 3


def test_retry_after_closes_the_server_for_all(tmp_path):
    times = []

    def behave(body, call):
        times.append(time.monotonic())
        if len(times) == 1:
            return Said({"error": {"message": "later"}}, 429, (("retry-after", "0.4"),))
        return Said(completion("x"))

    with serving(behave) as server:
        _, came = ask(tmp_path, prompts(4), server.url, asyncio.sleep, concurrency=1)
    assert set(came.values()) == {"x"}
    assert times[1] - times[0] >= 0.4


def test_the_last_retry_after_of_a_row_that_fails_closes_the_server_too(tmp_path):
    """The row has no try left; the next one waits all the same. Another reply shows that the server is there."""
    times = []

    def behave(body, call):
        times.append(time.monotonic())
        if body["messages"][0]["content"] != "P0":
            return Said(completion("x"))
        return Said({"error": {"message": "no"}}, 500, (("retry-after", "0.4" if call == MAX_TRIES else "0"),))

    with serving(behave) as server:
        _, came = ask(tmp_path, prompts(2), server.url, concurrency=1)
    assert came == {"P0": f"500: no, in the last of {MAX_TRIES} tries", "P1": "x"}
    assert times[MAX_TRIES] - times[MAX_TRIES - 1] >= 0.4


def test_rate_limit_headers_close_the_server_before_it_refuses(tmp_path):
    times = []

    def behave(body, call):
        times.append(time.monotonic())
        headers = (("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "300ms"))
        return Said(completion("x"), headers=headers if len(times) == 1 else ())

    with serving(behave) as server:
        _, came = ask(tmp_path, prompts(3), server.url, asyncio.sleep, concurrency=1)
    assert set(came.values()) == {"x"}
    assert times[1] - times[0] >= 0.3


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20ms", 0.02), ("1.5s", 1.5), ("6m0s", 360.0), ("1h2m3s", 3723.0), ("7", 7.0), ("soon", 0.0), ("", 0.0)],
)
def test_durations(text, seconds):
    assert seconds_of(text) == pytest.approx(seconds)


def test_a_wait_that_is_too_long_stops_the_work(tmp_path):
    with serving(lambda body, call: Said({}, 429, (("retry-after", "7200"),))) as server:
        caller, _ = ask(tmp_path, prompts(3), server.url)
    assert str(caller.halt.error).endswith("the server asks to wait 7200 s")


def test_the_budget_is_never_passed_and_more_of_it_goes_on(tmp_path):
    """Each reply uses 5 + 2 tokens; a call may use 3 + 1,024 + 8: none begins once 56 + 1,035 > 1,084."""
    asked = prompts(30)[10:]
    with serving() as server:
        caller, came = ask(tmp_path, asked, server.url, max_tokens_total=1084, max_new_tokens=8)
        assert isinstance(caller.halt.error, WorkError)
        assert str(caller.halt.error) == (
            "the budget has no room for another call (56 tokens; a call may use up to 1,035: a token for each of 3 "
            "bytes of prompt, 1,024 of the server's own and a reply of 8); raise --max-tokens-total or --max-cost"
        )
        assert sum(server.calls.values()) == len(came) == 8
        caller, came = ask(tmp_path, asked, server.url, max_tokens_total=5000, max_new_tokens=8)
        assert sum(server.calls.values()) == len(came) == 20
    assert caller.budget.tokens == 140


def test_money(tmp_path):
    """5 tokens in at 2, 2 out at 10 per million: 30 millionths a call; one may cost 1,026 * 2 + 8 * 10 = 2,132."""
    with serving() as server:
        caller, _ = ask(tmp_path, prompts(20), server.url, price="2,10", max_cost=2210e-6, max_new_tokens=8)
        assert sum(server.calls.values()) == 3
    assert caller.budget.cost == pytest.approx(90e-6)
    assert "21 tokens, 0.0001 spent" in str(caller.halt.error)


@pytest.mark.parametrize(("usage", "prompt"), [(None, 26), ("many", 26), ({"prompt_tokens": 5}, 5)])
def test_a_server_that_counts_no_tokens_is_counted_by_bytes(tmp_path, usage, prompt):
    """40 bytes in, 10 tokens and 16 of template; 8 out, 2 tokens; the same from the journal."""
    silent = {**completion("12345678"), "usage": usage}
    with serving(lambda body, call: Said(silent)) as server:
        for _ in range(2):
            caller, _ = ask(tmp_path, ["x" * 40], server.url)
            assert (caller.budget.prompt_tokens, caller.budget.completion_tokens) == (prompt, 2)
            assert caller.budget.describe() == f"{prompt + 2} tokens (estimated for 1 call)"
        assert sum(server.calls.values()) == 1


def test_a_reply_without_text_is_paid_for_all_the_same(tmp_path):
    """A model that thinks may spend all its tokens before it says anything."""
    spent = {**completion(None, "length"), "usage": {"prompt_tokens": 5, "completion_tokens": 1024}}
    with serving(lambda body, call: Said(spent)) as server:
        for _ in range(2):
            caller, came = ask(tmp_path, ["a"], server.url)
            assert str(came["a"]) == "a reply without text (finish_reason length)"
            assert caller.budget.tokens == 1029
        assert sum(server.calls.values()) == 1


def test_a_journal_that_cant_be_written_stops_the_work(tmp_path):
    """Something else spoiled the file: no reply is taken for kept, and no more are bought."""

    def behave(body, call):
        sqlite3.connect(tmp_path / "journal.sqlite").execute("DROP TABLE IF EXISTS replies")
        return Said(completion("x"))

    with serving(behave) as server:
        caller, came = ask(tmp_path, prompts(20), server.url, concurrency=1)
        assert sum(server.calls.values()) == 1
    assert came == {}
    assert "journal.sqlite: replies can't be kept (no such table" in str(caller.halt.error)


def test_what_the_system_refuses_stops_the_work_in_one_sentence(tmp_path):
    def write(key, body):
        raise OSError(28, "No space left on device", "batch.jsonl")

    settings = OracleSettings(oracle="http://127.0.0.1:9", served_model="tiny", response_format="tags")
    with Journal(tmp_path / "j") as journal:
        caller = make_caller(settings, "tiny", journal, CallExport("tiny", write))
        items = [(prompt, Request.plain(prompt)) for prompt in prompts(3)]
        asyncio.run(ask_all(caller, items, lambda request, calls: calls.ask(request), lambda key, result: None))
        stopped = caller.halt.error
    assert isinstance(stopped, WorkError)
    assert str(stopped) == "[Errno 28] No space left on device: 'batch.jsonl'"


def test_a_disk_too_full_to_show_the_progress_stops_the_work_too(tmp_path):
    async def work(prompt, calls):
        return prompt

    def show(key, result):
        raise OSError(28, "No space left on device")

    settings = OracleSettings(oracle="http://127.0.0.1:9", served_model="tiny", response_format="tags")
    with Journal(tmp_path / "j") as journal:
        caller = make_caller(settings, "tiny", journal)
        asyncio.run(ask_all(caller, [("a", "a"), ("b", "b")], work, show))
    assert isinstance(caller.halt.error, WorkError)


def test_the_servers_only_model(tmp_path):
    with serving() as server:
        assert resolve_model(OracleSettings(oracle=server.url)) == "tiny"
        assert resolve_model(OracleSettings(oracle=server.url, served_model="other")) == "other"
    with serving(models=("a", "b")) as server, pytest.raises(SettingsError, match=r"2 models .a, b.*--served-model"):
        resolve_model(OracleSettings(oracle=server.url))
    with pytest.raises(TunescopeError, match=r"no server answers at .* name another with --oracle$"):
        resolve_model(OracleSettings(oracle=server.url))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_cost": 1.0}, "--max-cost without --price"),
        ({"price": "1"}, "expected IN,OUT per million tokens"),
        ({"price": "1,-2"}, "expected IN,OUT per million tokens"),
        ({"oracle": "gpt-4"}, "--oracle gpt-4: expected http://HOST:PORT/v1, local, local:FILE.gguf or fake:FILE"),
    ],
)
def test_settings_that_cant_work(settings, said):
    with pytest.raises(SettingsError, match=said.replace("(", r"\(")):
        validate_oracle(OracleSettings(**{"oracle": "http://h", **settings}))
