"""How many of a ranking matter: a null alone yields few, and what stands out of it is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunescope.stats import null_threshold

NULLS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "laplace": lambda rng, shape: rng.laplace(size=shape),
    "t, 6 degrees of freedom": lambda rng, shape: rng.standard_t(6, size=shape),
    "log-normal, either sign": lambda rng, shape: rng.lognormal(size=shape) * rng.choice([-1, 1], size=shape),
    "mostly 0": lambda rng, shape: rng.exponential(size=shape) * (rng.random(shape) < 0.3),
}


@pytest.mark.parametrize("name", NULLS)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_a_null_alone_yields_few(name, seed, scale):
    rng = np.random.default_rng(seed)
    null, answers = (scale * NULLS[name](rng, (100, 200)) for _ in range(2))
    threshold = null_threshold(null, 200, expected=0.1)
    assert threshold is not None
    assert (answers >= threshold).sum() <= 30  # 10 are expected among 100 answers; 30 have a probability below 1e-6


@given(seed=st.integers(0, 2**31), share=st.floats(0, 0.05))
def test_what_is_related_within_the_null_counts_by_its_number_and_not_by_its_size(seed, share):
    rng = np.random.default_rng(seed)
    null = rng.laplace(size=(100, 200))
    clean, related = null_threshold(null, 200), rng.random(null.shape) < share
    near, far = (null_threshold(np.where(related, size, null), 200) for size in (20, 1e6))
    assert 0.9 * clean <= near == far <= 4 * clean


def test_the_threshold_by_hand():
    """A log-normal null: its quantile at 1 - 0.1/100."""
    normal = np.random.default_rng(0).normal(size=2_000_000)
    assert null_threshold(np.exp(normal), 100, 0.1) == pytest.approx(np.exp(3.0902), rel=0.03)


def test_it_rises_with_the_items_and_falls_with_what_may_be_wrong():
    null = np.random.default_rng(0).normal(size=5000)
    assert null_threshold(null, 100) < null_threshold(null, 10_000)
    assert null_threshold(null, 100, 1.0) < null_threshold(null, 100, 0.1)


def test_it_has_the_scores_unit_and_missing_ones_dont_count():
    null = np.random.default_rng(0).laplace(size=(50, 50))
    holes = null.copy()
    np.fill_diagonal(holes, np.nan)
    assert null_threshold(7 * null, 50) == pytest.approx(7 * null_threshold(null, 50))
    assert null_threshold(holes, 50) == null_threshold(holes[~np.isnan(holes)], 50)


@pytest.mark.parametrize("null", [[], np.ones(199), np.zeros(1000), np.ones(1000), -np.arange(1000.0)])
def test_a_null_that_cant_tell_gives_none(null):
    assert null_threshold(null, 100) is None


@pytest.mark.parametrize(("n", "expected"), [(0, 0.1), (5, 0.0)])
def test_numbers_that_make_no_sense_are_refused(n, expected):
    with pytest.raises(ValueError, match="expected both above 0"):
        null_threshold(np.ones(1000), n, expected)
