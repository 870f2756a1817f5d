"""Hashes of word n-grams."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tunescope.text.ngrams import ngram_hashes
from tunescope.text.words import hash_words

ROWS = st.lists(st.lists(st.sampled_from("abcd"), max_size=9), max_size=6)
LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=3, unique=True)


@given(ROWS, LENGTHS)
def test_every_ngram_of_every_row_and_no_other(rows, lengths):
    flat, offsets = hash_words([" ".join(row) for row in rows])
    found = {n: (hashes.tolist(), starts.tolist()) for n, hashes, starts in ngram_hashes(flat, offsets, lengths)}
    assert sorted(found) == sorted(lengths)
    seen: dict[tuple[str, ...], int] = {}
    for n in sorted(lengths):
        expected = [
            (int(offsets[number]) + at, tuple(row[at : at + n]))
            for number, row in enumerate(rows)
            for at in range(len(row) - n + 1)
        ]
        hashes, starts = found[n]
        assert starts == [start for start, _ in expected]
        for (_, gram), value in zip(expected, hashes, strict=True):
            assert seen.setdefault(gram, value) == value
    assert len(set(seen.values())) == len(seen)


def test_no_words_and_no_rows():
    for rows in ([], [""], ["", ""]):
        flat, offsets = hash_words(rows)
        assert [(n, len(hashes), len(starts)) for n, hashes, starts in ngram_hashes(flat, offsets, (2, 3))] == [
            (2, 0, 0),
            (3, 0, 0),
        ]


def test_no_length_wanted():
    flat, offsets = hash_words(["a b c"])
    assert list(ngram_hashes(flat, offsets, ())) == []


def test_an_ngram_hash_depends_on_order():
    flat, offsets = hash_words(["a b", "b a"])
    ((_, hashes, _),) = ngram_hashes(flat, offsets, (2,))
    assert len(np.unique(hashes)) == 2
