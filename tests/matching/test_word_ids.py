"""Words with their places, and their numbers."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tunescope.matching.word_ids import END, UNKNOWN, Numbering, folded_words, split_words, word_offsets
from tunescope.text.words import words

ODD = (
    "aAbZ09_-=*#.!| \n\t\x00\x1c\x85\u2028\u00a0"
    "\u00e9e\u0301\u0323\u0307q\u00df\u1e9e\u0130iI\u0131\u03c2\u03c3\u03a3\uf900\u212a\u037e\u1fef\u0344\u0f73\u0958"
    "\u4f60\u597d\u304b\u3099\uac00\u1100\u1161\u11a8\U0001f600\U0001f3fd\u200d\ufe0f\ud83d\ude00\ud800"
)
TEXTS = st.text(st.sampled_from(ODD), max_size=24) | st.text(max_size=24)


def nfd(text):
    return unicodedata.normalize("NFD", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t\u2028", []),
        ("It's 5 o'clock_now.", ["It's", "5", "o'clock_now", "."]),
        ("1,000: (3.14)!", ["1,000", ":", "(", "3.14", ")", "!"]),
        ("it’s “so”", ["it’s", "“", "so", "”"]),
        ("so\u00adfa x\u200by \u200b\ufeff", ["so\u00adfa", "x\u200by"]),
        ("हिन्दी में।", ["हिन्दी", "में", "।"]),
        ("| --- | ---- |", ["|", "---", "|", "----", "|"]),
        ("a...b!?", ["a", "...", "b", "!", "?"]),
        ("((x))", ["(", "(", "x", ")", ")"]),
        ("你好 abc가", ["你", "好", "abc가"]),
        ("cafe\u0301 Stra\u00dfe", ["cafe\u0301", "Stra\u00dfe"]),
        ("\U0001f600\U0001f600 \U0001f44d\U0001f3fd", ["\U0001f600", "\U0001f600", "\U0001f44d\U0001f3fd"]),
        ("\ud800a\udc00", ["\ud800", "a", "\udc00"]),
    ],
)
def test_words_as_they_are_written(text, expected):
    assert split_words(text) == expected
    assert [text[begin:end] for begin, end in word_offsets(text)] == expected


@settings(deadline=None)
@given(TEXTS)
@example("\u1100\u1161\u11a8x\u0301")
@example("a\u0f73\u0344\u212a\u0301")
def test_places_are_in_order(text):
    offsets = word_offsets(text)
    assert all(0 <= begin < end <= len(text) for begin, end in offsets)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(offsets))


@settings(deadline=None)
@given(TEXTS)
def test_without_marks_the_words_are_those_of_all_verbs(text):
    assert [word for word in folded_words(text) if words(word)] == [_cut(word) for word in words(text)]


def _cut(word):
    return word[:3] if word == "_" * len(word) else word


def test_composed_decomposed_and_curly_spellings_are_the_same_words():
    for one, other in (
        ("cr\u00e8me br\u00fbl\u00e9e", nfd("cr\u00e8me br\u00fbl\u00e9e")),
        ('don\'t "x"', "don’t “x”"),
    ):
        assert folded_words(one) == folded_words(other)


def test_places_of_a_long_text_without_ascii():
    text = "\u6f22" * 100_000 + "\uf900"
    assert word_offsets(text) == [(i, i + 1) for i in range(100_001)]


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=6))
def test_numbers_are_the_words_folded(texts):
    numbering = Numbering()
    ids, starts = numbering.encode(texts)
    assert ids.dtype == np.uint32
    assert len(starts) == len(texts)
    ends = [*starts, len(ids)][1:]
    names = numbering.words
    assert len(set(names)) == len(names)
    for text, begin, end in zip(texts, starts, ends, strict=True):
        assert ids[end - 1] == END
        own = ids[begin : end - 1]
        assert (own > END).all()
        assert [names[i - 1][:3] for i in own.tolist()] == [word[:3] for word in folded_words(text)]
        assert numbering.look_up(text).tolist() == own.tolist()
        assert Numbering(names).look_up(text).tolist() == own.tolist()


def test_spellings_of_a_word_have_one_number():
    numbering = Numbering()
    ids, _ = numbering.encode(["The the THE", "Stra\u00dfe STRASSE", "\u03a3 \u03c3 \u03c2", "e\u0301 \u00c9"])
    assert ids.tolist() == [1, 1, 1, END, 2, 2, END, 3, 3, 3, END, 4, 4, END]
    assert numbering.words == ["the", "strasse", "\u03c3", "\u00e9"]


def test_long_runs_of_a_mark_have_one_number():
    numbering = Numbering()
    ids, _ = numbering.encode(["- -- --- ---- ---------", "____ ___ __", "aaaa aaa", "\u00b7\u00b7\u00b7\u00b7"])
    assert ids.tolist()[:6] == [1, 2, 3, 3, 3, END]
    assert ids.tolist()[6:10] == [4, 4, 5, END]
    assert ids.tolist()[10:13] == [6, 7, END]
    assert ids.tolist()[13:] == [8, 8, 8, 8, END]


def test_unknown_words():
    numbering = Numbering(["a", "b"])
    ids = numbering.look_up("A c B")
    assert ids.tolist() == [1, UNKNOWN, 2]
    assert ids.dtype == np.int64
    assert numbering.words == ["a", "b"], "looking up adds nothing"
    assert numbering.look_up("").tolist() == []


def test_no_texts():
    ids, starts = Numbering().encode([])
    assert len(ids) == len(starts) == 0
    ids, starts = Numbering().encode(["", "a", ""])
    assert (ids.tolist(), starts.tolist()) == ([END, 1, END, END], [0, 1, 3])


@given(st.lists(st.lists(TEXTS, max_size=4), max_size=4))
def test_compiled_numbers_the_same_words(batches):
    numbering, words = Numbering(), []
    for texts in batches:
        ids, starts = numbering.encode(texts, compile=True)
        assert all(ids[end - 1] == END for end in [*starts[1:], len(ids)][: len(texts)])
        words += [[numbering.words[n - 1] for n in part[:-1]] for part in np.split(ids, starts[1:])[: len(texts)]]
    texts = [text for batch in batches for text in batch]
    plain = Numbering()
    assert words == [[plain.words[n - 1] for n in plain.encode([text])[0][:-1]] for text in texts]
    assert len(set(numbering.words)) == len(numbering.words)
    assert all(numbering.look_up(text).min(initial=1) >= 1 for text in texts)


def test_compiled_finds_room_for_many_words():
    words = [f"w{n}" for n in range(200_000)]
    ids, _ = Numbering(["known", "w7"]).encode([" ".join(words), "known W7 é w199999"], compile=True)
    assert len(set(ids[:200_000].tolist())) == 200_000
    assert ids[7] == 2
    assert ids[200_001:].tolist() == [1, 2, ids[200_003], ids[199_999], END]
