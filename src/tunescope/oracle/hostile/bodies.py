"""Bodies that are no reply, or one that nobody expects; and connections that break."""

from __future__ import annotations

import json
from typing import Any

from tunescope.oracle.hostile.misbehaviour import Asked, Misbehaviour, body, message, text, whole
from tunescope.oracle.hostile.server import ABRUPT, RESET, Said, completion

_JSON = "RFC 8259"


def _reply(asked: Asked) -> bytes:
    """Return the honest reply's bytes."""
    return json.dumps(completion(asked.text)).encode()


def _with_choice(**fields: Any) -> Any:
    """Return what sends a reply with other fields in its choice, and no message."""

    def says(asked: Asked) -> Said:
        reply = completion(asked.text)
        reply["choices"] = [{"index": 0, "finish_reason": "stop", **fields, "text": asked.text}]
        return Said(reply)

    return says


def _several(asked: Asked) -> Said:
    """Send three choices, of which the first is the reply."""
    reply = completion(asked.text)
    others = completion("Another one.")["choices"]
    return Said({**reply, "choices": [*reply["choices"], *others, *others]})


def _nested(asked: Asked) -> Said:
    """Send 100 KB of opening brackets where the text should be."""
    return Said(completion('{"a":' * 20_000))


BODIES = (
    Misbehaviour(
        "half-a-body",
        "sends the first half of a body to the first call",
        "RFC 9112, section 8",
        lambda asked: Said(_reply(asked)[: len(_reply(asked)) // 2]),
        "again",
        "first",
    ),
    Misbehaviour(
        "long-length",
        "promises more bytes than it sends to the first call",
        "open-webui/pipelines#564",
        lambda asked: Said(_reply(asked), length=len(_reply(asked)) + 500),
        "again",
        "first",
    ),
    Misbehaviour(
        "short-length",
        "promises fewer bytes than it sends to the first call",
        "Fundebug/fundebug-blog#244",
        lambda asked: Said(_reply(asked), length=len(_reply(asked)) // 2),
        "again",
        "first",
    ),
    Misbehaviour(
        "empty",
        "sends 200 with an empty body to the first call",
        "RFC 9112, section 6.3",
        body(b""),
        "again",
        "first",
    ),
    Misbehaviour("null", "sends null to the first call", f"{_JSON}, section 3", body(None), "again", "first"),
    Misbehaviour("a-list", "sends a list to the first call", f"{_JSON}, section 5", body([]), "again", "first"),
    Misbehaviour(
        "no-choices",
        "sends an object without choices to the first call",
        "openai/openai-agents-python#2850",
        body({"id": "x", "object": "chat.completion"}),
        "again",
        "first",
    ),
    Misbehaviour(
        "choices-null",
        "sends choices null to the first call",
        "langchain-ai/langchain#35236",
        body({"choices": None}),
        "again",
        "first",
    ),
    Misbehaviour(
        "choices-empty",
        "sends an empty list as choices to the first call",
        "BerriAI/litellm#40477",
        body({"choices": [], "usage": None}),
        "again",
        "first",
    ),
    Misbehaviour(
        "bytes",
        "sends bytes that aren't UTF-8 to the first call",
        f"{_JSON}, section 8.1",
        body(b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'),
        "again",
        "first",
    ),
    Misbehaviour(
        "marked-utf-8",
        "puts a byte order mark before the body",
        f"{_JSON}, section 8.1",
        lambda asked: Said(b"\xef\xbb\xbf" + _reply(asked)),
        "same",
    ),
    Misbehaviour(
        "content-null",
        "sends content null",
        "OpenAI API reference, chat completion object (message.content may be null)",
        text(lambda asked: None),
        "row",
        "one",
    ),
    Misbehaviour(
        "content-empty", "sends an empty text", "BerriAI/litellm#24462", text(lambda asked: ""), "unread", "one"
    ),
    Misbehaviour(
        "content-number",
        "sends a number where the text should be",
        f"{_JSON}, section 6",
        text(lambda asked: 4),
        "row",
        "one",
    ),
    Misbehaviour(
        "content-parts",
        "sends the text as a list of parts",
        "vercel/ai#4821",
        text(lambda asked: [{"type": "text", "text": asked.text}]),
        "same",
    ),
    Misbehaviour(
        "no-content",
        "leaves out content, with finish_reason MAX_TOKENS",
        "QwenLM/qwen-code#9884",
        message(lambda asked: {}, "MAX_TOKENS"),
        "cut",
        "one",
    ),
    Misbehaviour(
        "refusal",
        "sends a refusal instead of a text",
        "OpenAI API reference, chat completion object (message.refusal)",
        message(lambda asked: {"content": None, "refusal": "I'm sorry, I can't help with that."}),
        "refused",
        "one",
    ),
    Misbehaviour(
        "tool-calls",
        "calls a tool that nobody offered instead of replying",
        "OpenAI API reference, chat completion object (message.tool_calls)",
        message(
            lambda asked: {
                "content": None,
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            "tool_calls",
        ),
        "row",
        "one",
    ),
    Misbehaviour(
        "legacy-text",
        "sends the text to the first call as the old completions API did",
        "OpenAI API reference, completions (choices.text)",
        _with_choice(),
        "again",
        "first",
    ),
    Misbehaviour(
        "several-choices",
        "sends three choices where one was asked for",
        "OpenAI API reference, chat completions (n)",
        _several,
        "same",
    ),
    Misbehaviour(
        "half-a-pair",
        "sends half of a surrogate pair",
        "NousResearch/hermes-agent#80409",
        text(lambda asked: asked.text + "\ud83d"),
        "unread",
        "one",
    ),
    Misbehaviour(
        "nul",
        "sends a NUL in the text",
        f"{_JSON}, section 7",
        text(lambda asked: f"{asked.text}\n\x00"),
        "same",
        "one",
    ),
    Misbehaviour(
        "ten-megabytes",
        "sends ten megabytes of blanks in the text",
        f"{_JSON}, section 9",
        text(lambda asked: f"{' ' * 10_000_000}\n{asked.text}"),
        "same",
        "one",
    ),
    Misbehaviour("nested", "sends 100 KB of nested JSON", "openai/openai-agents-python#4772", _nested, "unread", "one"),
    Misbehaviour(
        "nan",
        "sends NaN, which isn't JSON",
        "dphnAI/sonar#183",
        lambda asked: Said(completion(asked.text, logprobs={"token_logprobs": [float("nan")]})),
        "same",
    ),
    Misbehaviour(
        "reset", "resets the first connection", "aio-libs/aiohttp#850", body(b"", length=RESET), "again", "first"
    ),
    Misbehaviour(
        "closed",
        "closes the first connection without a word",
        "aio-libs/aiohttp#394",
        body(b"", length=ABRUPT),
        "again",
        "first",
    ),
    Misbehaviour(
        "closed-after-headers",
        "closes the first connection after the headers",
        "aio-libs/aiohttp#4581",
        body(b"", length=1000),
        "again",
        "first",
    ),
    Misbehaviour(
        "no-http",
        "answers the first call in another protocol",
        "RFC 9112, section 4",
        body(b"220 ready\r\n", length=ABRUPT),
        "again",
        "first",
    ),
    Misbehaviour(
        "kept-alive",
        "promises to keep the connection, and closes it",
        "aio-libs/aiohttp#7297",
        lambda asked: Said(completion(asked.text), headers=(("connection", "keep-alive"),)),
        "same",
    ),
    Misbehaviour(
        "silent",
        "says nothing to the first call until its time is up",
        "ollama/ollama#9287",
        lambda asked: Said(completion(whole(asked)), after=1.0),
        "again",
        "first",
    ),
    Misbehaviour(
        "dripping",
        "sends the body in ten pieces",
        "RFC 9293, section 2.2",
        lambda asked: Said(completion(asked.text), drip=0.001),
        "same",
    ),
)
