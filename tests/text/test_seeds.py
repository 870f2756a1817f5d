"""Seeds, by suffix array and by reading everything, against their definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunescope.text import seeds as room
from tunescope.text.seeds import SHORTEST, by_stream, by_suffix_array
from tunescope.text.suffix_array import build, starts
from tunescope.text.word_ids import END, UNKNOWN

TEXTS = st.lists(st.lists(st.integers(1, 3), max_size=10), max_size=6)
QUERIES = st.lists(st.lists(st.sampled_from([UNKNOWN, 1, 2, 2, 3, 4]), max_size=10), max_size=3)
WORDS = 5


def ended(texts, kind=np.uint32):
    return np.array([word for text in texts for word in [*text, END]], kind)


def asked(queries):
    return ended(queries, np.int64)[:-1] if queries else np.zeros(0, np.int64)


def by_definition(queries, texts, most):
    """Return the seeds as the module's first sentence has them.

    The same words in both, longer at neither end, at least two, holding a run (of two words or more) that stands in
    the texts at most `most` times.
    """

    def times(run):
        return sum(text[at : at + len(run)] == run for text in texts for at in range(len(text) - len(run) + 1))

    found, origin = [], 0
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
                    runs = (query[a:b] for a in range(i, i + n) for b in range(a + SHORTEST, i + n + 1))
                    if n >= SHORTEST and any(times(run) <= most for run in runs):
                        found.append((place + j, origin + i, n))
            place += len(text) + 1
        origin += len(query) + 1
    return [[i, j, n] for j, i, n in sorted(found)]


@given(TEXTS, QUERIES, st.integers(1, 4))
def test_by_suffix_array_as_defined(texts, queries, most):
    ids = ended(texts)
    found = by_suffix_array(asked(queries), ids, build(ids), starts(ids, WORDS), most)
    assert found.tolist() == by_definition(queries, texts, most)


@settings(max_examples=60)
@given(TEXTS, QUERIES, st.integers(1, 4), st.integers(1, 4))
def test_by_stream_and_compiled_the_same(texts, queries, most, threads):
    ids = ended(texts, np.uint16)
    expected = by_definition(queries, texts, most)
    compiled = by_suffix_array(asked(queries), ids, build(ids), starts(ids, WORDS), most, compile=True)
    assert compiled.tolist() == expected
    assert by_stream(asked(queries), ids, WORDS, most, threads).tolist() == expected


def test_a_random_text_of_few_words():
    """Many places, runs that are looked for several times, stretches that begin within runs."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 5, 20_000).astype(np.uint16)
    ids[-1] = END
    query = np.where(rng.random(400) < 0.1, END, rng.integers(1, 7, 400))
    expected = by_suffix_array(query, ids, build(ids), starts(ids, 6))
    assert len(expected) > 1000
    for threads in (1, 2, 5):
        assert (by_stream(query, ids, 6, threads=threads) == expected).all()
    assert (by_suffix_array(query, ids, build(ids), starts(ids, 6), compile=True) == expected).all()


@given(TEXTS, QUERIES)
def test_the_loops_of_the_stream_without_a_compiler(texts, queries):
    """`_enter`, `_scan` and `_extend_all` as Python runs them, one reading of runs of two words."""
    ids, query = ended(texts), asked(queries)
    known = np.zeros(WORDS + 1, bool)
    known[query[query > END]] = True
    pairs = {tuple(query[i : i + 2].tolist()): i for i in range(len(query) - 1) if (query[i : i + 2] > END).all()}
    begins = np.array(list(pairs.values()), np.int64)
    table, counts, places = (
        np.zeros(64, np.int32),
        np.zeros(len(begins), np.int64),
        np.zeros((len(begins), 9), np.int32),
    )
    with np.errstate(over="ignore"):
        room._enter(query, begins, 2, table)
        room._scan(query, ids, known, begins, 2, table, 0, len(ids), counts, places)
    for pair, count, line in zip(pairs, counts.tolist(), places.tolist(), strict=True):
        here = [i for i in range(len(ids) - 1) if tuple(ids[i : i + 2].tolist()) == pair]
        assert count == len(here)
        assert line[: min(count, 9)] == here[:9]


@pytest.mark.parametrize(
    ("query", "texts", "most", "found"),
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
def test_cases_by_hand(query, texts, most, found):
    ids = ended(texts)
    asked_for = np.array(query, np.int64)
    assert by_suffix_array(asked_for, ids, build(ids), starts(ids, WORDS), most).tolist() == found
    assert by_stream(asked_for, ids, WORDS, most).tolist() == found
