"""Seeds, by suffix array and by reading everything, against their definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tools import examples

from tunescope.matching.seeds import MIN_WORDS, look_up_seeds
from tunescope.matching.stream import count_stretch, join_stretches, stream_seeds
from tunescope.matching.suffix_array import bucket_starts, build
from tunescope.matching.word_ids import END, UNKNOWN

TEXTS = st.lists(st.lists(st.integers(1, 3), max_size=10), max_size=6)
QUERIES = st.lists(st.lists(st.sampled_from([UNKNOWN, 1, 2, 2, 3, 4]), max_size=10), max_size=3)
WORDS = 5


def ended(texts, kind=np.uint32):
    return np.array([word for text in texts for word in [*text, END]], kind)


def joined(queries):
    return ended(queries, np.int64)[:-1] if queries else np.zeros(0, np.int64)


def by_definition(queries, texts, most):
    """Return the seeds as the module's first sentence has them.

    The same words in both, longer at neither end, at least two, holding a run (of two words or more) that stands in
    the texts at most `most` times.
    """

    def times(run):
        return sum(text[at : at + len(run)] == run for text in texts for at in range(len(text) - len(run) + 1))

    seeds, origin = [], 0
    for query in queries:
        place = 0
        for text in texts:
            for i in range(len(query)):
                for j in range(len(text)):
                    if i and j and query[i - 1] == text[j - 1]:
                        continue
                    n = 0
                    while i + n < len(query) and j + n < len(text) and query[i + n] == text[j + n]:
                        n += 1
                    runs = (query[a:b] for a in range(i, i + n) for b in range(a + MIN_WORDS, i + n + 1))
                    if n >= MIN_WORDS and any(times(run) <= most for run in runs):
                        seeds.append((place + j, origin + i, n))
            place += len(text) + 1
        origin += len(query) + 1
    return [[i, j, n] for j, i, n in sorted(seeds)]


@settings(deadline=None)
@given(TEXTS, QUERIES, st.integers(1, 4))
def test_by_suffix_array_as_defined(texts, queries, most):
    ids = ended(texts)
    seeds = look_up_seeds(joined(queries), ids, build(ids), bucket_starts(ids, WORDS), most)
    assert seeds.tolist() == by_definition(queries, texts, most)


@settings(max_examples=examples(60), deadline=None)
@given(TEXTS, QUERIES, st.integers(1, 4), st.integers(1, 4))
def test_by_stream_and_compiled_the_same(texts, queries, most, threads):
    ids = ended(texts, np.uint16)
    expected = by_definition(queries, texts, most)
    compiled = look_up_seeds(joined(queries), ids, build(ids), bucket_starts(ids, WORDS), most, compile=True)
    assert compiled.tolist() == expected
    assert stream_seeds(joined(queries), ids, most, threads).tolist() == expected


def test_a_random_text_of_few_words():
    """Many places, runs that are looked for several times, stretches that begin within runs."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 5, 20_000).astype(np.uint16)
    ids[-1] = END
    query = np.where(rng.random(400) < 0.1, END, rng.integers(1, 7, 400))
    expected = look_up_seeds(query, ids, build(ids), bucket_starts(ids, 6))
    assert len(expected) > 1000
    for threads in (1, 2, 5):
        assert (stream_seeds(query, ids, threads=threads) == expected).all()
    assert (look_up_seeds(query, ids, build(ids), bucket_starts(ids, 6), compile=True) == expected).all()


@given(TEXTS, QUERIES, st.integers(1, 4), st.integers(1, 9))
def test_stretches_that_others_read(texts, queries, most, words):
    ids = ended(texts)

    def read(query, runs, most, room):
        stretches = [(begin, min(begin + words, len(ids))) for begin in range(0, max(len(ids), 1), words)]
        return join_stretches([count_stretch(query, runs, most, room, ids, *each) for each in stretches], most)

    assert stream_seeds(joined(queries), ids, most, read=read).tolist() == by_definition(queries, texts, most)


@given(TEXTS, QUERIES, st.sampled_from([0, 3, 1000]))
def test_the_stream_reads_again_where_it_can_note_no_more(texts, queries, room):
    """With little room for places every length of run is a reading of its own; the seeds are the same."""
    ids, query = ended(texts), joined(queries)
    assert stream_seeds(query, ids, 1, room=room).tolist() == stream_seeds(query, ids, 1).tolist()


@pytest.mark.parametrize(
    ("query", "texts", "most", "expected"),
    [
        ([1, 2, 3], [[1, 2, 3]], 1, [[0, 0, 3]]),
        ([1, 2, 3], [[1, 2], [3, 1]], 1, [[0, 0, 2]]),  # not over the end of a text
        ([1, 2, 1, 2], [[1, 2]], 1, [[0, 0, 2], [2, 0, 2]]),
        ([1, 2, 3], [[1, 2], [1, 2], [1, 2, 3]], 2, [[0, 6, 3]]),  # 1 2 is common, 1 2 3 and 2 3 are rare
        ([1, 2], [[1, 2], [1, 2], [1, 2, 3]], 2, []),
        ([1, UNKNOWN, 2], [[1, 2]], 1, []),
        ([1], [[1]], 1, []),
        ([], [[1, 2]], 1, []),
        ([1, 2], [], 1, []),
        ([1, 2], [[], []], 1, []),
    ],
)
def test_cases_by_hand(query, texts, most, expected):
    ids = ended(texts)
    query = np.array(query, np.int64)
    assert look_up_seeds(query, ids, build(ids), bucket_starts(ids, WORDS), most).tolist() == expected
    assert stream_seeds(query, ids, most).tolist() == expected
