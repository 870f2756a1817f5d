"""Grades: what is read as one, in JSON and in text alike, and why there is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunescope.oracle.grades import Grade, read_grade
from tunescope.oracle.replies import Reply
from tunescope.oracle.reply_schema import Field, ReplySchema

GRADES = [
    ("4", 4),
    ("4.5", 4.5),
    ("5.", 5),
    ("**4.5**", 4.5),
    ("4.5/5", 4.5),
    ("4 / 5", 4),
    ("Score: 4.5", 4.5),
    ("score: 0", 0),
    ("Score: 4 (out of 5)", 4),
    ("Score: 4 out of 5.", 4),
    ("4 out of 5 stars", 4),
    ("4 stars", 4),
    ("**Rating:** 4", 4),
    ("**Rating**: 4/5", 4),
    ("**Score: 4.5**", 4.5),
    ("### Overall score: 4", 4),
    ("- Score: 4", 4),
    ("Rating = 3 out of 5", 3),
    ("My rating is 3", 3),
    ("Score 4/5", 4),
    ("Score: [4]", 4),
    ("Rating: [[4]]", 4),
    ("Accuracy: 2", 2),
    ("Accuracy score: 2", 2),
    ("Score for accuracy: 2", 2),
    ("Score: 4,5", 4.5),
    ("4,5", 4.5),
    ("Score: 4.5\nThe response names 3 of 5 causes.", 4.5),
    ("I read it.\n\nScore: 5\n", 5),
    ("Score: 4\nFinal score: 4.0", 4),
    ("4/5\nI read 1000 such.\n2024", 4),
    ('{"score": 5}', 5),
    ('{"score": "4/5", "reason": "It is."}', 4),
    ('```json\n{"rating": 4}\n```', 4),
    ('Here it is:\n{"Accuracy": 4.5}\nThat is all.', 4.5),
    ("Score: ٣", 3),
    ("Score： ４／５", 4),
    ("Score: 4\u200b", 4),
    ("Score: 0.30000000000000004", 0.30000000000000004),
    ("Score: 4e0", 4),
]
NO_GRADES = [
    ("Score: 4\nScore: 2", "ambiguous", "4 and 2"),
    ("4\nScore: 2", "ambiguous", "4 and 2"),
    ('Score: 4\n{"score": 2}', "ambiguous", "4 and 2"),
    ("Score: 4\n8/10", "ambiguous", "4 and 8/10"),
    ("8/10", "other_scale", "8/10"),
    ("Score: 4.5 out of 10", "other_scale", "4.5/10"),
    ("Score: 4 on a scale of 1 to 10", "other_scale", "4/10"),
    ("Score: 6", "out_of_range", "6"),
    ("Score: -1", "out_of_range", "-1"),
    ("6/5", "out_of_range", "6/5"),
    ("90", "out_of_range", "90"),
    ("Score: 1e400", "out_of_range", "1e400"),
    ("Score: " + "9" * 150, "out_of_range", "9" * 19 + "…"),
    ('{"score": ' + "9" * 400 + "}", "out_of_range", "inf"),
    ('{"score": Infinity}', "out_of_range", "inf"),
    ('{"score": NaN}', "none", ""),
    ('{"score": true}', "none", ""),
    ('{"score": 4, "score": 4}', "none", ""),
    ('It says {"score": 5} and no more.', "none", ""),
    ('{"x": {"score": 5}}', "none", ""),
    ('{"x": 1} {"score": 5}', "none", ""),
    ("{}" * 10_000, "none", ""),
    ("Score: 4 or 5", "none", ""),
    ("Score: 4-5", "none", ""),
    ("Score: four", "none", ""),
    ("Score: 4½", "none", ""),
    ("½", "none", ""),
    ("4²", "none", ""),
    ("Score: 1,000", "none", ""),
    ("Score: 9/", "none", ""),
    ("> Score: 5", "none", ""),
    ('"Score: 5"', "none", ""),
    ("The response is accurate, I give it a 5.", "none", ""),
    ("1. It is right.", "none", ""),
    ("1.\nIt is right.\n2.\nIt is short.", "none", ""),
    ("Score:", "none", ""),
    ("", "none", ""),
    ("Score: " + "(" * 100_000, "none", ""),
    ("9" * 100_000, "none", ""),
    ("{" * 100_000, "none", ""),
]


@pytest.mark.parametrize(("text", "value"), GRADES)
def test_what_is_a_grade(text, value):
    assert read_grade(text, 0, 5, "accuracy") == Grade(value)


@pytest.mark.parametrize(("text", "why", "said"), NO_GRADES)
def test_what_is_none_and_why(text, why, said):
    assert read_grade(text, 0, 5, "accuracy") == Grade(None, why, said)


def test_other_scales():
    assert read_grade("Score: 85/100", 0, 100) == Grade(85)
    assert read_grade("Score: 4/5", 0, 100) == Grade(None, "other_scale", "4/5")
    assert read_grade("4 stars", 1, 10) == Grade(None, "other_scale", "4/5")
    assert read_grade("0", 1, 5) == Grade(None, "out_of_range", "0")
    assert read_grade(10**5000, 1, 5) == Grade(None, "out_of_range", "inf")


SCHEMA = ReplySchema(
    "rating", (Field("score", "your grade", maximum=5, label="accuracy"), Field("reason", "why", optional=True))
)


@pytest.mark.parametrize("text", [text for text, *_ in [*GRADES, *NO_GRADES]])
def test_json_and_text_are_judged_alike(text):
    """Whichever way a reply was asked for, and whether the grade is a text in JSON or one of its own."""
    reply = Reply(text, "stop")
    as_text, as_json = SCHEMA.parse_tags(reply, SCHEMA.tags()), SCHEMA.parse_json(reply)
    assert as_text.numbers == as_json.numbers
    assert as_text.status == as_json.status
    assert SCHEMA.parse_json(Reply(json.dumps({"score": text}), "stop")).numbers == as_text.numbers


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Score: 9", "score 9, which isn't from 0 to 5"),
        ("8/10", "score 8/10, which is on another scale than from 0 to 5"),
        ("Score: 4\nScore: 2", "different numbers for score: 4 and 2"),
        ("Good.", "no one score from 0 to 5 in 'Good.'"),
    ],
)
def test_a_missing_grade_has_its_reason(text, problem):
    for parsed in (SCHEMA.parse_tags(Reply(text, "stop"), {}), SCHEMA.parse_json(Reply(text, "stop"))):
        assert (parsed.status, parsed.numbers, parsed.problem) == ("unparsed", {}, problem)


@given(
    st.one_of(
        st.text(),
        st.lists(st.sampled_from(["Score", ":", " ", "4", "/", "5", "\n", "{", '"score"', "}", ".", "9" * 30])).map(
            "".join
        ),
        st.floats(),
        st.integers(-(10**400), 10**400),
        st.none(),
        st.lists(st.integers()),
    )
)
def test_any_value_is_on_the_scale_or_has_a_reason(value):
    grade = read_grade(value, 1, 5, "accuracy")
    assert (grade.value is None) == bool(grade.why)
    assert grade.value is None or 1 <= grade.value <= 5
