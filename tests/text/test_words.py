"""Words and their hashes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.tools import examples

from tunescope.text.words import hash_words, stop_words, visible, words

TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" .,!\n\t", []),
        ("It's 2 o'clock: snake_case, 3.14!", ["it", "s", "2", "o", "clock", "snake_case", "3", "14"]),
        ("Café NAÏVE straße", ["café", "naïve", "straße"]),
        ("我们 love 寿司", ["我", "们", "love", "寿", "司"]),
        ("한국어abc", ["한", "국", "어", "abc"]),
        ("a\x00b\x1fc\x7fd", ["a", "b", "c", "d"]),
        ("ÅNGSTRÖM—dash", ["ångström", "dash"]),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


@given(st.text(st.characters(max_codepoint=127), max_size=80))
def test_ascii_words_are_runs_of_word_characters(text):
    assert words(text) == re.findall(r"[a-z0-9_]+", text.lower())


@given(TEXTS)
@example("ǅ İ ß ﬁ")
def test_ascii_and_other_texts_are_split_alike(text):
    """An ASCII text takes a faster way; a letter from outside appended after a blank must change nothing."""
    assert [*words(text), "é"] == words(text + " é")


@given(st.lists(TEXTS, max_size=6))
@settings(max_examples=examples(200))
def test_hashes_stand_for_words(texts):
    """Offsets count each text's words, and two hashes are equal exactly where the words are."""
    hashes, offsets = hash_words(texts)
    split = [words(text) for text in texts]
    assert np.diff(offsets).tolist() == [len(found) for found in split]
    assert offsets[0] == 0
    flat = [word for found in split for word in found]
    assert len(hashes) == len(flat)
    assert len(set(hashes.tolist())) == len(set(flat))
    assert len(set(zip(flat, hashes.tolist(), strict=True))) == len(set(flat))


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_a_text_hashes_alike_in_any_company(texts):
    hashes, offsets = hash_words(texts)
    for number, text in enumerate(texts):
        assert hashes[offsets[number] : offsets[number + 1]].tolist() == hash_words([text])[0].tolist()


@given(st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=20))
@example("x" * 5000)
def test_a_hash_is_the_polynomial_it_is_said_to_be(text):
    """Shards of one run may be made by different processes and machines, so hashes must never change."""
    for word, value in zip(words(text), hash_words([text])[0].tolist(), strict=True):
        total = sum(byte * pow(0x9E3779B97F4A7C15, i % 4096, 2**64) for i, byte in enumerate(word.encode())) % 2**64
        total = (total ^ total >> 31) * 0xBF58476D1CE4E5B9 % 2**64
        assert value == total ^ total >> 29


def test_many_distinct_words_have_distinct_hashes():
    names = [f"{stem}{number}" for stem in ("a", "word", "ü") for number in range(20_000)]
    assert len(np.unique(hash_words(names)[0])) == 60_000


def test_very_long_words():
    one, other = hash_words(["x" * 10_000 + "a", "x" * 10_000 + "b"])[0].tolist()
    assert one != other


@pytest.mark.parametrize("text", ["a", " a", "\u200b.", "你", "!", "é", "🙂", "\x00x"])
def test_visible(text):
    assert visible(text)


@pytest.mark.parametrize("text", [None, "", " \n\t", "\u200b", "\ufeff \u200b", "\x00", "\u00a0\u3000", "\u200e"])
def test_invisible(text):
    assert not visible(text)


def test_stop_words_are_words():
    assert {"the", "of", "and", "is"} <= stop_words()
    assert all(words(word) == [word] for word in stop_words())
