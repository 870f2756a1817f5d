"""What a reply's body says: its text, its thoughts, how it ended and what it used, whatever server wrote it."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle.server import completion
from tunescope.errors import RejectedRequest
from tunescope.oracle.api import parse_reply, read_reply
from tunescope.oracle.body import Body

USAGE = {"prompt_tokens": 5, "completion_tokens": 7}


def body(message, finish_reason="stop"):
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}], "usage": USAGE}


def read(message, finish_reason="stop"):
    """Return text, thoughts and ending."""
    reply = read_reply(body({"role": "assistant", **message}, finish_reason))
    assert reply.usage == USAGE
    return reply.text, reply.thinking, reply.ending


@pytest.mark.parametrize(
    "message",
    [
        {"content": "<think>\nHm.\n</think>\n\nHi"},
        {"content": "Hm.\n</think>\n\nHi"},
        {"content": "Hi", "reasoning_content": "Hm."},
        {"content": "Hi", "reasoning": "Hm."},
        {"content": "Hi", "thinking": "Hm."},
        {"content": "Hi", "reasoning": "Hm.", "reasoning_content": "Hm."},
        {"content": "Hi", "reasoning": None, "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
        {"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi"}]},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "H"}, {"type": "text", "text": "m."}]},
                {"type": "text", "text": "H"},
                {"type": "text", "text": "i"},
            ]
        },
        {"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}, "Hi"]},
        {"content": [{"text": "Hm.", "thought": True}, {"text": "Hi"}, {"type": "image_url", "image_url": {}}]},
        {"content": [{"type": "output_text", "text": "<think>Hm.</think>Hi"}]},
    ],
)
def test_thoughts_are_beside_the_text(message):
    assert read(message) == ("Hi", "Hm.", "whole")


def test_thoughts_in_a_field_and_in_the_text_are_both_kept():
    assert read({"content": "<think>So.</think>Hi", "reasoning": "Hm."}) == ("Hi", "Hm.\n\nSo.", "whole")


@pytest.mark.parametrize("finish_reason", ["stop", "length", None])
@pytest.mark.parametrize(
    "message",
    [
        {"content": "<think>\nScore: 4"},
        {"content": "Score: 4\n</think>\n"},
        {"content": None, "reasoning_content": "Score: 4"},
        {"content": "", "reasoning": "Score: 4"},
        {"content": " \n", "reasoning": "Score: 4"},
        {"content": [{"type": "thinking", "thinking": "Score: 4"}]},
    ],
)
def test_a_reply_that_is_only_a_thought_was_cut(message, finish_reason):
    text, thinking, ending = read(message, finish_reason)
    assert (text.strip(), thinking, ending) == ("", "Score: 4", "cut")


@pytest.mark.parametrize(
    ("message", "finish_reason", "expected"),
    [
        ({"content": "Hi"}, "stop", ("Hi", None, "whole")),
        ({"content": "Hi"}, "STOP", ("Hi", None, "whole")),
        ({"content": "Hi"}, None, ("Hi", None, "unknown")),
        ({"content": "Hi"}, "max_tokens", ("Hi", None, "cut")),
        ({"content": "Hi"}, "x" * 1000, ("Hi", None, "cut")),
        ({"content": ""}, "stop", ("", None, "whole")),
        ({"content": None}, "SAFETY", ("", None, "refused")),
        ({"content": "I"}, "content_filter", ("I", None, "refused")),
        ({"content": None, "refusal": "I can't."}, "stop", ("I can't.", None, "refused")),
        ({"content": "", "refusal": "I can't."}, "stop", ("I can't.", None, "refused")),
        ({"content": [{"type": "refusal", "refusal": "I can't."}]}, "stop", ("I can't.", None, "refused")),
        ({"content": "Hi", "refusal": ""}, "stop", ("Hi", None, "whole")),
        ({"content": "Hi", "reasoning_content": ""}, "stop", ("Hi", None, "whole")),
        ({"content": "Hi", "reasoning_content": 4}, "stop", ("Hi", None, "whole")),
    ],
)
def test_text_and_ending(message, finish_reason, expected):
    assert read(message, finish_reason) == expected


def test_a_servers_word_is_kept_short_and_on_one_line():
    assert read_reply(body({"content": "Hi"}, "a\nb" + "c" * 100)).finish_reason == "a b" + "c" * 57


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "a reply without text (finish_reason stop)"),
        ([], "a reply without text (finish_reason stop)"),
        ([{"type": "tool_use", "input": {}}], "a reply without text (finish_reason stop)"),
        (4, "a reply whose content is a number; expected text"),
        (True, "a reply whose content is a boolean; expected text"),
        ({"text": "Hi"}, "a reply whose content is an object; expected text"),
        (["Hi", None], "a reply whose content is a list with null in it; expected text"),
    ],
)
def test_no_text_fails_in_one_sentence(content, reason):
    with pytest.raises(RejectedRequest, match=f"^{re.escape(reason)}$"):
        read_reply(body({"content": content}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "thinking", "reasoning", "refusal", "thought", "content", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["content", "reasoning", "reasoning_content", "refusal", "x"]), JSON),
    JSON,
    st.one_of(st.just(USAGE), JSON),
)
def test_any_body_is_read_or_refused(message, finish_reason, usage):
    content = {**body(message, finish_reason), "usage": usage}
    try:
        reply = parse_reply(Body(json.dumps(content).encode()))
    except RejectedRequest:  # and no other error: asked again, it would come again
        return
    assert isinstance(reply.text, str)
    assert reply.ending in ("whole", "cut", "refused", "unknown")


@given(st.text().filter(lambda text: "</" not in text and "|>" not in text))
def test_a_text_without_marks_comes_as_it_is(text):
    reply = read_reply(completion(f"It is: {text}"))
    assert (reply.text, reply.thinking) == (f"It is: {text}", None)
