"""What a judge's reply says: its own last verdict, and nothing that merely looks like one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunescope.judgements.parsing import aspect_score, aspects, letter, number, rating, two_scores
from tunescope.judgements.records import AspectScore


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8 9", (8, 9)),
        ("8, 9", (8, 9)),
        ("8 9 ", (8, 9)),
        ("(8, 9)", (8, 9)),
        ("[8.5, 9]", (8.5, 9)),
        ("8/9", (8, 9)),
        ("10/10 10/10", (10, 10)),
        ("8/10 and 10/10.", (8, 10)),
        ("8.5/10, 9.25/10", (8.5, 9.25)),
        ("**8 | 9**", (8, 9)),
        ("<think>\nThe first says 10 1\n10 1\n</think>\n\n8 9", (8, 9)),
        ("8/10 9/10", (8, 9)),
        ("8/10, 9/10", (8, 9)),
        ("8 and 9", (8, 9)),
        ("**8** **9**", (8, 9)),
        ("`8 9`.", (8, 9)),
        ("Output: (10, 10)", (10, 10)),
        ("The output Python tuple is: (10, 10)", (10, 10)),
        ("Both are good.\n\nScores: 7 4\n", (7, 4)),
        ('{"assistant_1": 8, "assistant_2": "9"}', (8, 9)),
        ('Thoughts first.\n```json\n{"scores": [8, 9]}\n```', (8, 9)),
        ('Thoughts {first}.\n{"Assistant 1": 3, "Assistant 2": 4.5}', (3, 4.5)),
        ("[8, 9]", (8, 9)),
    ],
)
def test_two_scores(text, expected):
    assert two_scores(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8",
        "-1 -1",
        "0 11",
        "1,000",
        "2. 5",
        "8 9 7",
        "I give 8 and 9.",
        "Assistant 1 names 3 cities and 4 rivers.",
        "Assistant 1: 8",
        "8/10",
        "**8 / 10**.",
        "Rating: 8.5/10",
        "Score for the second answer: 9/10",  # one score of ten, not nine against ten
        "| Depth | 8 | 9 |",
        "8,5 9,0",
        "Bewertung: 8,5",
        "Assistant 1: 8\nAssistant 2: 9",
        "<think>\nPerhaps\n8 9",
        "<think>\nPerhaps\n8 9\n</think>\nI can't decide.",
        'The answer ends with "10 1"',
        '"10 1"',
        "The answer says: 10 1",
        "8 9\nBoth are good.",  # the explanation comes first by default
        "10 1\nso says the answer.\nI can't decide.",
        "٨ ٩",
        '{"assistant_1": 8}',
        '{"assistant_1": true, "assistant_2": 9}',
        '{"scores": [8, 9, 10]}',
        '{"assistant_1": 8, "assistant_2": 9} and so on',
        "8" + " " * 100_000 + "x",
    ],
)
def test_no_two_scores(text):
    assert two_scores(text) is None


def test_scores_before_the_explanation():
    assert two_scores("8 9\nBoth are good, 3 4.", "first") == (8, 9)
    assert two_scores("8 9\nThe second ends with\n10 1", "first") == (8, 9)
    assert two_scores("First, I solve it.\n\nOutput: (10, 4)", "first") == (10, 4)
    assert two_scores("First, I solve it.\n8 9\nDone.", "first") is None
    assert two_scores("<think>\n10 1\n</think>\n8 9\nBoth are good.", "first") == (8, 9)
    assert two_scores("10/10\nThe second has\n8 9", "first") == (8, 9)
    assert two_scores("0 0", "first") is None
    assert two_scores("0 0", "first", low=0) == (0, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[A]]", "A"),
        ("Long thoughts.\n\nFinal verdict: [[B]].", "B"),
        ('Assistant A says "[[A]]", which is a trick.\nMy verdict is [[B]]', "B"),
        ("[[C]]\nBoth are the same.", "C"),
        ("**[[A]]**", "A"),
        ("so [[A]], yes, [[A]]", "A"),
        ("<think>[[A]]</think>\n[[B]]", "B"),
        ("<think>\nMaybe\n[[A]]", None),
        ('The answer contains "[[A]]".', None),
        ('"[[A]]"', None),
        ("The answer contains [[A]].\nI can't decide.", None),
        ("[[A]] is better than [[B]]", None),
        ("[[D]]", None),
        ("A", None),
        ("", None),
    ],
)
def test_letter(text, expected):
    assert letter(text) == expected


def test_rating():
    assert rating("Good.\nRating: [[8.5]]") == 8.5
    assert rating("<think>\nRating: [[2]]\n</think>\nRating: [[9]]") == 9
    assert rating("<think>\nRating: [[2]]") is None
    assert rating("Rating: [[11]]") is None
    assert rating("[[5]] was asked for.\nI don't rate.") is None
    assert rating("The answer is 5.") is None


def test_aspects():
    reply = {"Helpfulness": {"reason": "x", "score": "4"}, "depth": {"reason": "", "score": "N/A"}, "clarity": 6}
    expected = {
        "helpfulness": AspectScore(4, "ok"),
        "depth": AspectScore(None, "not_applicable"),
        "clarity": AspectScore(None, "unparsed"),
    }
    for text in (
        json.dumps(reply),
        json.dumps(reply, indent=2),
        f"Here:\n```json\n{json.dumps(reply)}\n```\n",
        f"So:\n{json.dumps(reply)}",
    ):
        assert aspects(text) == expected
    assert aspects(json.dumps(reply), ["depth", "safety"]) == {
        "depth": AspectScore(None, "not_applicable"),
        "safety": AspectScore(None, "missing"),
    }
    for text in ("", "5 5 5", "{}", '{"depth": "good"}', json.dumps(reply) + " and so on", "[1, 2]", '{"depth": 4'):
        assert aspects(text) is None


def test_one_aspect():
    assert aspect_score("3") == AspectScore(3, "ok")
    assert aspect_score(None) == AspectScore(None, "missing")
    assert aspect_score("n/a") == AspectScore(None, "not_applicable")
    for value in ("three", True, [], {}, {"reason": "no score"}, 0, 5.5, "1e9", float("nan")):
        assert aspect_score(value) == AspectScore(None, "unparsed")
    assert aspect_score(-1, 1, 10) == AspectScore(None, "unparsed")


@given(st.text())
def test_any_text_is_read_without_a_fault(text):
    for found in (two_scores(text), two_scores(text, "first")):
        assert found is None or all(1 <= score <= 10 for score in found)
    assert letter(text) in (None, "A", "B", "C")
    value = rating(text)
    assert value is None or 1 <= value <= 10
    for score in (aspects(text) or {}).values():
        assert (score.value is not None) == (score.status == "ok")


PLAIN = st.text(alphabet=st.characters(blacklist_categories=["Cs", "Nd"], blacklist_characters="[]{}\n"))


@given(PLAIN, st.integers(1, 10), st.integers(1, 10), st.sampled_from(["10 1", "[[A]]", '"[[A]]"', "1/10"]), PLAIN)
def test_what_a_reply_quotes_before_its_verdict_never_votes(before, a, b, quoted, after):
    assert two_scores(f"{before}\n{quoted}\n{after}\n{a} {b}") == (a, b)
    assert letter(f"{before} {quoted} {after}\n[[B]]") == "B"


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_numbers(value):
    found = number(value)
    assert found is None or (isinstance(value, int | float | str) and not isinstance(value, bool))
    assert aspect_score(value).status in ("ok", "not_applicable", "unparsed", "missing")
