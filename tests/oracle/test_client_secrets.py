"""The client's key, and the passwords of proxies: in no reply that is kept, and in no error."""

import asyncio
import json
import traceback
from base64 import b64encode

import pytest

pytest.importorskip("openai")

from tests.oracle.server import Said, completion, serving
from tunescope.errors import OracleSignal, SettingsError, TunescopeError
from tunescope.oracle.api import parse_reply
from tunescope.oracle.body import Body
from tunescope.oracle.client import Client
from tunescope.oracle.secrets import Secrets

KEY = "sk-planted-0123456789"
HI = ({"role": "user", "content": "Hi"},)
ECHOES = {
    "plain": KEY,
    "escaped": "".join(f"\\u{ord(ch):04X}" for ch in KEY),
    "in a URL": KEY.replace("-", "%2D"),
    "as Basic": b64encode(f"me:{KEY}".encode()).decode(),
}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def send(url):
    """Make one call; return the body as it is kept, or what was raised."""

    async def run():
        async with Client(url, "tiny", 5.0) as client:
            return (await client.send(HI, {})).body

    try:
        return asyncio.run(run())
    except (OracleSignal, TunescopeError) as error:
        return error


@pytest.mark.parametrize("way", ECHOES)
def test_a_key_that_a_reply_repeats_is_in_nothing_that_is_kept(way):
    """The body is kept in the journal before anything reads it, so it is the body that loses the key."""
    whole = json.dumps(completion("You sent ECHO – so", id="ECHO")).replace("ECHO", ECHOES[way]).encode()
    with serving(lambda body, call: Said(whole)) as server:
        kept = send(server.url)
    text = parse_reply(Body(kept)).text
    assert (text[:9], text[-5:]) == ("You sent ", " – so")
    assert "…" in text
    assert kept.decode() not in Secrets([KEY])
    assert KEY not in text


@pytest.mark.parametrize("way", ECHOES)
@pytest.mark.parametrize("status", [400, 401, 402, 422])
def test_a_key_that_an_error_repeats_isnt_in_it(way, status):
    body = json.dumps({"error": {"message": "your key ECHO …"}}).replace("ECHO", ECHOES[way]).encode()
    with serving(lambda _, call: Said(body, status)) as server:
        error = send(server.url)
    assert isinstance(error, Exception)
    assert "".join(traceback.format_exception(error)) not in Secrets([KEY])


@pytest.mark.parametrize("status", [200, 404, 503])
def test_a_page_whose_title_is_cut_within_the_key(status):
    page = f"<html><title>{'x ' * 34}{KEY}</title></html>".encode()
    with serving(lambda _, call: Said(page, status)) as server:
        error = send(server.url)
    assert isinstance(error, Exception)
    assert "planted" not in "".join(traceback.format_exception(error))


def test_a_servers_models_lose_the_key():
    async def names(url):
        async with Client(url) as client:
            return await client.list_models()

    with serving(models=(f"tiny-for-{KEY}",)) as server:
        assert asyncio.run(names(server.url)) == ["tiny-for-…"]


@pytest.mark.parametrize("placeholder", ["EMPTY", "ollama", "none", "sk-no-key-required"])
def test_a_placeholder_is_a_word_of_the_reply(placeholder, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", placeholder)
    with serving(lambda body, call: Said(completion(f"The {placeholder} set"))) as server:
        assert parse_reply(Body(send(server.url))).text == f"The {placeholder} set"


@pytest.mark.parametrize("proxy", ["http://me:pass-word-17@127.0.0.1:9", "http://me:pass-word-17@nowhere.invalid:9"])
def test_the_password_of_a_proxy_isnt_in_an_error(proxy, monkeypatch):
    monkeypatch.setenv("http_proxy", proxy)
    error = send("http://127.0.0.2:9")
    assert isinstance(error, Exception)
    assert "word" not in "".join(traceback.format_exception(error))


def test_a_proxy_that_cant_be_one_is_refused_before_the_sdk_speaks_of_it(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://me:pass/word-17@127.0.0.1:9")
    with pytest.raises(SettingsError, match=r"^HTTP_PROXY: found what can't be a proxy's address") as caught:
        Client("http://127.0.0.2:9")
    assert "pass/" not in "".join(traceback.format_exception(caught.value))
