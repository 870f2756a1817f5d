"""The client: what it asks again, what it doesn't, how long it waits, and that the key stays where it is."""

import asyncio
import math
import time
import traceback
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

import pytest

pytest.importorskip("openai")

from tests.oracle.server import Said, completion, echo, serving
from tunescope.errors import (
    ForbiddenRequest,
    ItemFailed,
    RejectedRequest,
    RetryableError,
    ServerRefusal,
    SettingsError,
    TunescopeError,
    WorkError,
)
from tunescope.oracle.api import base_url, is_url, parameter_of, parse_reply
from tunescope.oracle.body import Body
from tunescope.oracle.client import Client
from tunescope.oracle.connect import served_model
from tunescope.oracle.halt import Halt
from tunescope.oracle.rate_limit import RateLimit
from tunescope.oracle.retry import FIRST_WAIT, LONGEST_WAIT, MAX_TRIES, ItemClock, Retries

KEY = "sk-planted-0123456789"
HI = ({"role": "user", "content": "Hi"},)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ask(url, times=1, timeout=5.0, **options):
    """Ask `times` times; return the replies (or what was raised) and the waits in seconds."""
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    async def run():
        replies = []
        async with Client(url, "tiny", timeout) as client:
            retries = retrying(client, sleep)
            for _ in range(times):
                try:
                    replies.append(await retries.until_answered(lambda: once(client, options), ItemClock(math.inf)))
                except (RejectedRequest, ItemFailed, TunescopeError) as error:
                    replies.append(error)
        return replies

    return asyncio.run(run()), waits


def retrying(client, sleep):
    return Retries(RateLimit(1, Halt(), sleep), client.is_answering, Random(0), extra_retries=0)


async def once(client, options):
    return parse_reply(Body((await client.send(HI, options)).body))


def first(*said):
    """Behave badly in the first calls, well after them."""
    return lambda body, call: said[call - 1] if call <= len(said) else echo(body, call)


def test_a_reply():
    with serving() as server:
        (reply,), waits = ask(server.url, max_tokens=7, temperature=0)
    assert (reply.text, reply.finish_reason) == ("1: Hi", "stop")
    assert reply.usage == {"prompt_tokens": 5, "completion_tokens": 2}
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 7, "temperature": 0}
    assert server.bodies == [asked]
    assert server.keys == [f"Bearer {KEY}"]
    assert waits == []


@pytest.mark.parametrize(
    ("said", "shortest"),
    [
        (Said({"error": {"message": "slow down"}}, 429), FIRST_WAIT / 2),
        (Said(b"<html>", 503), FIRST_WAIT / 2),
        (Said({"error": {"message": "oh"}}, 500), FIRST_WAIT / 2),
        (Said(b'{"choices": [{"mess'), FIRST_WAIT / 2),
        (Said(b"\xff\xfe"), FIRST_WAIT / 2),
        (Said(b""), FIRST_WAIT / 2),
        (Said(b"[]"), FIRST_WAIT / 2),
        (Said({"choices": []}), FIRST_WAIT / 2),
        (Said({"error": {"message": "overloaded"}}), FIRST_WAIT / 2),
        (Said(b'{"choices": [', length=1000), FIRST_WAIT / 2),
        (Said(b"SSH-2.0-OpenSSH\r\n\r\n", length=-2), FIRST_WAIT / 2),
        (Said(b"HTTP/1.1 200 OK\r\nContent-", length=-2), FIRST_WAIT / 2),
        (Said(b"", length=-2), FIRST_WAIT / 2),
        (Said(b"", length=-1), FIRST_WAIT / 2),
    ],
)
def test_what_passes_is_asked_again(said, shortest):
    with serving(first(said, said)) as server:
        replies, waits = ask(server.url)
    assert replies[0].text == "1: Hi"
    assert len(waits) == 2
    assert min(waits) >= shortest


def test_what_a_server_asks_to_wait():
    """Seconds, or a date."""
    late = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)
    for value, low, high in (("3", 3, 3), (late, 45, 52)):
        with serving(first(Said({}, 429, (("retry-after", value),)))) as server:

            async def send(url=server.url):
                async with Client(url, "tiny") as client:
                    await client.send(HI, {})

            with pytest.raises(RetryableError) as caught:
                asyncio.run(send())
        assert low <= caught.value.retry_after <= high


def test_waits_grow_and_are_bounded():
    with serving(lambda body, call: Said({"error": {"message": "oh"}}, 500)) as server:
        (error,), waits = ask(server.url)
        assert sum(server.calls.values()) == MAX_TRIES
    assert isinstance(error, ItemFailed)
    assert str(error) == f"500: oh, in the last of {MAX_TRIES} tries"
    assert len(waits) == MAX_TRIES - 1
    for number, wait in enumerate(waits):
        assert 0.5 <= wait / min(FIRST_WAIT * 2**number, LONGEST_WAIT) < 1.5


def test_a_server_without_room_stops_the_work():
    with serving(lambda body, call: Said({"error": {"message": "full"}}, 429)) as server:
        (error,), _ = ask(server.url)
        assert (type(error), str(error)) == (WorkError, f"429: full, in the last of {MAX_TRIES} tries")
        server.behave = lambda body, call: Said({}, 429, (("retry-after", "7200"),))
        (error,), waits = ask(server.url)
    assert isinstance(error, WorkError)
    assert str(error).endswith("the server asks to wait 7200 s")
    assert waits == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Said({"error": {"message": "too many\ntokens"}}, 400), "400: too many tokens"),
        (Said({"error": {"code": "content_filter", "message": "filtered"}}, 400), "400: filtered"),
        (Said({"error": "half \ud83d of it"}, 400), "400: half ? of it"),
        (Said({"detail": [1]}, 422), "422: {'detail': [1]}"),
        (Said(b"", 400), "400: no reason given"),
        (Said({"error": {"message": "it was flagged", "code": 400}}), "400: it was flagged"),
        (Said({"choices": [], "error": {"message": "prompt is too long", "code": "400"}}), "400: prompt is too long"),
        (Said(completion(None, "length")), "a reply without text (finish_reason length)"),
        (Said(completion(None, ["stop"])), "a reply without text (finish_reason None)"),
        (Said(completion([{"type": "audio"}])), "a reply without text (finish_reason stop)"),
        (Said(completion(4)), "a reply whose content is a number; expected text"),
        (Said(completion({"text": "Hi"})), "a reply whose content is an object; expected text"),
        (Said(completion(["Hi", 4])), "a reply whose content is a list with a number in it; expected text"),
    ],
)
def test_what_asking_again_cant_mend(said, reason):
    with serving(lambda body, call: said) as server:
        (error,), waits = ask(server.url)
        assert (type(error), str(error)) == (RejectedRequest, reason)
        assert (sum(server.calls.values()), waits) == (1, [])


def test_a_filtered_reply_says_so():
    with serving(lambda body, call: Said(completion(None, "content_filter"))) as server:
        (reply,), _ = ask(server.url)
    assert (reply.text, reply.finish_reason) == ("", "content_filter")


def test_a_key_that_is_refused_stops_in_one_sentence(monkeypatch):
    with serving(lambda body, call: Said({"error": {"message": f"bad key {KEY}"}}, 401)) as server:
        (error,), waits = ask(server.url)
        assert str(error) == (
            "the server refuses the key in OPENAI_API_KEY: 401: bad key …; set OPENAI_API_KEY to one that it takes"
        )
        monkeypatch.delenv("OPENAI_API_KEY")
        (error,), _ = ask(server.url)
        assert str(error).startswith("the server refuses a call without a key (OPENAI_API_KEY isn't set): 401: bad key")
    assert (type(error), error.fault) == (ServerRefusal, "key")
    assert waits == []


def test_a_403_without_a_word_may_be_the_rows_or_the_keys():
    with serving(lambda body, call: Said({"error": {"message": "Forbidden"}}, 403)) as server:
        (error,), _ = ask(server.url)
    assert (type(error), str(error), error.refusal.fault) == (ForbiddenRequest, "403: Forbidden", "key")


@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_no_credit_stops(status):
    body = {"error": {"code": "insufficient_quota", "message": "pay"}}
    with serving(lambda _, call: Said(body, status)) as server:
        (error,), waits = ask(server.url)
    assert (type(error), error.fault, waits) == (ServerRefusal, "account", [])
    assert str(error) == f"the account gets no more replies: {status}: pay; top it up, or settle what the reason says"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, {"error": "no such model"}),
        (400, {"error": {"message": "Invalid model: tiny"}}),
        (403, {"error": {"message": "no access to model tiny", "code": "model_not_found"}}),
    ],
)
def test_an_unknown_model_stops_with_the_models_that_there_are(status, reason):
    with serving(lambda _, call: Said(reason, status), models=("a", "b")) as server:
        (error,), waits = ask(server.url)
    assert (type(error), error.fault, waits) == (ServerRefusal, "model", [])
    assert str(error).endswith("; name one with --served-model (it has a, b)")


def test_of_many_models_twenty_are_named():
    names = tuple(f"m{i}" for i in range(25))
    with serving(lambda _, call: Said({"error": "no such model"}, 404), models=names) as server:
        (error,), _ = ask(server.url)
    assert str(error).endswith(
        "(it has m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19 and 5 more)"
    )


def test_an_unknown_model_of_a_server_that_lists_none():
    with serving(lambda _, call: Said({"error": "no such model"}, 404), models=()) as server:
        (error,), _ = ask(server.url)
    assert str(error) == "the server doesn't serve a model tiny: 404: no such model; name one with --served-model"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (Said(b"<html><title>Welcome to nginx!</title>", 200), "200: a web page (Welcome to nginx!)"),
        (Said(b"\n<!DOCTYPE html><p>", 404), "404: a web page"),
        (Said(b"<html><title>Error response</title>", 501), "501: a web page (Error response)"),
    ],
)
def test_a_web_page_stops_at_the_first_call(said, found):
    with serving(lambda _, call: said, before_models=[said]) as server:
        (error,), waits = ask(server.url)
        assert (type(error), error.fault, waits, len(server.bodies)) == (ServerRefusal, "page", [], 1)
        expected = "expected an OpenAI-compatible API, as at http://HOST:PORT/v1; name another with --model"
        assert str(error) == f"found at {server.url}/chat/completions: {found}; {expected}"
        with pytest.raises(TunescopeError) as caught:
            served_model(server.url, None, 5.0)
    assert str(caught.value) == f"{server.url}: found at {server.url}/models: {found}; {expected}"


def test_an_address_without_the_api_stops():
    with serving(lambda _, call: Said({"detail": "Not Found"}, 404)) as server:
        (error,), _ = ask(server.url)
    assert (type(error), error.fault) == (ServerRefusal, "address")
    assert str(error).startswith(
        f"found no chat API at {server.url}/chat/completions: 404: Not Found; expected an OpenAI"
    )


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Said({"error": {"message": f"bad {KEY}"}}, 401), "the server refuses the key in OPENAI_API_KEY: 401: bad …"),
        (Said({"error": {"message": "Insufficient credits"}}, 402), "the account gets no more replies: 402"),
        (Said({"error": {"message": "no"}}, 403), r"doesn't say which models it has \(403: no\); name one with"),
    ],
)
def test_who_asks_for_the_models_goes_by_the_same_table(said, words):
    with serving(before_models=[said]) as server, pytest.raises(TunescopeError, match=words):
        served_model(server.url, None, 5.0)


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_the_key_is_in_no_message(status):
    with serving(lambda body, call: Said({"error": {"message": f"your key {KEY} …"}}, status)) as server:
        (error,), _ = ask(server.url)
    assert KEY not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Said(b"", length=-1), "the connection failed ([Errno 104] Connection reset by peer)"),
        (Said(b"", length=-2), "the connection failed (Server disconnected)"),
        (Said(b"what?\r\n\r\n", length=-2), "the connection failed (400, message:"),
        (Said(b"{", length=9), "the connection failed (Response payload is not completed"),
    ],
)
def test_a_lost_connection_is_no_time_out(said, reason):
    """The SDK's adapter calls all but the last one a time-out, or lets it through as it is."""
    with serving(lambda body, call: said) as server:
        (error,), _ = ask(server.url)
    assert (type(error), error.is_for_good) == (ItemFailed, False)
    assert str(error).startswith(reason)


@pytest.mark.parametrize(
    ("typed", "place"), [("sk-plänted", 6), ("sk-a\nb", 5), ("sk-\x7f", 4), ("\u201csk-a\u201d", 1)]
)
def test_a_key_that_cant_be_one_is_said_but_not_shown(typed, place, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", typed)
    with pytest.raises(SettingsError) as caught:
        Client("http://127.0.0.1:9")
    assert str(caught.value) == (
        f"OPENAI_API_KEY: found a character at place {place} that isn't printable ASCII; expected the key alone; "
        "set it anew"
    )


def test_blanks_around_a_key_are_no_part_of_it(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    with serving() as server:
        ask(server.url)
        assert server.keys == [f"Bearer {KEY}"]


def test_a_slow_server_times_out():
    with serving(lambda body, call: Said(completion("x"), after=0.5 if call == 1 else 0)) as server:
        replies, waits = ask(server.url, timeout=0.2)
        assert (replies[0].text, len(waits)) == ("x", 1)
        server.behave = lambda body, call: Said(completion("x"), after=0.15)
        (error,), _ = ask(server.url, timeout=0.05)
    assert str(error) == f"no reply in 0.05 s, in the last of {MAX_TRIES} tries"
    assert (type(error), error.is_for_good) == (ItemFailed, False)


def test_nobody_there():
    with serving() as server:
        url = server.url
    (error,), waits = ask(url)
    assert str(error).startswith(f"no server answers at {url} (")
    assert str(error).endswith("start it, or name another with --model")
    assert (type(error), waits) == (TunescopeError, [])


def test_nobody_there_who_speaks_tls():
    with serving() as server:
        (error,), waits = ask(server.url.replace("http:", "https:"))
    assert str(error).startswith(
        f"no server answers at https://127.0.0.1:{server.url[17:]} ([SSL: WRONG_VERSION_NUMBER]"
    )
    assert (type(error), waits) == (TunescopeError, [])


def test_a_server_that_goes_away_is_waited_for():
    async def run():
        waits, back = [], ExitStack()

        async def sleep(seconds):
            waits.append(seconds)
            if len(waits) == 3:
                back.enter_context(serving(lambda body, call: Said(completion("back")), port=port))

        with serving() as server:
            port = int(server.url.removesuffix("/v1").rpartition(":")[2])
            client = Client(server.url, "tiny", 5.0)
            retries = retrying(client, sleep)
            replies = [(await once(client, {})).text]
        async with client:
            with back:
                replies.append((await retries.until_answered(lambda: once(client, {}), ItemClock(math.inf))).text)
                waited = len(waits)
            with pytest.raises(WorkError, match=f"the connection failed .*, in the last of {MAX_TRIES} tries"):
                await retries.until_answered(lambda: once(client, {}), ItemClock(math.inf))
        return replies, waited

    assert asyncio.run(run()) == (["1: Hi", "back"], 3)


def test_models():
    async def names(url):
        async with Client(url) as client:
            return await client.list_models()

    with serving(models=("a", "b")) as server:
        assert asyncio.run(names(server.url)) == ["a", "b"]
        with pytest.raises(TunescopeError, match=r"doesn't say which models it has .404.*name one with --served-model"):
            served_model(server.url + "/other", None, 5.0)


@pytest.mark.slow
def test_who_asks_for_the_models_waits_as_long_as_the_server_says():
    full = Said({"error": {"message": "later"}}, 429, (("retry-after", "1.5"),))
    with serving(before_models=[full]) as server:
        began = time.monotonic()
        assert served_model(server.url, None, 5.0) == "tiny"
    assert time.monotonic() - began >= 1.5


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("http://h:8080", "http://h:8080/v1"),
        ("http://h:8080/", "http://h:8080/v1"),
        ("https://h/api/v1/", "https://h/api/v1"),
        ("http://h/v1/chat/completions", "http://h/v1"),
    ],
)
def test_addresses(typed, url):
    assert is_url(typed)
    assert base_url(typed) == url


@pytest.mark.parametrize("typed", ["http://", "http://me:secret@h/v1", "http://h:x/v1", "http://h/v1?key=secret"])
def test_addresses_that_cant_be(typed):
    with pytest.raises(SettingsError) as caught:
        base_url(typed)
    assert "secret" not in str(caught.value)


def test_names_that_are_no_address():
    assert not any(map(is_url, ["smollm2-135m", "owner/http", "runs/tune-1"]))


def newer(body, call):
    """Refuse the length's older name, as OpenAI's newer models do."""
    if "max_tokens" in body:
        return Said({"error": {**MAX_TOKENS}}, 400)
    return echo(body, call)


MAX_TOKENS = {
    "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
    "instead.",
    "type": "invalid_request_error",
    "param": "max_tokens",
    "code": "unsupported_parameter",
}


def test_the_newer_name_of_the_length_is_found_out_once():
    with serving(newer) as server:
        replies, waits = ask(server.url, times=3, max_tokens=7)
    assert [reply.text for reply in replies] == ["1: Hi"] * 3
    assert [sorted(body.keys() - {"model", "messages"}) for body in server.bodies] == [
        ["max_tokens"],
        *[["max_completion_tokens"]] * 3,
    ]
    assert waits == []


def test_a_server_that_takes_neither_name_is_asked_twice():
    with serving(lambda body, call: Said({"error": {**MAX_TOKENS}}, 400)) as server:
        (error,), _ = ask(server.url, max_tokens=7)
        assert len(server.bodies) == 2
    assert (type(error), error.parameter) == (RejectedRequest, "max_tokens")


@pytest.mark.parametrize(
    ("status", "body", "parameter"),
    [
        (400, {"error": MAX_TOKENS}, "max_tokens"),
        (400, MAX_TOKENS, "max_tokens"),
        (400, {"message": MAX_TOKENS["message"], "param": None}, "max_tokens"),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "max_tokens"], "input": 9}]}, "max_tokens"),
        (400, {"message": "max_tokens is too large: 9999", "param": "max_tokens", "code": "invalid_value"}, None),
        (400, {"message": "maximum context length is 4096 tokens, you asked for max_tokens=8192"}, None),
        (
            400,
            {"message": "Unsupported value: 'temperature' does not support 0 with this model.", "param": "temperature"},
            "temperature",
        ),
        (400, {"message": "Unsupported parameter: 'temperature' is not supported with this model."}, "temperature"),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "input": 0}]}, "seed"),
        (400, {"message": "Unrecognized request argument supplied: seed"}, "seed"),
        (
            400,
            {"message": "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."},
            "response_format",
        ),
        (400, {"message": "invalid value: `json_schema`, supported values are: `json_object`"}, "response_format"),
        (400, {"message": 'Either "json_schema" or "grammar" can be specified, but not both'}, "response_format"),
        (400, {"message": "This response_format type is unavailable now"}, "response_format"),
        (400, {"message": "The response_format parameter is unsupported at the moment."}, "response_format"),
        (400, {"message": "too many tokens"}, None),
        (404, {"message": "'response_format' is not supported"}, None),
        (400, ["temperature unsupported"], "temperature"),
        (400, None, None),
    ],
)
def test_which_parameter_a_refusal_is_about(status, body, parameter):
    """As OpenAI, Mistral's gateway, xAI, DeepSeek and llama.cpp word it."""
    assert parameter_of(status, body) == parameter


def test_a_refusal_beside_a_schema_is_the_reply():
    message = {"role": "assistant", "content": None, "refusal": "I can't help with that."}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    with serving(lambda _, call: Said(body)) as server:
        (reply,), _ = ask(server.url)
    assert (reply.text, reply.finish_reason) == ("I can't help with that.", "refusal")
