"""Text from outside is shown, and obeyed by nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunescope import foreign

STEERING = ("\x1b", "\x07", "\x00", "\x7f", "\x9b", "\u202e", "\u2066", "\u200f", "\u200b", "\ufeff", "\U000e0041")


@pytest.mark.parametrize("character", STEERING)
def test_what_steers_is_shown_as_a_badge_an_escape_or_a_replacement(character):
    text = f"a{character}b"
    number = f"U+{ord(character):04X}"
    assert foreign.escape_text(text) == f'a<span class="badge">{number}</span>b'
    assert foreign.escape_sentence(text) == f'a<span class="badge">{number}</span>b'
    assert character not in foreign.replace_steering(text)
    assert character not in foreign.printable(text)
    written = foreign.escape_json(json.dumps(text, ensure_ascii=False))
    assert character not in written
    assert json.loads(written) == text


@pytest.mark.parametrize(
    "text", ["", "a b", "line\nbreak\ttab", "zwj 👩\u200d🔬, zwnj می\u200cخواهم", "soft\u00adhyphen", "é ✓ 日本"]
)
def test_what_people_write_stays(text):
    assert foreign.escape_text(text) == text
    assert foreign.replace_steering(text) == text
    assert foreign.escape_json(text) == text


def test_words_from_right_to_left_stand_apart_in_a_sentence():
    assert foreign.escape_sentence("מודל אחד beats 83.74 بعد 7") == "<bdi>מודל אחד</bdi> beats 83.74 <bdi>بعد</bdi> 7"
    assert foreign.escape_text("מודל אחד") == "מודל אחד"


@given(st.text())
def test_json_reads_the_same_and_offsets_on_a_page_stay(text):
    assert json.loads(foreign.escape_json(json.dumps(text, ensure_ascii=False))) == text
    assert len(foreign.replace_steering(text).encode("utf-16-le", "surrogatepass")) == len(
        text.encode("utf-16-le", "surrogatepass")
    )
