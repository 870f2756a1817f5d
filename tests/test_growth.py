"""Whether a share grew: the test by brute force over all ways to spread the items, and Fisher's where they meet."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact, norm

from tunescope.stats import Share, difference_of_shares, equivalence_of_shares, growth_test

NONE = Share(0, 0)


@st.composite
def shares(draw, most=4):
    n = draw(st.integers(0, most))
    return Share(draw(st.integers(0, n)), n)


def by_brute_force(kept, removed, added):
    """Spread the ones over all items in every way; the share of ways with as large a difference."""
    parts = [("kept", kept), ("removed", removed), ("added", added)]
    items = [name for name, share in parts for _ in range(share.n)]
    before, after = kept.n + removed.n, kept.n + added.n

    def difference(counts):
        return Fraction(counts["kept"] + counts["added"], after) - Fraction(counts["kept"] + counts["removed"], before)

    observed = difference({name: share.successes for name, share in parts})
    ways = list(combinations(range(len(items)), sum(share.successes for _, share in parts)))
    larger = 0
    for way in ways:
        names = [items[i] for i in way]
        larger += difference({name: names.count(name) for name, _ in parts}) >= observed
    return larger / len(ways)


@given(shares(), shares(), shares())
def test_growth_equals_brute_force(kept, removed, added):
    test = growth_test(kept, removed, added)
    if not kept.n + removed.n or not kept.n + added.n:
        assert test.p is None
        assert test.reason.startswith("no items")
    else:
        assert test.p == pytest.approx(by_brute_force(kept, removed, added))


@pytest.mark.parametrize(("before", "after"), [((3, 40), (9, 50)), ((35, 2996), (50, 3000)), ((0, 10), (4, 10))])
def test_two_sets_with_nothing_in_common_are_fishers(before, after):
    (a, n), (b, m) = before, after
    expected = fisher_exact([[b, m - b], [a, n - a]], alternative="greater").pvalue
    assert growth_test(NONE, Share(a, n), Share(b, m)).p == pytest.approx(expected)


def test_rows_that_are_added_are_held_against_those_that_were_there():
    expected = fisher_exact([[5, 45], [30, 2970]], alternative="greater").pvalue
    assert growth_test(Share(30, 3000), NONE, Share(5, 50)).p == pytest.approx(expected)


def test_a_mended_set_has_not_grown():
    """35 bad rows were written anew, and 10 of them are still bad: many among the added, and yet fewer in all."""
    test = growth_test(Share(0, 2965), Share(35, 35), Share(10, 35))
    assert test.p == pytest.approx(1)
    assert test.statistic == pytest.approx(-25 / 3000)


def test_millions_of_rows_take_no_time():
    test = growth_test(Share(400_000, 4_000_000), Share(10_000, 100_000), Share(10_500, 100_000))
    assert test.p == pytest.approx(norm.sf(499.5 / np.sqrt(2 * 100_000 * 0.1 * 0.9)), rel=0.02)


def test_the_interval_of_two_sets_with_nothing_in_common_is_near_the_score_interval():
    a, b = np.repeat([1, 0], [35, 965]), np.repeat([1, 0], [60, 940])
    ours = difference_of_shares(NONE, Share(35, 1000), Share(60, 1000))
    theirs = equivalence_of_shares(b, a, 0.1, alpha=0.025).estimate
    assert (ours.value, ours.n) == (pytest.approx(0.025), 2000)
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=3e-4), pytest.approx(theirs.high, abs=3e-4))


def test_what_both_sets_have_takes_no_part():
    apart = difference_of_shares(NONE, Share(35, 1000), Share(40, 1000))
    shared = difference_of_shares(Share(33, 950), Share(2, 50), Share(7, 50))
    assert shared.value == pytest.approx(apart.value)
    assert shared.high - shared.low < 0.4 * (apart.high - apart.low)
    same = difference_of_shares(Share(33, 950), NONE, NONE)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert difference_of_shares(NONE, NONE, Share(1, 2)).reason == "no items before"
