"""Sections between tags: what quotes can't break, and the status of what isn't whole."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunescope.oracle.replies import Reply, tag_for, without_preamble
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.oracle.request import Request

ONE = ("better",)
TWO = ("new_instruction", "new_response")


def sections(text, finish_reason, names, tags=()):
    form = ReplySchema("sections", tuple(Field(name, "", is_request=name == "new_instruction") for name in names))
    return form.parse_tags(Reply(text, finish_reason), dict(zip(names, tags or names, strict=True)))


@pytest.mark.parametrize(
    "inner",
    [
        "The Endocrine system has glands. [End]",
        "[End]\nand on\n[Better Answer]",
        "x = a[0][End]  # [New Answer]\nif a < b > c: pass",
        "Write <better> before it and </better> after it.",
        "<better>\nlike this\n</better>",
        "Close it with </better>\nand that is all",
        "End\nEnd",
    ],
)
def test_what_a_section_quotes_stays_in_it(inner):
    found = sections(f"I thought about it. End.\n\n<better>\n{inner}\n</better>\n", "stop", ONE)
    assert (found.status, found.texts) == ("ok", {"better": inner})


def test_two_sections_in_their_order():
    text = "<new_instruction>Do it</new_instruction>\n\n<new_response>\n  Done\n</new_response>"
    assert sections(text, "stop", TWO).texts == {"new_instruction": "Do it", "new_response": "Done"}


@pytest.mark.parametrize(
    ("text", "finish_reason", "status", "missing"),
    [
        ("<new_instruction>a</new_instruction>", "stop", "partial", ("new_response",)),
        ("<new_response>a</new_response>", "stop", "partial", ("new_instruction",)),
        ("<new_instruction>N/A</new_instruction>\n<new_response>a</new_response>", "stop", "partial", TWO[:1]),
        ("<new_instruction>a</new_instruction>\n<new_response>b", "length", "truncated", ("new_response",)),
        ("[New Instruction] a [End] [New Answer] b [End]", "stop", "unparsed", TWO),
        ("<new_instruction>a", "stop", "unparsed", TWO),
        ("Una respuesta mejor es posible.", "stop", "unparsed", TWO),
        ("", "stop", "unparsed", TWO),
        ("I'm sorry, but I can't help with that.", "stop", "refused", TWO),
        ("", "content_filter", "refused", TWO),
        ("<new_response>a</new_response>\n<new_response>b</new_response>", "stop", "unparsed", TWO),
    ],
)
def test_what_isnt_whole(text, finish_reason, status, missing):
    found = sections(text, finish_reason, TWO)
    assert (found.status, tuple(name for name in TWO if name not in found.texts)) == (status, missing)


def test_a_tag_that_the_row_holds_isnt_used():
    assert tag_for("better", "a row", "of text") == "better"
    assert tag_for("better", "a <better> row") == "better_2"
    assert tag_for("better", "a </better> row", "<better_2>") == "better_3"
    text = "<better_2>It wrote <better>\nso\n</better>\n</better_2>"
    assert sections(text, "stop", ONE, ("better_2",)).texts == {"better": "It wrote <better>\nso\n</better>"}


@pytest.mark.parametrize(
    ("text", "rest", "line"),
    [
        (
            "Here is a new and complete answer with more details:\n\nPaint it.",
            "Paint it.",
            "Here is a new and complete answer with more details:",
        ),
        ("Sure! Here's the revised instruction:\n\nName it.", "Name it.", "Sure! Here's the revised instruction:"),
        ("**Here is the improved answer:**\nIt is.", "It is.", "**Here is the improved answer:**"),
        ("Here is an improved version:\n\n    x = 1\n", "    x = 1\n", "Here is an improved version:"),
        ("This is the improved response:\nIt is.", "It is.", "This is the improved response:"),
        (
            "Certainly, here is my rewritten prompt, as you asked:\nGo",
            "Go",
            "Certainly, here is my rewritten prompt, as you asked:",
        ),
        ("Below is a shorter version:\na", "a", "Below is a shorter version:"),
    ],
)
def test_preambles(text, rest, line):
    assert without_preamble(text) == (rest, line)


@pytest.mark.parametrize(
    "text",
    [
        "This is the correct response to a fire alarm: leave the building.",
        "This is the correct response to a fire alarm:\nleave the building.",
        "Sure! Here's the revised instruction: Name it.",
        "Here is the improved answer: 4",
        "Here is a better answer:",
        "Here is a better answer:\n \n",
        "Here are three towns: Ulm, Bonn, Kiel",
        "Here are the answers:\n1. Ulm\n2. Bonn",
        "Here is the answer:\n4",
        "Here is a new bicycle. It came with a version of the answer:\n4",
        "The answer: 4",
        "New towns have an answer to this. Here is the answer:\n4",
        "It is so.\nHere is the improved answer:\n4",
        "Here is new milk:\nthe answer",
    ],
)
def test_what_is_no_announcement_of_a_rewriting_stays(text):
    assert without_preamble(text) == (text, "")


ANNOUNCED = st.sampled_from(["Here is", "below is", "Sure! Here's", "this is", ""])
WORD = st.sampled_from(["the", "improved", "new", "answer", "response", "version", ":", ".", "\n", "leave", "here is"])


@given(st.tuples(ANNOUNCED, st.lists(WORD, max_size=12).map(" ".join)).map(" ".join) | st.text(max_size=60))
def test_only_a_whole_first_line_is_ever_taken_away(text):
    """Whatever is taken away is one line that ends in a colon and speaks of the rewriting; all behind it stays."""
    rest, line = without_preamble(text)
    if not line:
        assert rest == text
        return
    first, _, behind = text.lstrip().partition("\n")
    assert first.strip() == line
    assert behind.endswith(rest)
    assert not behind.removesuffix(rest).strip()
    assert re.search(r"improved|new|rewritten", line)
    assert re.search(r"answer|response|version", line)
    assert line.endswith(":")
    assert rest.strip()


@given(st.text(), st.text(), st.text(), st.sampled_from(["", "[End]", "</new_instruction>", "<new_response>"]))
def test_any_two_texts_come_back(before, first, second, quoted):
    """Whatever the texts are, and whatever markers of ours the row quotes, which then aren't the ones used."""
    texts = [f"{quoted} {text} x".strip() for text in (first, second)]
    tags = [tag_for(name, *texts, before) for name in TWO]
    reply = "\n".join([before, *(f"<{tag}>\n{text}\n</{tag}>" for tag, text in zip(tags, texts, strict=True))])
    assert sections(reply, "stop", TWO, tags).texts == dict(zip(TWO, texts, strict=True))


@pytest.mark.parametrize(
    ("finish_reason", "status"),
    [
        *[(word, "ok") for word in ("stop", "end_turn", "eos_token", "COMPLETE", "STOP")],
        *[(word, "truncated") for word in ("length", "max_tokens", "model_length", "MAX_TOKENS", "error", "abort")],
        *[(word, "truncated") for word in ("insufficient_system_resource", "tool_calls", "weird", None)],
        *[(word, "refused") for word in ("content_filter", "refusal", "SAFETY")],
    ],
)
def test_a_free_text_is_whole_only_where_the_server_says_so(finish_reason, status):
    assert Request.plain("Say it").parse(Reply("It is said.", finish_reason), "tags").status == status


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("<new_instruction>a</new_instruction>\n<new_response>b</new_response>\n", "ok"),
        ("<new_instruction>a</new_instruction>\n<new_response>b", "truncated"),
        ("<new_instruction>a</new_instruction>", "truncated"),  # its form demands one more section
        ("I'm sorry, but I can't help with that.", "refused"),
        ("Well", "truncated"),
    ],
)
def test_the_form_tells_where_the_server_doesnt_say_how_a_reply_ended(text, status):
    parsed = sections(text, None, TWO)
    assert parsed.status == status
    assert ("doesn't say how the reply ended" in parsed.problem) == (status == "truncated")


def test_why_a_reply_was_cut():
    reply = Request.plain("Say it").parse(Reply("It", "abort"), "tags")
    assert reply.problem == "the reply was cut off (finish_reason abort)"
    for word, more in (("stop", " (finish_reason stop)"), ("length", "; give it more --max-new-tokens")):
        thought = Request.plain("Say it").parse(Reply("", word, thinking="Hm"), "tags")
        assert (thought.status, thought.problem) == (
            "truncated",
            f"the model only thought, and said nothing{more}",
        )


@pytest.mark.parametrize("text", ["None.", "N/A", "null", "🐶", "...", "?", "No changes.", "no", "0", "Same"])
def test_short_answers_are_answers_and_no_requests(text):
    assert sections(f"<new_response>{text}</new_response>", "stop", TWO[1:]).texts == {"new_response": text}
    found = ReplySchema("one", (Field("new_response", ""),)).parse_json(
        Reply(json.dumps({"new_response": text}), "stop")
    )
    assert (found.status, found.texts) == ("ok", {"new_response": text})
    if text not in ("No changes.", "no", "0", "Same"):
        assert sections(f"<new_instruction>{text}</new_instruction>", "stop", TWO[:1]).status == "unparsed"


@pytest.mark.parametrize(
    "text", ["", " ", "\u200b", "No changes needed.", "**No further changes are necessary**", "(same as above)"]
)
def test_what_says_nothing(text):
    assert sections(f"<new_response>{text}</new_response>", "stop", TWO[1:]).status == "unparsed"


def test_an_optional_field_may_say_that_there_is_nothing():
    schema = ReplySchema("one", (Field("reason", "", optional=True), Field("new_response", "")))
    assert schema.parse_json(Reply('{"reason": "N/A", "new_response": "None."}', "stop")).texts == {
        "new_response": "None."
    }
