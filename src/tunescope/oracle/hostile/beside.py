"""What stands beside replies: how servers count tokens, and what they repeat."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tunescope.oracle.hostile.misbehaviour import Asked, Misbehaviour, error
from tunescope.oracle.hostile.server import Said, completion

_REFERENCE = "OpenAI API reference, chat completion object"


def _counting(usage: Any) -> Callable[[Asked], Said]:
    return lambda asked: Said({**completion(asked.text), "usage": usage})


def _uncounted(asked: Asked) -> Said:
    reply = completion(asked.text)
    del reply["usage"]
    return Said(reply)


USAGE = (
    Misbehaviour("usage-missing", "doesn't count tokens", f"{_REFERENCE} (usage may be left out)", _uncounted, "same"),
    Misbehaviour("usage-null", "sends usage null", "microsoft/foundry-local#173", _counting(None), "same"),
    Misbehaviour(
        "usage-half",
        "counts only the reply's tokens",
        "Portkey-AI/gateway#858",
        _counting({"completion_tokens": 25}),
        "same",
    ),
    Misbehaviour(
        "usage-negative",
        "counts a negative number of tokens",
        "64bit/async-openai#404",
        _counting({"prompt_tokens": 1151, "completion_tokens": -1_000_000, "total_tokens": 1116}),
        "same",
    ),
    Misbehaviour(
        "usage-huge",
        "counts 1e30 tokens",
        "RFC 8259, section 6",
        _counting({"prompt_tokens": 1e30, "completion_tokens": 10**30, "total_tokens": 1e30}),
        "same",
    ),
    Misbehaviour(
        "usage-text",
        "counts tokens in words",
        "RFC 8259, section 3",
        _counting({"prompt_tokens": "12", "completion_tokens": "many"}),
        "same",
    ),
    Misbehaviour(
        "usage-zero",
        "counts no tokens at all",
        "sawfwair/mere-run#134",
        _counting({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
        "same",
    ),
    Misbehaviour(
        "usage-otherwise",
        "counts tokens under other names",
        "openai/openai-agents-python#4901",
        _counting({"input_tokens": 84, "output_tokens": 16, "total_tokens": 100}),
        "same",
    ),
    Misbehaviour("usage-list", "sends usage as a list", "RFC 8259, section 3", _counting([1, 2]), "same"),
)
"""How servers count tokens."""


def _echoing(encode: Callable[[str], str]) -> Callable[[Asked], Said]:
    """Return what repeats the key in an error about a row."""
    return lambda asked: Said(
        b'{"error": {"message": "no room for ' + encode(asked.key).encode() + b'", "code": "context_length_exceeded"}}',
        400,
    )


def _escaped(key: str) -> str:
    r"""Escape as JSON may: \/ for a slash, \u002B for a plus."""
    return key.replace("/", "\\/").replace("+", "\\u002B")


def _in_a_reply(encode: Callable[[str], str]) -> Callable[[Asked], Said]:
    """Return what repeats the key beside an honest reply."""

    def says(asked: Asked) -> Said:
        reply = json.dumps(completion(asked.text, note="KEY")).replace("KEY", encode(asked.key))
        return Said(reply.encode(), headers=(("x-request-key", asked.key),))

    return says


ECHOES = (
    Misbehaviour(
        "echo-in-error",
        "repeats the key in an error about a row",
        "AstrBotDevs/AstrBot#440",
        _echoing(str),
        "row",
        "one",
    ),
    Misbehaviour(
        "echo-escaped-in-error",
        "repeats the key in an error, escaped as JSON may escape it",
        "RFC 8259, section 7",
        _echoing(_escaped),
        "row",
        "one",
    ),
    Misbehaviour(
        "echo-encoded-in-error",
        "repeats the key in an error, encoded as in a URL",
        "tidbyt/community#2618",
        _echoing(lambda key: quote(key, safe="")),
        "row",
        "one",
    ),
    Misbehaviour(
        "echo-in-reply",
        "repeats the key next to a reply and in a header",
        "IQSS/dataverse#4954",
        _in_a_reply(str),
        "same",
    ),
    Misbehaviour(
        "echo-escaped-in-reply",
        "repeats the key next to a reply, escaped as JSON may escape it",
        "RFC 8259, section 7",
        _in_a_reply(_escaped),
        "same",
    ),
    Misbehaviour(
        "echo-encoded-in-reply",
        "repeats the key next to a reply, encoded as in a URL",
        "tidbyt/community#2618",
        _in_a_reply(lambda key: quote(key, safe="")),
        "same",
    ),
    Misbehaviour(
        "escape-sequence",
        "puts a terminal escape sequence into an error about a row",
        "NVIDIA/garak#997",
        error(400, "too long \x1b]0;owned\x07\x1b[2J\u202egnol", code="context_length_exceeded"),
        "row",
        "one",
    ),
)
"""What servers repeat, and what steers a terminal."""

BESIDE = (*USAGE, *ECHOES)
