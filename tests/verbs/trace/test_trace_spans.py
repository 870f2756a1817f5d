"""Spans: each stretch once, the best chain first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunescope.matching.chains import Chains
from tunescope.verbs.trace.find import Matches
from tunescope.verbs.trace.spans import MAX_CANDIDATES, MIN_BITS_SHARE, select_spans


def matches_of(words, *chains):
    """Return chains (begin, end, bits, score or bits) of an answer."""
    begin, end = (np.array([chain[i] for chain in chains], np.int64) for i in (0, 1))
    bits = np.array([chain[2] for chain in chains], float)
    zero = np.zeros(len(chains), np.int64)
    score = np.array([chain[-1] for chain in chains], float)
    none = np.zeros((0, 3), np.int64)
    parts = Chains(np.arange(len(chains)), begin, end, zero, zero, end - begin, zero, bits, zero, none, zero, zero)
    return Matches(np.ones(words, np.int64), parts, None, score)


def laid(item, least=0.0):
    return [tuple(span) for span in select_spans(item, least)]


@pytest.mark.parametrize(
    ("chains", "least", "expected"),
    [
        ([], 0, []),
        ([(2, 6, 40.0)], 40.0, [(2, 6, 40.0, (0,))]),
        ([(2, 6, 40.0)], 40.1, []),
        # the same stretch in two rows is one span with two candidates
        ([(2, 6, 40.0), (2, 6, 50.0)], 0, [(2, 6, 50.0, (1, 0))]),
        # half as many bits are too few for a candidate
        ([(2, 6, 24.0), (2, 6, 50.0)], 0, [(2, 6, 50.0, (1,))]),
        # one that lies by half under a better one is none of its own, nor a candidate where it covers too little
        ([(0, 8, 50.0), (4, 12, 40.0)], 0, [(0, 8, 50.0, (0, 1))]),
        # what is left of one that lies less under it is a span, of the stretch that nothing lies over
        ([(0, 8, 50.0), (5, 15, 40.0)], 0, [(0, 8, 50.0, (0,)), (8, 15, 40.0, (1,))]),
        # of two stretches the longer one
        ([(3, 8, 60.0), (2, 20, 50.0)], 0, [(3, 8, 60.0, (0, 1)), (8, 20, 50.0, (1,))]),
        ([(12, 17, 60.0), (0, 18, 50.0)], 0, [(0, 12, 50.0, (1,)), (12, 17, 60.0, (0, 1))]),
        # with a reference the score decides, the bits only between equal ones
        ([(0, 5, 90.0, 10.0), (10, 15, 50.0, 45.0)], 30, [(10, 15, 45.0, (1,))]),
        ([(0, 5, 40.0, 30.0), (0, 5, 50.0, 30.0)], 30, [(0, 5, 30.0, (1, 0))]),
    ],
)
def test_spans(chains, least, expected):
    assert laid(matches_of(20, *chains), least) == expected


STRETCHES = st.tuples(st.integers(0, 28), st.integers(1, 12), st.integers(30, 120), st.integers(0, 120))


@settings(deadline=None)
@given(st.lists(STRETCHES, max_size=12), st.sampled_from([0.0, 30.0, 60.0]))
def test_no_word_in_two_spans(stretches, least):
    chains = [(begin, min(begin + n, 30), float(bits), float(score)) for begin, n, bits, score in stretches]
    item = matches_of(30, *chains)
    made = select_spans(item, least)
    words = [word for span in made for word in range(span.begin, span.end)]
    assert words == sorted(set(words))
    for span in made:
        best = span.chains[0]
        begin, end, bits, score = chains[best]
        assert begin <= span.begin < span.end <= end
        assert span.score == score >= least
        assert len(set(span.chains)) == len(span.chains)
        others = [chains[number] for number in span.chains[1:]]
        assert [c[2] for c in others] == sorted((c[2] for c in others), reverse=True)
        size = span.end - span.begin
        for number, (a, b, worth, _) in enumerate(chains):
            is_candidate = 2 * (min(b, span.end) - max(a, span.begin)) >= size and worth >= MIN_BITS_SHARE * bits
            assert (number in span.chains) == (is_candidate or number == best)
    taken = set(words)
    for begin, end, _, score in chains:
        if score >= least:
            assert 2 * len(set(range(begin, end)) & taken) >= end - begin, "each chain is half in spans"


def test_candidates_have_an_end():
    (span,) = select_spans(matches_of(9, *[(0, 9, 50.0)] * 80), 0)
    assert len(span.chains) == MAX_CANDIDATES
