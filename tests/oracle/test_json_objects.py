"""JSON objects in a text: all that a plain reader finds, in work that grows with the text and no faster."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.tools import examples
from tunescope.oracle.json_objects import ObjectScan, begun_object, keep_once, object_of, whole_number

PLAIN = json.JSONDecoder(object_pairs_hook=keep_once, parse_int=whole_number, strict=False)
"""Python's reader."""
MOST_WORK = 5
"""Characters read for each character of a text."""


def plain(text):
    """Try to read an object from every brace: what `ObjectScan` finds, in time that grows with the square."""
    found = []
    for start in (place for place, character in enumerate(text) if character == "{"):
        try:
            value, end = PLAIN.raw_decode(text, start)
        except ValueError:
            continue
        found.append((repr(value), start, end))
    return found


def scanned(text):
    return [(repr(found.value), found.start, found.end) for found in ObjectScan(text).objects]


PIECES = st.sampled_from(
    [
        *['{"', '"}', "{", "}", "[", "]", '"', ":", ",", "\\", '\\"', "\\u0041", "\\u00", " ", "\n", "\x00", "a", "é"],
        *["0", "-1", "1.5", "01", "8e0", "1e", "1E+400", "-", "NaN", "Infinity", "-Infinity", "null", "tru", "true"],
        *['"a":', '{"a":1}', '{"a": {"b": [1, {}]}}', '"a":1,"a":2', ',"', '":', "```json\n", "9" * 30],
    ]
)
TEXTS = st.lists(PIECES, max_size=30).map("".join)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=examples(400))
@given(TEXTS)
@example('{"a{":":","{":":"}')
@example('{"a": 1,}')
@example('{"":{"":{"":')
@example('{ "oops {"depth":5}')
@example('{"a":"\\"{\\"b\\":1}"}')
def test_the_objects_of_any_text_are_those_of_a_plain_reader(text):
    assert scanned(text) == plain(text)
    assert ObjectScan(text).work <= MOST_WORK * len(text)


@settings(max_examples=examples(100))
@given(DOCUMENTS, st.sampled_from([None, 1]), TEXTS, st.integers(0, 200))
def test_the_objects_of_a_document_are_those_of_a_plain_reader(value, indent, before, cut):
    text = json.dumps({"a": value}, indent=indent)
    for whole in (text, before + text, text[:cut], json.dumps(text)):
        assert scanned(whole) == plain(whole)
        assert ObjectScan(whole).work <= MOST_WORK * len(whole)


@pytest.mark.parametrize(
    "unit",
    [
        *["{", '{"', '{"":', '{"a":[', "[{", '{"a":1,', '{"{":', '{"a{":":","{":', '\\"{', '{"\\"', '{ "x" ', "{}"],
        *['{"a":1}', '{"a":"', '"{"', "{\n\n\n", '{"a":-', '{"a":1e', '{"a":nul', '{"reason": "', ',"{":', '":{"'],
        '{"":{},"":',
    ],
)
def test_work_grows_with_the_text_and_no_faster(unit):
    """100 KB of anything, also where every brace looks like the start of all the rest."""
    text = unit * (100_000 // len(unit))
    assert ObjectScan(text).work <= MOST_WORK * len(text)
    assert ObjectScan(text + "}" * len(text)).work <= 2 * MOST_WORK * len(text)


def test_nothing_is_nested_too_deeply_to_be_found():
    """Nor is anything so deep that comparing or writing it would fail."""
    inner = '{"better": "1"}'
    for levels in (20, 25, 26, 20_000):
        text = '{"y": 2, "x": [' * levels + inner + "]}" * levels
        found = [each.value for each in ObjectScan(text).objects]
        assert len(found) == levels + 1
        assert found[-1] == {"better": "1"}
        assert {value["y"] for value in found[:-1]} == {2}
        assert json.dumps(found[0])
        assert (repr(found[0]) == repr(json.loads(text))) if levels <= 25 else found[0]["x"] is not None


@pytest.mark.parametrize(
    ("number", "value"), [("9" * 400, math.inf), ("-" + "9" * 5000, -math.inf), ("1e400", math.inf), ("12", 12)]
)
def test_numbers_of_any_length(number, value):
    assert object_of(f'{{"a": {number}}}') == ({"a": value}, True)
    assert begun_object(f'{{"a": {number}, "b": "x') == {"a": value}
    assert ObjectScan(f'{{"a": {number}}}').objects[0].value == {"a": value}


def test_deep_lists_and_objects_are_none():
    for text in ("[" * 100_000, '{"a":' * 100_000, '{"a":' * 20_000 + "1" + "}" * 20_000):
        assert object_of(text) == ({}, False)
        assert begun_object(text) == {}
