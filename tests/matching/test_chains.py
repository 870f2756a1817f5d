"""Chains against a slow one that is written from their definition, and planted cases with their exact chains."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tools import examples

from tunescope.matching.chains import LOOK_BACK, MAX_DRIFT, MAX_GAP, SKIP_BITS, chain_seeds
from tunescope.matching.seeds import look_up_seeds
from tunescope.matching.suffix_array import bucket_starts, build
from tunescope.matching.word_ids import END

WORDS = 6
TEXTS = st.lists(st.lists(st.integers(1, 4), max_size=24), min_size=1, max_size=4)
QUERY = st.lists(st.integers(1, 5), max_size=24)


def ended(texts):
    return np.array([word for text in texts for word in [*text, END]], np.uint32)


def edges(texts):
    return np.cumsum([0, *(len(text) + 1 for text in texts)])[:-1]


def seeds_of(query, texts, most=100):
    ids = ended(texts)
    return look_up_seeds(np.array(query, np.int64), ids, build(ids), bucket_starts(ids, WORDS), most)


def halves(size, rng):
    """Return bits that add up exactly in any order."""
    return rng.integers(0, 40, size) / 2


def slowly(seeds, texts, bits, least):
    """Chain with every path written out: (score, pieces) of the best chain from each first seed."""
    seeds = [tuple(map(int, seed)) for seed in seeds]
    owner = [max(i for i, begin in enumerate(edges(texts)) if begin <= place) for _, place, _ in seeds]

    def worth(pieces):
        score = sum(float(bits[i]) for start, _, n in pieces for i in range(start, start + n))
        for (a, b, n), (c, d, _) in pairwise(pieces):
            score -= SKIP_BITS * max(c - a - n, d - b - n)
        return score

    def joined(pieces, before, seed):
        """Return the pieces that end with the seed `before` and one more; None where they don't go together."""
        start, place, length = seed
        a, b, n = pieces[-1]
        taken = max(0, a + n - start, b + n - place)
        if before[0] >= start or taken >= length:
            return None
        gaps = (start + taken - a - n, place + taken - b - n)
        if max(gaps) > MAX_GAP or abs(gaps[0] - gaps[1]) > MAX_DRIFT:
            return None
        return [*pieces, (start + taken, place + taken, length - taken)]

    best = []
    for number, seed in enumerate(seeds):
        own = [seed]
        for other in range(number - 1, max(-1, number - 1 - LOOK_BACK), -1):
            if owner[other] != owner[number]:
                break
            longer = joined(best[other], seeds[other], seed)
            if longer is not None and worth(longer) > worth(own):
                own = longer
        best.append(own)
    tops = {}
    for pieces in best:
        first = pieces[0]
        if first not in tops or worth(pieces) > worth(tops[first]):
            tops[first] = pieces
    return [(worth(tops[seed]), tops[seed]) for seed in seeds if seed in tops and worth(tops[seed]) >= least]


@settings(deadline=None)
@given(TEXTS, QUERY, st.integers(0, 99), st.sampled_from([0.0, 10.0, 30.0]))
def test_as_the_slow_one(texts, query, seed, least):
    bits = halves(len(query), np.random.default_rng(seed))
    seeds = seeds_of(query, texts)
    chains = chain_seeds(seeds, edges(texts), bits, least)
    expected = slowly(seeds, texts, bits, least)
    assert chains.bits.tolist() == [score for score, _ in expected]
    assert [chains.pieces(number) for number in range(len(chains.bits))] == [pieces for _, pieces in expected]


@settings(deadline=None)
@given(TEXTS, QUERY, st.integers(0, 99))
def test_pieces_say_what_the_numbers_say(texts, query, seed):
    bits, ids = halves(len(query), np.random.default_rng(seed)), ended(texts)
    chains = chain_seeds(seeds_of(query, texts), edges(texts), bits, 5.0)
    for number in range(len(chains.bits)):
        pieces = chains.pieces(number)
        edits = 0
        for (a, b, n), (c, d, _) in pairwise(pieces):
            assert a + n <= c
            assert b + n <= d
            assert max(c - a - n, d - b - n) <= MAX_GAP
            assert abs((c - a) - (d - b)) <= MAX_DRIFT
            edits += max(c - a - n, d - b - n)
        for start, place, n in pieces:
            assert n >= 1
            assert query[start : start + n] == ids[place : place + n].tolist()
        assert (chains.begin[number], chains.place[number]) == pieces[0][:2]
        last = pieces[-1]
        assert (chains.end[number], chains.place_end[number]) == (last[0] + last[2], last[1] + last[2])
        begin = edges(texts)[chains.text[number]]
        assert begin <= chains.place[number] < chains.place_end[number] <= begin + len(texts[chains.text[number]])
        assert chains.words[number] == sum(n for _, _, n in pieces)
        assert chains.edits[number] == edits
        assert chains.bits[number] == sum(bits[a : a + n].sum() for a, _, n in pieces) - SKIP_BITS * edits >= 5.0
    assert chains.text.tolist() == sorted(chains.text.tolist())


@settings(max_examples=examples(30), deadline=None)
@given(TEXTS, QUERY, st.integers(0, 99))
def test_compiled_the_same(texts, query, seed):
    bits, seeds = halves(len(query), np.random.default_rng(seed)), seeds_of(query, texts)
    for one, other in zip(
        chain_seeds(seeds, edges(texts), bits, 5.0),
        chain_seeds(seeds, edges(texts), bits, 5.0, compile=True),
        strict=True,
    ):
        assert one.tolist() == other.tolist()


ROW = list(range(1, 25))
"""Twenty-four different words."""


def only(query, row=ROW, bits=10.0, least=30.0):
    """Return the only chain of a text whose words bring the same bits each: its pieces, edits and bits."""
    texts = [[90, 91, 92], row, [93, 94]]
    ids = ended(texts)
    seeds = look_up_seeds(np.array(query, np.int64), ids, build(ids), bucket_starts(ids, 99))
    chains = chain_seeds(seeds, edges(texts), np.full(len(query), bits), least)
    assert chains.text.tolist() == [1]
    assert (chains.begin[0], chains.end[0]) == (chains.pieces(0)[0][0], sum(chains.pieces(0)[-1][::2]))
    return [(a, b - 4, n) for a, b, n in chains.pieces(0)], int(chains.edits[0]), float(chains.bits[0])


def changed(places):
    return [70 + i if i in places else word for i, word in enumerate(ROW)]


@pytest.mark.parametrize(
    ("query", "pieces", "edits"),
    [
        (ROW, [(0, 0, 24)], 0),
        ([70, 71, *ROW[5:15], 72], [(2, 5, 10)], 0),
        (changed({10}), [(0, 0, 10), (11, 11, 13)], 1),
        (changed({3, 7, 11, 15, 19}), [(0, 0, 3), (4, 4, 3), (8, 8, 3), (12, 12, 3), (16, 16, 3), (20, 20, 4)], 5),
        ([*ROW[:10], 70, *ROW[10:]], [(0, 0, 10), (11, 10, 14)], 1),
        ([*ROW[:10], *ROW[11:]], [(0, 0, 10), (10, 11, 13)], 1),
        ([*ROW[:10], 70, 71, *ROW[13:]], [(0, 0, 10), (12, 13, 11)], 3),
        (changed(set(range(10, 14))), [(0, 0, 10), (14, 14, 10)], MAX_GAP),
        (changed(set(range(8, 13))), [(13, 13, 11)], 0),  # a gap too long: the better side alone
        ([*ROW[:8], *ROW[11:]], [(8, 11, 13)], 0),  # a drift too wide
    ],
)
def test_planted(query, pieces, edits):
    shared = sum(n for _, _, n in pieces)
    assert only(query, least=100.0) == (pieces, edits, 10.0 * shared - SKIP_BITS * edits)


def test_what_costs_more_than_it_brings_begins_anew():
    """Two words of a bit each before a gap of four: leaving them out is worth 22 bits."""
    query = changed({2, 3, 4, 5})
    texts = [ROW]
    bits = np.array([1.0, 1.0, *[0.0] * 4, *[10.0] * 18])
    chains = chain_seeds(seeds_of_wide(query, texts), edges(texts), bits, 0.0)
    assert [chains.pieces(n) for n in range(2)] == [[(0, 0, 2)], [(6, 6, 18)]]
    assert chains.bits.tolist() == [2.0, 180.0]


def seeds_of_wide(query, texts):
    ids = ended(texts)
    return look_up_seeds(np.array(query, np.int64), ids, build(ids), bucket_starts(ids, 99))


def test_words_that_two_seeds_claim_count_once():
    """The answer says `3 4` once, the row twice: the second seed is cut behind the first."""
    query, texts = [1, 2, 3, 4, 5, 6], [[1, 2, 3, 4, 3, 4, 5, 6]]
    chains = chain_seeds(seeds_of_wide(query, texts), edges(texts), np.full(6, 20.0), 60.0)
    best = int(np.argmax(chains.bits))
    assert chains.pieces(best) == [(0, 0, 4), (4, 6, 2)]
    assert chains.bits[best] == 120.0 - 2 * SKIP_BITS
    assert (chains.words[best], chains.edits[best]) == (6, 2)


def test_texts_are_not_chained_together():
    texts = [ROW[:12], ROW[12:]]
    chains = chain_seeds(seeds_of_wide(ROW, texts), edges(texts), np.full(24, 10.0), 0.0)
    assert [(chains.text[n], chains.pieces(n)) for n in range(2)] == [(0, [(0, 0, 12)]), (1, [(12, 13, 12)])]


def test_no_seeds():
    chains = chain_seeds(np.zeros((0, 3), np.int64), edges([ROW]), np.zeros(0), 0.0)
    assert [len(part) for part in chains] == [0] * 8 + [0, 0, 0, 0]
    assert len(chains.bits) == 0
