"""pass@k against binomials in whole numbers, and what has to hold of it."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools import examples
from tunescope.stats import mean_pass_at_k, mean_share, pass_at_k


def exact(n: int, c: int, k: int) -> Fraction:
    """1 - C(n-c, k) / C(n, k), in fractions."""
    return 1 - Fraction(comb(n - c, k), comb(n, k))


def test_every_n_up_to_30_agrees_with_fractions():
    for n in range(1, 31):
        for c in range(n + 1):
            for k in range(1, n + 1):
                assert pass_at_k(n, c, k) == pytest.approx(float(exact(n, c, k)), rel=1e-12, abs=1e-15)


def test_it_is_the_share_of_draws_that_hold_one_that_passed():
    draws = list(combinations([True, True, False, False, False, False], 3))
    assert pass_at_k(6, 2, 3) == pytest.approx(sum(map(any, draws)) / len(draws))


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
@settings(max_examples=examples(200))
def test_large_n_and_what_has_to_hold(case):
    n, c, k = case
    value = pass_at_k(n, c, k)
    assert value == pytest.approx(float(exact(n, c, k)), rel=1e-9, abs=1e-12)
    assert 0 <= value <= 1
    assert pass_at_k(n, c, 1) == pytest.approx(c / n)
    if k < n:
        assert pass_at_k(n, c, k + 1) >= value - 1e-12
    if c < n:
        assert pass_at_k(n, c + 1, k) >= value - 1e-12
    assert (value == 1) == (c > n - k) or value > 1 - 1e-12


@pytest.mark.parametrize("case", [(3, 4, 1), (3, -1, 1), (3, 1, 0), (3, 1, 4), (0, 0, 1)])
def test_what_makes_no_sense(case):
    with pytest.raises(ValueError, match=rf"n = {case[0]}, c = {case[1]}, k = {case[2]}; expected"):
        pass_at_k(*case)


def test_mean_over_problems():
    samples = [(10, 3), (10, 0), (10, 10)] * 10
    mean = mean_pass_at_k(samples, 5)
    assert mean == mean_share([float(exact(10, 3, 5)), 0, 1] * 10)
    assert (mean.n, mean.n_missing) == (30, 0)
    assert mean.low < mean.value < mean.high
    assert mean_pass_at_k([*samples, (4, 1)], 5).n_missing == 1


def test_too_few_samples_give_no_value_and_the_reason():
    mean = mean_pass_at_k([(2, 1), (3, 0)], 10)
    assert (mean.value, mean.low, mean.n, mean.n_missing) == (None, None, 0, 2)
    assert mean.reason == "pass@10 needs 10 samples a problem; the most that one has is 3"
    assert mean_pass_at_k([], 10).reason == "no values"
