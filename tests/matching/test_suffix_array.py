"""The suffix array and its matches, against sorting and scanning by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tools import examples

from tunescope.matching.suffix_array import MAX_BYTES, bucket_starts, build, byte_width, longest_matches
from tunescope.matching.word_ids import END, UNKNOWN

TEXTS = st.lists(st.lists(st.integers(1, 3), max_size=8), max_size=6)
QUERY = st.lists(st.sampled_from([UNKNOWN, 1, 2, 3, 3, 4]), max_size=12)
SCALES = st.sampled_from([1, 100, 30_000, 5_000_000])
"""Numbers of one, two, three and of four bytes."""


def joined(texts, kind=np.uint32):
    return np.array([word for text in texts for word in [*text, END]], kind)


def query_of(query):
    return np.array(query, np.int64)


def by_hand(query, texts):
    """Look for each stretch of the query in each text."""
    matches = []
    for start in range(len(query)):
        length = count = 0
        for end in range(start + 1, len(query) + 1):
            run = query[start:end]
            places = sum(text[at : at + len(run)] == run for text in texts for at in range(len(text) - len(run) + 1))
            if not places:
                break
            length, count = end - start, places
        matches.append([length, count])
    return matches


@settings(deadline=None)
@given(TEXTS, SCALES)
def test_places_in_the_order_of_what_follows(texts, scale):
    ids = joined([[word * scale for word in text] for text in texts])
    order = build(ids)
    assert order.dtype == np.int32
    whole = ids.tolist()
    assert order.tolist() == sorted((i for i, word in enumerate(whole) if word != END), key=lambda i: whole[i:])


@settings(deadline=None)
@given(TEXTS)
def test_of_any_unsigned_kind(texts):
    assert build(joined(texts, np.uint16)).tolist() == build(joined(texts)).tolist()


@settings(deadline=None)
@given(TEXTS)
def test_where_each_words_places_begin(texts):
    ids = joined(texts)
    order, first = build(ids), bucket_starts(ids, 5)
    assert len(first) == 7
    for word in range(1, 6):
        assert {int(ids[i]) for i in order[first[word] : first[word + 1]]} <= {word}
    assert first[0] == first[1] == 0
    assert first[6] == len(order)


@settings(deadline=None)
@given(TEXTS, QUERY)
def test_longest_is_what_scanning_finds(texts, query):
    ids = joined(texts)
    matches = longest_matches(query_of(query), ids, build(ids), bucket_starts(ids, 5))
    assert matches.tolist() == (by_hand(query, texts) if query else [])


@settings(max_examples=examples(40), deadline=None)
@given(TEXTS, QUERY)
def test_compiled_finds_the_same(texts, query):
    ids = joined(texts, np.uint16)
    order, first = build(ids), bucket_starts(ids, 5)
    assert (
        longest_matches(query_of(query), ids, order, first, True) == longest_matches(query_of(query), ids, order, first)
    ).all()


def test_matches_end_with_texts():
    ids = joined([[1, 2], [3, 4]])
    matches = longest_matches(query_of([1, 2, 3, 4]), ids, build(ids), bucket_starts(ids, 5))
    assert matches.tolist() == [[2, 1], [1, 1], [2, 1], [1, 1]]
    assert longest_matches(query_of([1, 2, END, 3]), ids, build(ids), bucket_starts(ids, 5))[0].tolist() == [2, 1]


@pytest.mark.parametrize("ids", [[], [END], [END, END, END]])
def test_no_words(ids):
    ids = np.array(ids, np.uint32)
    order, first = build(ids), bucket_starts(ids, 3)
    assert order.tolist() == []
    assert longest_matches(query_of([1, 2]), ids, order, first).tolist() == [[0, 0], [0, 0]]
    assert longest_matches(query_of([]), ids, order, first).tolist() == []


def test_bytes_of_numbers():
    assert [byte_width(n) for n in (0, 1, 255, 256, 65_535, 65_536, 2**24, 2**32 - 1)] == [1, 1, 1, 2, 2, 3, 4, 4]


def test_more_words_than_32_bits_can_place():
    class Many(np.ndarray):
        def __len__(self):
            return MAX_BYTES

    ids = np.array([1, 256, END], np.uint32).view(Many)
    with pytest.raises(ValueError, match=r"2,147,483,647 words of 2 bytes; a suffix array takes 2,147,483,647 bytes"):
        build(ids)
