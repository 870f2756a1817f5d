"""Secrets: found however they are written, and nothing else is touched."""

import json
from base64 import b64encode, urlsafe_b64encode
from html import escape, unescape
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.tools import examples
from tunescope.errors import SettingsError
from tunescope.oracle.secrets import Secrets, is_secret, proxy_passwords, redact_urls

KEY = "sk-proj-9Zq/+_x.7Lw=Tr4&mN<0"
SECRETS = Secrets([KEY])
ASCII = [chr(code) for code in range(33, 127)]
IN_KEYS = [ch for ch in ASCII if ch.isalnum() or ch in "-_./+=:~"]


def basic(text):
    return b64encode(f"somebody:{text}".encode()).decode()


WAYS = {
    "plain": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "PHP's JSON": lambda text: json.dumps(text)[1:-1].replace("/", r"\/"),
    "Go's JSON": lambda text: text.replace("&", r"\u0026").replace("<", r"\u003c").replace("+", r"\u002B"),
    "all of JSON": lambda text: "".join(f"\\u{ord(ch):04x}" for ch in text),
    "bytes of Python": lambda text: "".join(f"\\x{ord(ch):02x}" for ch in text),
    "JavaScript": lambda text: "".join(f"\\u{{{ord(ch):X}}}" for ch in text),
    "Markdown": lambda text: "".join(ch if ch.isalnum() else f"\\{ch}" for ch in text),
    "URL": lambda text: quote(text, safe=""),
    "all of a URL": lambda text: "".join(f"%{ord(ch):02X}" for ch in text),
    "HTML": escape,
    "all of HTML": lambda text: "".join(f"&#{ord(ch)};" for ch in text),
    "hexadecimal HTML": lambda text: "".join(f"&#x{ord(ch):x};" for ch in text),
    "HTML's names": lambda text: text.replace("+", "&plus;").replace("/", "&sol;").replace("=", "&equals;"),
    "Basic": basic,
    "Basic for URLs": lambda text: urlsafe_b64encode(f"me:{text}:more".encode()).decode(),
    "UTF-16": lambda text: "\0".join(text),
}
"""How a text can be written."""
SIMPLE = [way for way in WAYS if "Basic" not in way and way != "UTF-16"]


@pytest.mark.parametrize("inner", [way for way in WAYS if way != "UTF-16"])
@pytest.mark.parametrize("outer", [*SIMPLE, "UTF-16"])
def test_a_key_is_found_in_any_two_encodings(outer, inner):
    written = WAYS[outer](WAYS[inner](KEY))
    clean = SECRETS.remove(f"Your key «{written}» is wrong")
    start, end = ("Your key «", "» is wrong")
    assert clean.startswith(start)
    assert clean.endswith(end)
    assert len(clean) < len(start + end) + (4 if "Basic" not in inner else len(written) - 24)
    assert clean not in SECRETS


def test_in_a_body_the_rest_stays_as_it_is():
    for way in ("JSON", "PHP's JSON", "Go's JSON", "all of JSON", "JavaScript"):
        inside = WAYS[way](KEY) if way != "JavaScript" else WAYS["JSON"](WAYS[way](KEY))
        body = f'{{"é": "\\"{inside}\\" and {inside}\\n", "n": 1}}'.encode()
        assert SECRETS.remove_from_body(body) == '{"é": "\\"…\\" and …\\n", "n": 1}'.encode()


def keys(characters):
    return st.text(characters, min_size=12, max_size=60).filter(is_secret)


@given(keys(IN_KEYS), st.data())
@settings(max_examples=examples(100))
def test_each_character_may_be_written_in_its_own_way(key, data):
    ways = data.draw(st.lists(st.sampled_from(SIMPLE), min_size=len(key), max_size=len(key)))
    written = "".join(WAYS[way](ch) for ch, way in zip(key, ways, strict=True))
    assert Secrets([key]).remove(f"before «{written}» behind") == "before «…» behind"


@given(keys(sorted({*ASCII} - {"\\"})), st.sampled_from([*WAYS]), st.lists(st.sampled_from(SIMPLE), max_size=2))
@settings(max_examples=examples(100))
def test_whatever_the_encoding_the_key_isnt_in_the_output(key, inner, ways):
    assume(unquote(unescape(key)) == key)
    written = WAYS[inner](key)
    for way in ways if inner != "UTF-16" else ():
        written = WAYS[way](written)
    clean = Secrets([key]).remove(f"before «{written}» behind")
    assert (clean[:8], clean[-8:]) == ("before «", "» behind")
    assert "…" in clean
    assert clean not in Secrets([key])


@given(st.text(max_size=300) | st.text([*'\\u002bx%&#;/"+{}5amp', "\0"], max_size=60))
@settings(max_examples=examples(200))
def test_a_text_without_the_key_is_unchanged(text):
    assert SECRETS.remove(text) == text
    body = text.encode("utf-8", "surrogatepass")
    assert SECRETS.remove_from_body(body) == body


def test_what_stands_nested_too_deep_ends():
    assert SECRETS.remove("&#38;" * 20_000 + "#43;") == "&#38;" * 20_000 + "#43;"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "EMPTY",
        "ollama",
        "none",
        "lm-studio",
        "sk-12345678",
        "sk-no-key-required",
        "no-key-required",
        "your-api-key-here",
        "<YOUR_API_KEY>",
        "token-abc123",
        "not-needed-local",
        "sk-xxxxxxxxxxxxxxxx",
        "0000000000000000",
        "$OPENAI_API_KEY",
    ],
)
def test_placeholders_are_words_like_others(key):
    assert not is_secret(key)
    text = f"The {key} set is a subset of every set, and {key} is its name."
    assert Secrets([key]).remove(text) == text


@pytest.mark.parametrize("key", [KEY, "sk-planted-0123456789", "correct-horse-battery", "a1b2c3d4e5f6"])
def test_keys(key):
    assert is_secret(key)


def test_the_passwords_of_proxies():
    proxies = {"http": "http://me:p%40ss-of-mine-17@proxy:3128", "https": "me:another-word-99@proxy", "no": "local:x"}
    assert {*proxy_passwords(proxies)} == {"p%40ss-of-mine-17", "p@ss-of-mine-17", "another-word-99"}
    assert proxy_passwords({"all": "http://proxy:80"}) == []


@pytest.mark.parametrize("address", ["http://me:pw@[", "http://me:pw@proxy:port", "http://me:pw/more@proxy:80"])
def test_an_address_that_no_proxy_has_is_said_but_not_shown(address):
    with pytest.raises(SettingsError, match=r"^HTTPS_PROXY: found what can't be a proxy's address; ") as caught:
        proxy_passwords({"https": address})
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("can't reach http://me:pw@proxy:3128/", "can't reach http://…@proxy:3128/"),
        ("can't reach http://me:p/w@proxy:3128/", "can't reach http://…@proxy:3128/"),
        ("GET https://h/v1?a=1&api_key=abc&b=2", "GET https://h/v1?a=1&api_key=…&b=2"),
        ("url='http://h/?token=abc'", "url='http://h/?token=…'"),
        ("write to me@example.org about a key=value", "write to me@example.org about a key=value"),
    ],
)
def test_addresses_in_errors(text, clean):
    assert redact_urls(text) == clean
