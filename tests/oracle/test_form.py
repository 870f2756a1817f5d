"""A form: asked for as JSON or in tags, read back alike, and never more than what is there."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunescope.oracle.replies import STATUSES, tag_for
from tunescope.oracle.reply_schema import Form, Part, Question

PAIR = Form(
    "pair",
    (
        Part("reflection", "your criticism", optional=True),
        Part("new_instruction", "the new instruction"),
        Part("new_response", "the response to it"),
    ),
)
GRADE = Form("grade", (Part("score", "your grade", best=5, about="accuracy"), Part("reason", "why", optional=True)))
CHOICE = Form("choice", (Part("better", "which is better", choices=("1", "N/A")), Part("reason", "why", optional=True)))
ONE = Form("one", (Part("better", "the better text"),))


def read(form, text, finish_reason="stop"):
    return form.read_json(text, finish_reason)


def test_the_schema_is_one_that_strict_servers_take():
    """OpenAI: every object closed, every field required."""
    assert GRADE.schema() == {
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
    assert GRADE.as_json() == (
        "Reply with one JSON object and nothing else. It has these fields, in this order:\n"
        '"score" (a number from 0 to 5): your grade\n"reason" (text): why'
    )
    assert GRADE.as_tags(GRADE.tags("a <reason> why")) == (
        "Use exactly this form, each tag on a line of its own:\nScore: NUMBER\n<reason_2>\nwhy\n</reason_2>"
    )


def test_choices_and_numbers_without_an_end():
    better = {"type": "string", "description": "which is better", "enum": ["1", "N/A"]}
    assert CHOICE.schema()["schema"]["properties"]["better"] == better
    assert '"better" (one of "1", "N/A"): which is better' in CHOICE.as_json()
    assert CHOICE.as_tags(CHOICE.tags()).splitlines()[1:4] == [
        "<better>",
        'which is better (one of "1", "N/A")',
        "</better>",
    ]
    any_number = Form("any", (Part("n", "how many", best=float("inf")),))
    assert any_number.as_json().endswith('"n" (a number): how many')
    assert read(any_number, '{"n": 1e300}').numbers == {"n": 1e300}
    assert read(any_number, "no").why == "no one n in 'no'"


@pytest.mark.parametrize(
    ("value", "choice"),
    [
        *[(json.dumps(choice), choice) for choice in ("1", "N/A")],
        *[(value, None) for value in ('"2"', '" 1"', '"1."', '"n/a"', '""', "1", "true", "null", '["1"]')],
    ],
)
def test_a_choice_is_one_of_them_or_missing(value, choice):
    """N/A, as a choice, is no text that says nothing."""
    filled = read(CHOICE, f'{{"better": {value}, "reason": "1"}}')
    assert filled.texts.get("better") == choice
    assert (filled.status, filled.why) == (
        ("ok", "") if choice else ("unparsed", "no choice under better in the reply's JSON")
    )
    tagged = CHOICE.read_tags(f"<better>\n{choice}\n</better>", "stop", CHOICE.tags())
    assert tagged.status == ("ok" if choice else "unparsed")


def test_a_question_both_ways():
    question = Question(PAIR, lambda form: f"Think.\n{form}", ("See </new_response>.",), 7)
    tags, made = question.asked("tags"), question.asked("json")
    assert (tags.schema, made.schema) == (None, PAIR.schema())
    assert tags.prompt.startswith("Think.\nUse exactly this form")
    assert "<new_response_2>" in tags.prompt
    assert '"new_response" (text): the response to it' in made.prompt
    reply = "<new_instruction>\na\n</new_instruction>\n<new_response_2>\nb\n</new_response_2>"
    texts = {"new_instruction": "a", "new_response": "b"}
    assert (tags.read(reply, "stop").status, tags.read(reply, "stop").texts) == ("ok", texts)
    assert made.read(json.dumps(texts), "stop").texts == texts
    assert made.read(reply, "stop").status == "unparsed"


def test_a_prompt_without_a_form():
    for way in ("json", "tags"):
        asked = Question.plain("Name a town.", 3).asked(way)
        assert (asked.prompt, asked.schema) == ("Name a town.", None)
        assert asked.read("Ulm", "stop")[:4] == ("ok", {}, {}, "")
        assert asked.read("Ul", "length")[:4] == ("truncated", {}, {}, "the reply was cut off")
        assert asked.read("", "content_filter").status == "refused"
        half = asked.read("Ul\ud83d", "stop")
        assert (half.status, half.why) == (
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
    filled = read(PAIR, text, finish_reason)
    assert filled.status == status
    assert (filled.why == "") == (status == "ok")
    if texts is not None:
        assert list(filled.texts.values()) == list(texts)


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
    filled = read(GRADE, f'{{"score": {value}, "reason": "I see 3 of 5."}}')
    assert filled.numbers.get("score") == score
    assert filled.status == ("unparsed" if score is None else "ok")


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
    filled = GRADE.read_tags(text, finish_reason, GRADE.tags())
    assert filled.numbers.get("score") == score


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
    assert ONE.read_tags(marked, "stop", ONE.tags()).status == "unparsed"
    assert read(ONE, marked).status == "unparsed"
    for inner in (f"A {marked} b", f"x = a[0][End]\n{marked}", f"{marked}\n</better> and <better>"):
        tags = ONE.tags(inner)
        wrapped = f"Sure.\n<{tags['better']}>\n{inner}\n</{tags['better']}>\n"
        assert ONE.read_tags(wrapped, "stop", tags).texts == {"better": inner.strip()}
        assert read(ONE, json.dumps({"better": inner})).texts == {"better": inner.strip()}


TEXTS = st.text(st.characters(exclude_categories=["Cs"])).map(lambda text: f"{text.strip()} x")


@given(TEXTS, TEXTS, TEXTS, st.booleans(), st.booleans())
def test_any_texts_come_back_from_json(reflection, instruction, response, ascii_, fenced):
    texts = {"reflection": reflection, "new_instruction": instruction, "new_response": response}
    texts = {name: f"so {text}".strip() for name, text in texts.items()}
    text = json.dumps(texts, ensure_ascii=ascii_)
    filled = read(PAIR, f"```json\n{text}\n```" if fenced else text)
    assert (filled.status, filled.texts) == ("ok", texts)


@given(TEXTS, TEXTS, st.integers(0, 400))
def test_a_cut_reply_never_counts_as_whole(instruction, response, cut):
    """Wherever JSON, or a tagged section, is cut off: nothing of the cut part is taken for the whole."""
    texts = {"new_instruction": f"so {instruction}", "new_response": f"so {response}"}
    text = json.dumps(texts)
    filled = read(PAIR, text[: min(cut, len(text) - 1)], "length")
    assert filled.status == "truncated"
    assert set(filled.texts.items()) <= {(name, text.strip()) for name, text in texts.items()}
    filled = read(PAIR, text[: min(cut, len(text) - 1)], "stop")
    assert (filled.status, filled.texts) == ("unparsed", {})
    tags = {name: tag_for(name, *texts.values()) for name in texts}
    tagged = "\n".join(f"<{tags[name]}>\n{text}\n</{tags[name]}>" for name, text in texts.items())
    filled = PAIR.read_tags(tagged[: min(cut, len(tagged) - 1)], "length", {"reflection": "reflection", **tags})
    assert filled.status == "truncated"
    assert set(filled.texts.items()) <= {(name, text.strip()) for name, text in texts.items()}


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
        for filled in (form.read_json(text, finish_reason), form.read_tags(text, finish_reason, form.tags())):
            assert filled.status in STATUSES
            needed = {part.name for part in form.parts if not part.optional}
            assert (filled.status == "ok") == (needed <= {*filled.texts, *filled.numbers})
            assert all(0 <= number <= 5 for number in filled.numbers.values())
            for found in filled.texts.values():
                found.encode()
            filled.why.encode()
