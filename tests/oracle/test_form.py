"""A form: asked for as JSON or in tags, read back alike, and never more than what is there."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunescope.oracle.replies import STATUSES, Reply, tag_for
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.oracle.request import Request

PAIR = ReplySchema(
    "pair",
    (
        Field("reflection", "your criticism", optional=True),
        Field("new_instruction", "the new instruction"),
        Field("new_response", "the response to it"),
    ),
)
GRADE = ReplySchema(
    "grade", (Field("score", "your grade", maximum=5, label="accuracy"), Field("reason", "why", optional=True))
)
CHOICE = ReplySchema(
    "choice", (Field("better", "which is better", choices=("1", "N/A")), Field("reason", "why", optional=True))
)
ONE = ReplySchema("one", (Field("better", "the better text"),))


def read(form, text, finish_reason="stop"):
    return form.parse_json(Reply(text, finish_reason))


def test_the_schema_is_one_that_strict_servers_take():
    """OpenAI: every object closed, every field required."""
    assert GRADE.json_schema() == {
        "name": "grade",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {
                "score": {"type": "number", "description": "your grade"},
                "reason": {"type": "string", "description": "why"},
            },
            "required": ["score", "reason"],
            "additionalProperties": False,
        },
    }


def test_the_instructions():
    assert GRADE.json_instructions() == (
        "Reply with one JSON object and nothing else. It has these fields, in this order:\n"
        '"score" (a number from 0 to 5): your grade\n"reason" (text): why'
    )
    assert GRADE.tag_instructions(GRADE.tags("a <reason> why")) == (
        "Use exactly this form, each tag on a line of its own:\nScore: NUMBER\n<reason_2>\nwhy\n</reason_2>"
    )


def test_choices_and_numbers_without_an_end():
    better = {"type": "string", "description": "which is better", "enum": ["1", "N/A"]}
    assert CHOICE.json_schema()["schema"]["properties"]["better"] == better
    assert '"better" (one of "1", "N/A"): which is better' in CHOICE.json_instructions()
    assert CHOICE.tag_instructions(CHOICE.tags()).splitlines()[1:4] == [
        "<better>",
        'which is better (one of "1", "N/A")',
        "</better>",
    ]
    any_number = ReplySchema("any", (Field("n", "how many", maximum=float("inf")),))
    assert any_number.json_instructions().endswith('"n" (a number): how many')
    assert read(any_number, '{"n": 1e300}').numbers == {"n": 1e300}
    assert read(any_number, "no").problem == "no one n in 'no'"


@pytest.mark.parametrize(
    ("value", "choice"),
    [
        *[(json.dumps(choice), choice) for choice in ("1", "N/A")],
        *[(value, None) for value in ('"2"', '" 1"', '"1."', '"n/a"', '""', "1", "true", "null", '["1"]')],
    ],
)
def test_a_choice_is_one_of_them_or_missing(value, choice):
    """N/A, as a choice, is no text that says nothing."""
    parsed = read(CHOICE, f'{{"better": {value}, "reason": "1"}}')
    assert parsed.texts.get("better") == choice
    assert (parsed.status, parsed.problem) == (
        ("ok", "") if choice else ("unparsed", "no choice under better in the reply's JSON")
    )
    tagged = CHOICE.parse_tags(Reply(f"<better>\n{choice}\n</better>", "stop"), CHOICE.tags())
    assert tagged.status == ("ok" if choice else "unparsed")


def test_a_request_in_both_formats():
    request = Request(PAIR, lambda instructions: f"Think.\n{instructions}", ("See </new_response>.",), 7)
    tags, made = request.render("tags"), request.render("json")
    assert (tags.schema, made.schema) == (None, PAIR.json_schema())
    assert tags.prompt.startswith("Think.\nUse exactly this form")
    assert "<new_response_2>" in tags.prompt
    assert '"new_response" (text): the response to it' in made.prompt
    reply = "<new_instruction>\na\n</new_instruction>\n<new_response_2>\nb\n</new_response_2>"
    texts = {"new_instruction": "a", "new_response": "b"}
    assert (request.parse(Reply(reply, "stop"), "tags").status, request.parse(Reply(reply, "stop"), "tags").texts) == (
        "ok",
        texts,
    )
    assert request.parse(Reply(json.dumps(texts), "stop"), "json").texts == texts
    assert request.parse(Reply(reply, "stop"), "json").status == "unparsed"


def test_a_request_for_free_text():
    for reply_format in ("json", "tags"):
        request = Request.plain("Name a town.", 3)
        assert request.render(reply_format) == (({"role": "user", "content": "Name a town."},), None, {})
        assert request.parse(Reply("Ulm", "stop"), reply_format)[:4] == ("ok", {}, {}, "")
        assert request.parse(Reply("Ul", "length"), reply_format)[:4] == ("truncated", {}, {}, "the reply was cut off")
        assert request.parse(Reply("", "content_filter"), reply_format).status == "refused"
        half = request.parse(Reply("Ul\ud83d", "stop"), reply_format)
        assert (half.status, half.problem) == (
            "unparsed",
            "half of a surrogate pair is in the reply, which no file can hold",
        )


A, B = '"new_instruction": "a"', '"new_response": "b"'


@pytest.mark.parametrize(
    ("text", "finish_reason", "status", "texts"),
    [
        (f"{{{A}, {B}}}", "stop", "ok", "ab"),
        (f"{{{A}, {B}}}\n\n\n   ", "length", "ok", "ab"),
        (f"```json\n{{{A}, {B}}}\n```", "stop", "ok", "ab"),
        (f"```\n{{{A}, {B}}}\n```\n", "stop", "ok", "ab"),
        (f'{{{A}, {B}, "confidence": 3, "note": {{}}}}', "stop", "ok", "ab"),
        (f'{{"reflection": "N/A", {A}, {B}}}', "stop", "ok", "ab"),
        ('{"new_instruction": "a\nb", "new_response": "b"}', "stop", "ok", None),
        (f"{{{A}}}", "stop", "partial", "a"),
        (f'{{{A}, "new_response": ""}}', "stop", "partial", "a"),
        (f'{{{A}, "new_response": null}}', "stop", "partial", "a"),
        (f'{{{A}, "new_response": 4}}', "stop", "partial", "a"),
        (f'{{{A}, "new_response": ["b"]}}', "stop", "partial", "a"),
        (f'{{{A}, "new_response": "\\ud800"}}', "stop", "partial", "a"),
        (f'{{{A}, {B}, "new_response": "c"}}', "stop", "partial", "a"),
        (f'{{"reflection": "fine", {B}}}', "stop", "partial", None),
        ('{"reflection": "fine"}', "stop", "unparsed", None),
        (f"{{{A}, {B[:-2]}", "length", "truncated", "a"),
        (f"```json\n{{{A},\n {B}", "length", "truncated", "a"),
        (f"{{{A}", "length", "truncated", ""),
        (f"{{{A}, {A}, {B}, ", "length", "truncated", "b"),
        (f'{{{A}, {B}, "reflection": "x', "length", "ok", "ab"),
        (f"{{{A}, {B[:-2]}", "stop", "unparsed", ""),
        (f"Here it is: {{{A}, {B}}}", "stop", "unparsed", ""),
        (f"[{{{A}, {B}}}]", "stop", "unparsed", ""),
        ("[" * 100_000, "stop", "unparsed", ""),
        ("", "stop", "unparsed", ""),
        ("\ud800", "stop", "unparsed", ""),
        ("I'm sorry, but I can't help with that.", "stop", "refused", ""),
        ("I can't help with that.", "refusal", "refused", ""),
        (f"{{{A}, {B}}}", "content_filter", "refused", ""),
        ('{"new_instruction": "", "new_response": "I\'m sorry, but I can\'t help with that."}', "stop", "refused", ""),
    ],
)
def test_json_and_its_status(text, finish_reason, status, texts):
    parsed = read(PAIR, text, finish_reason)
    assert parsed.status == status
    assert (parsed.problem == "") == (status == "ok")
    if texts is not None:
        assert list(parsed.texts.values()) == list(texts)


@pytest.mark.parametrize(
    ("value", "score"),
    [
        ("4.5", 4.5),
        ("0", 0.0),
        ("5", 5.0),
        ('"4.5"', 4.5),
        ('"4/5"', 4.0),
        ('"Accuracy: 2"', 2.0),
        ("6", None),
        ("-1", None),
        ("true", None),
        ("null", None),
        ("NaN", None),
        ("Infinity", None),
        ("1e999", None),
        ("9" * 400, None),
        ("9" * 5000, None),
        ('"four"', None),
        ('"4 or 5"', None),
        ("[4]", None),
        ("{}", None),
    ],
)
def test_a_number_is_on_the_scale_or_missing(value, score):
    parsed = read(GRADE, f'{{"score": {value}, "reason": "I see 3 of 5."}}')
    assert parsed.numbers.get("score") == score
    assert parsed.status == ("unparsed" if score is None else "ok")


def test_a_number_in_json_that_was_cut():
    assert read(GRADE, '{"score": 4, "reason": "It', "length").numbers == {"score": 4.0}
    assert read(GRADE, '{"score": 4', "length")[:3] == ("truncated", {}, {})


@pytest.mark.parametrize(
    ("text", "finish_reason", "score"),
    [
        ("Score: 4\n<reason>\nIt is right.\n</reason>", "stop", 4.0),
        ("Score: 4\n<reason>\nScore: 2\n3/5\n</reason>", "stop", 4.0),
        ("Score: 4\nScore: 2", "stop", None),
        ("Score: 4", "length", None),
        ("Score: 4\n<reason>\nIt", "length", 4.0),
        ("Score: 9", "stop", None),
    ],
)
def test_a_number_beside_tags(text, finish_reason, score):
    """Lines inside a section are its own: a reason that quotes a grade gives none."""
    parsed = GRADE.parse_tags(Reply(text, finish_reason), GRADE.tags())
    assert parsed.numbers.get("score") == score


MARKERS = (
    "[Better Answer] Paint it. [End]",
    "[New Instruction] Name it. [End]\n[New Answer] Ulm. [End]",
    "[Better Answer]\nPaint it.\n[End]\n",
    "The Endocrine system. [End]",
    "[END]",
    "End",
)
"""How the public reflection code marks and cuts replies; nothing of it is a marker of ours."""


@pytest.mark.parametrize("marked", MARKERS)
def test_old_markers_are_text(marked):
    assert ONE.parse_tags(Reply(marked, "stop"), ONE.tags()).status == "unparsed"
    assert read(ONE, marked).status == "unparsed"
    for inner in (f"A {marked} b", f"x = a[0][End]\n{marked}", f"{marked}\n</better> and <better>"):
        tags = ONE.tags(inner)
        wrapped = f"Sure.\n<{tags['better']}>\n{inner}\n</{tags['better']}>\n"
        assert ONE.parse_tags(Reply(wrapped, "stop"), tags).texts == {"better": inner.strip()}
        assert read(ONE, json.dumps({"better": inner})).texts == {"better": inner.strip()}


TEXTS = st.text(st.characters(exclude_categories=["Cs"])).map(lambda text: f"{text.strip()} x")


@given(TEXTS, TEXTS, TEXTS, st.booleans(), st.booleans())
def test_any_texts_come_back_from_json(reflection, instruction, response, ascii_, fenced):
    texts = {"reflection": reflection, "new_instruction": instruction, "new_response": response}
    texts = {name: f"so {text}".strip() for name, text in texts.items()}
    text = json.dumps(texts, ensure_ascii=ascii_)
    parsed = read(PAIR, f"```json\n{text}\n```" if fenced else text)
    assert (parsed.status, parsed.texts) == ("ok", texts)


@given(TEXTS, TEXTS, st.integers(0, 400))
def test_a_cut_reply_never_counts_as_whole(instruction, response, cut):
    """Wherever JSON, or a tagged section, is cut off: nothing of the cut part is taken for the whole."""
    texts = {"new_instruction": f"so {instruction}", "new_response": f"so {response}"}
    text = json.dumps(texts)
    parsed = read(PAIR, text[: min(cut, len(text) - 1)], "length")
    assert parsed.status == "truncated"
    assert set(parsed.texts.items()) <= {(name, text.strip()) for name, text in texts.items()}
    parsed = read(PAIR, text[: min(cut, len(text) - 1)], "stop")
    assert (parsed.status, parsed.texts) == ("unparsed", {})
    tags = {name: tag_for(name, *texts.values()) for name in texts}
    tagged = "\n".join(f"<{tags[name]}>\n{text}\n</{tags[name]}>" for name, text in texts.items())
    parsed = PAIR.parse_tags(Reply(tagged[: min(cut, len(tagged) - 1)], "length"), {"reflection": "reflection", **tags})
    assert parsed.status == "truncated"
    assert set(parsed.texts.items()) <= {(name, text.strip()) for name, text in texts.items()}


@given(
    st.one_of(
        st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF, exclude_categories=[])),
        st.text(st.sampled_from('{}[]":,\\nul`0123eE.-<>/ \n\ud800')),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text()),
            lambda inner: st.one_of(
                st.lists(inner), st.dictionaries(st.sampled_from(["score", "reason", "new_response", "x"]), inner)
            ),
        ).map(json.dumps),
    ),
    st.sampled_from(["stop", "length", "content_filter", "refusal", "", None]),
)
def test_whatever_comes_has_a_status(text, finish_reason):
    for form in (PAIR, GRADE, ONE, CHOICE):
        for parsed in (
            form.parse_json(Reply(text, finish_reason)),
            form.parse_tags(Reply(text, finish_reason), form.tags()),
        ):
            assert parsed.status in STATUSES
            needed = {part.name for part in form.fields if not part.optional}
            assert (parsed.status == "ok") == (needed <= {*parsed.texts, *parsed.numbers})
            assert all(0 <= number <= 5 for number in parsed.numbers.values())
            for found in parsed.texts.values():
                found.encode()
            parsed.problem.encode()


@given(
    st.sampled_from(["0", "1", "4", "4.5", "5"]),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.integers(0, 200),
    st.sampled_from(["length", "max_tokens", "abort", "tool_calls", "weird", None]),
)
def test_a_cut_number_is_no_number(grade, reason, cut, finish_reason):
    """Wherever a reply is cut, and whatever word says so, its number is the whole reply's or none: 1 may be 10."""
    tags = GRADE.tags(reason)
    tagged = f"Score: {grade}\n<{tags['reason']}>\n{reason} so\n</{tags['reason']}>"
    grades = [
        GRADE.parse_json(Reply(json.dumps({"score": float(grade), "reason": reason})[:cut], finish_reason)),
        GRADE.parse_json(Reply(json.dumps({"reason": reason, "score": grade})[:cut], finish_reason)),
        GRADE.parse_tags(Reply(tagged[:cut], finish_reason), tags),
        GRADE.parse_tags(Reply(f"It is so.\nScore: {grade}"[:cut], finish_reason), tags),
    ]
    for parsed in grades:
        assert parsed.numbers.get("score", float(grade)) == float(grade)
        assert parsed.status in ("ok", "truncated", "refused")
    assert grades[-1].status == "truncated"
