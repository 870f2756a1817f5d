"""Equivalence against scipy, statsmodels, published figures, the likelihood itself, and every outcome there is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as ss
from scipy.optimize import minimize_scalar
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from tunescope.errors import SettingsError
from tunescope.stats import (
    equivalence_margin,
    equivalence_of_means,
    equivalence_of_paired_shares,
    equivalence_of_pairs,
    equivalence_of_shares,
    equivalence_of_strata,
)
from tunescope.stats.sample_size import tost_power


def close(value: float, rel: float = 1e-7) -> object:
    return pytest.approx(value, rel=rel, abs=1e-9)


def bits(ones: int, n: int) -> list[int]:
    return [1] * ones + [0] * (n - ones)


def test_pairs_as_statsmodels() -> None:
    rng = np.random.default_rng(3)
    first = rng.normal(5, 2, 40)
    second = first + rng.normal(0.1, 0.5, 40)
    for margin in (0.1, 0.2, 0.4):
        result = equivalence_of_pairs([*first, None], [*second, 1.0], margin)
        expected = ttost_paired(first, second, -margin, margin)[0]
        assert (result.test.p, result.estimate.n, result.estimate.n_missing) == (close(expected), 40, 1)
        assert result.equivalent == (result.smallest_margin < margin)
        assert result.equivalent <= (expected < 0.05)
    plain = ss.ttest_1samp(first - second, 0).confidence_interval(0.9)
    assert result.estimate.low <= plain.low + 1e-9
    assert result.estimate.high >= plain.high - 1e-9
    assert result.estimate.level == 0.9
    assert (result.verdict, result.as_json()["verdict"]) == ("equivalent", "equivalent")


def test_means_as_statsmodels() -> None:
    rng = np.random.default_rng(4)
    first, second = rng.normal(0, 1, 60), rng.normal(0.1, 2, 80)
    for margin in (0.3, 0.9):
        result = equivalence_of_means(first, [*second, None], margin)
        expected = ttost_ind(first, second, -margin, margin, usevar="unequal")[0]
        assert (result.test.p, result.estimate.n, result.estimate.n_missing) == (close(expected), 140, 1)
    assert result.equivalent


def test_power_as_published() -> None:
    """PowerTOST's 2x2 designs: CV 0.2 with n = 20 has power 0.834680, CV 0.3 with n = 40 has 0.815845."""
    for cv, n, expected in ((0.2, 20, 0.834680), (0.3, 40, 0.815845)):
        error = math.sqrt(math.log(1 + cv * cv)) * math.sqrt(2 / n)
        assert tost_power(math.log(1.25) / error, math.log(0.95) / error, n - 2, 0.05) == pytest.approx(
            expected, abs=1e-6
        )


def test_the_margin_that_n_could_have_shown_is_shown_by_80_percent() -> None:
    margin = equivalence_margin(30, 2.0).difference
    assert margin == pytest.approx(2 / math.sqrt(30) * 2.9975, rel=1e-4)
    d = np.random.default_rng(5).normal(0, 2, (20_000, 30))
    half = ss.t.isf(0.05, 29) * d.std(axis=1, ddof=1) / math.sqrt(30)
    assert np.mean(np.abs(d.mean(axis=1)) + half < margin) == pytest.approx(0.8, abs=0.01)
    assert equivalence_margin(1, 2.0).reason == "n = 1: a t-test needs 2"
    assert equivalence_margin(9, 0.0).reason == "sd is 0: no t-test"


def test_means_at_the_margin_are_called_equivalent_at_most_at_alpha() -> None:
    rng = np.random.default_rng(6)
    normal, skewed = rng.normal(0.5, 1, (1000, 30)), rng.exponential(1, (1000, 60)) - 0.5
    for d, bound in ((normal, 0.06), (skewed, 0.07), (-skewed, 0.07)):
        rate = np.mean([equivalence_of_pairs(row, np.zeros(row.size), 0.5).equivalent for row in d])
        assert rate < bound


def test_tango_s_table() -> None:
    """44 pairs, 43 with both, 1 with the second only, margin 0.1: Z = 1.709, 90 % interval -0.096 to 0.037."""
    result = equivalence_of_paired_shares([*bits(43, 43), 0], bits(44, 44), 0.1)
    assert result.test.statistic == pytest.approx(1.709, abs=5e-4)
    assert (result.estimate.low, result.estimate.high) == pytest.approx((-0.096, 0.037), abs=5e-4)
    assert result.test.p == pytest.approx(0.0571, abs=1e-4)  # exact; the score test's 0.044 is too small
    assert (result.equivalent, result.verdict) == (False, "not shown")


def test_nothing_changed_in_n_items_shows_a_margin_by_hand() -> None:
    """Where every item is as before, p is at least the probability of that at the margin: (1 - margin)^n."""
    for n in (10, 40, 200):
        result = equivalence_of_paired_shares(bits(3, n), bits(3, n), 0.1)
        assert result.test.p >= (1 - 0.1) ** n
        assert result.smallest_margin == pytest.approx(1 - 0.05 ** (1 / n), abs=1e-3)
        assert result.estimate.value == 0


@pytest.mark.parametrize(("lost", "won", "margin"), [(0, 1, 0.1), (3, 2, 0.15), (5, 0, 0.3), (0, 0, 0.05)])
def test_the_paired_score_is_the_likelihood_s(lost: int, won: int, margin: float) -> None:
    n = 44
    first = [1] * lost + [0] * won + [1] * (n - lost - won)
    second = [0] * lost + [1] * won + [1] * (n - lost - won)
    statistics = []
    for delta in (-margin, margin):

        def loss(q: float, delta: float = delta) -> float:
            shares = ((lost, q + delta), (won, q), (n - lost - won, 1 - 2 * q - delta))
            return -sum(count * math.log(share) for count, share in shares if count)

        bounds = (max(0, -delta) + 1e-12, (1 - delta) / 2 - 1e-12)
        q = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-13}).x
        z = ((lost - won) / n - delta) / math.sqrt((2 * q + delta - delta**2) / n)
        statistics.append(z if delta < 0 else -z)
    result = equivalence_of_paired_shares(first, second, margin)
    assert result.test.statistic == pytest.approx(min(statistics), rel=1e-4)


@pytest.mark.parametrize(
    ("x", "n1", "y", "n2", "margin"), [(3, 50, 5, 40, 0.15), (19, 20, 20, 20, 0.3), (0, 9, 0, 7, 0.4)]
)
def test_the_score_of_independent_shares_is_the_likelihood_s(x: int, n1: int, y: int, n2: int, margin: float) -> None:
    """Not as statsmodels 0.15, whose shares at the margin aren't the likeliest: its p of 3 and 5 of 50 is 0.028."""
    statistics = []
    for delta in (-margin, margin):

        def loss(p: float, delta: float = delta) -> float:
            counts = ((x, p), (n1 - x, 1 - p), (y, p - delta), (n2 - y, 1 - p + delta))
            return -sum(count * math.log(share) for count, share in counts if count)

        bounds = (max(0.0, delta) + 1e-12, min(1.0, 1 + delta) - 1e-12)
        p = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-13}).x
        error = math.sqrt(p * (1 - p) / n1 + (p - delta) * (1 - p + delta) / n2)
        z = (x / n1 - y / n2 - delta) / error
        statistics.append(z if delta < 0 else -z)
    result = equivalence_of_shares(bits(x, n1), bits(y, n2), margin)
    assert result.test.statistic == pytest.approx(min(statistics), rel=1e-4)
    assert result.test.p >= 0.99 * ss.norm.sf(result.test.statistic)
    swapped = equivalence_of_shares(bits(y, n2), bits(x, n1), margin)
    assert swapped.test.p == pytest.approx(result.test.p, rel=1e-6)
    assert (swapped.estimate.low, swapped.estimate.high) == pytest.approx((-result.estimate.high, -result.estimate.low))


@pytest.mark.slow
def test_shares_at_the_margin_are_called_equivalent_at_most_at_alpha() -> None:
    """Over every outcome of 14 pairs, and of two columns of 8: nowhere at the margin do more than 5 % pass."""
    n, margin = 14, 0.35
    outcomes = [(lost, won) for lost in range(n + 1) for won in range(n + 1 - lost) if abs(lost - won) < margin * n]
    shown = [each for each in outcomes if equivalence_of_paired_shares(*_pairs(*each, n), margin).equivalent]
    sizes = []
    for p_won in np.linspace(0.001, (1 - margin) / 2 - 0.001, 25):
        trinomial = ss.multinomial(n, [p_won + margin, p_won, 1 - 2 * p_won - margin])
        sizes.append(sum(trinomial.pmf([lost, won, n - lost - won]) for lost, won in shown))
    assert 0.02 < max(sizes) <= 0.05
    m = 8
    ones = [(x, y) for x in range(m + 1) for y in range(m + 1) if abs(x - y) < 0.5 * m]
    shown = [(x, y) for x, y in ones if equivalence_of_shares(bits(x, m), bits(y, m), 0.5).equivalent]
    for p in np.linspace(0.5, 1, 25):
        assert sum(ss.binom.pmf(x, m, p) * ss.binom.pmf(y, m, p - 0.5) for x, y in shown) <= 0.05
    assert shown


def _pairs(lost: int, won: int, n: int) -> tuple[list[int], list[int]]:
    both = n - lost - won
    return [1] * lost + [0] * won + [1] * both, [0] * lost + [1] * won + [1] * both


def test_beyond_300_the_score_test_itself() -> None:
    result = equivalence_of_paired_shares(bits(310, 400), bits(305, 400), 0.05)
    assert result.test.method == "two one-sided score tests of paired shares"
    assert result.test.p == close(ss.norm.sf(result.test.statistic), 1e-6)
    assert result.equivalent


def test_what_has_no_test_has_a_reason() -> None:
    few = equivalence_of_pairs([1.0, 2.0, 3.5], [1.0, 2.5, 3.0], 1.0)
    assert (few.equivalent, few.verdict) == (None, "not shown")
    assert few.test.reason == "n = 3: the interval of a mean needs 12"
    few = equivalence_of_pairs(np.arange(20.0) % 3, np.arange(20.0) % 2, 1.0)
    assert few.test.reason == "n = 20: the interval of an equivalence of means needs 30"
    assert equivalence_of_pairs([1.0] * 20, [1.0] * 20, 1.0).test.reason == "all 20 values are equal: no interval"
    assert equivalence_of_paired_shares([], [], 0.1).as_json()["reason"] == "no pairs"
    assert equivalence_of_shares([], [1], 0.1).as_json()["reason"] == "no values"
    with pytest.raises(SettingsError, match=r"margin is 0; expected a number above 0"):
        equivalence_of_pairs([1.0], [1.0], 0)
    with pytest.raises(SettingsError, match=r"margin is 5; expected a share below 1"):
        equivalence_of_paired_shares([1], [1], 5)
    with pytest.raises(SettingsError, match=r"alpha is 0\.5"):
        equivalence_of_shares([1], [1], 0.1, alpha=0.5)
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        equivalence_of_paired_shares([0.5], [1], 0.1)


def test_the_mean_over_strata_counts_each_once():
    rng = np.random.default_rng(3)
    strata = [(rng.integers(0, 2, n).astype(float), rng.integers(0, 2, n).astype(float)) for n in (40, 90, 25)]
    apart = [a - b for a, b in strata]
    result = equivalence_of_strata([*strata[:2], ([*strata[2][0], None], [*strata[2][1], 1.0])], 0.4)
    parts = np.array([d.var(ddof=1) / d.size for d in apart])
    error, df = np.sqrt(parts.sum()) / 3, parts.sum() ** 2 / sum(parts**2 / [d.size - 1 for d in apart])
    value = np.mean([d.mean() for d in apart])
    assert (result.estimate.value, result.estimate.n, result.estimate.n_missing) == (pytest.approx(value), 155, 1)
    assert result.estimate.low == pytest.approx(value - ss.t.ppf(0.975, df) * error)
    assert result.test.p == pytest.approx(ss.t.sf((0.4 - abs(value)) / error, df))
    assert result.equivalent == (result.test.p <= 0.05)
    few = equivalence_of_strata([*strata, ([1.0] * 5, [0.0] * 5)], 0.4)
    assert (few.equivalent, few.estimate.value) == (None, None)
    assert few.test.reason == "a stratum of n = 5: the interval of a mean needs 12"


@pytest.mark.parametrize(("change", "most"), [(0.3, 0.975), (0.1, 0.985), (0.02, 1.0)])
def test_the_mean_over_strata_covers_and_keeps_its_size(change, most):
    """Rarely changing items: wide rather than narrow. At a difference of the margin, at most 5 % are equivalent."""
    rng = np.random.default_rng(5)
    covered, equivalent, true, trials = 0, 0, 0.3 * change, 300
    for _ in range(trials):
        strata = []
        for _ in range(8):
            kinds = rng.choice([1.0, -1.0, 0.0], 60, p=[0.65 * change, 0.35 * change, 1 - change])
            strata.append((np.maximum(kinds, 0), np.maximum(-kinds, 0)))
        result = equivalence_of_strata(strata, true)
        covered += result.estimate.low <= true <= result.estimate.high
        equivalent += result.equivalent
    assert 0.925 <= covered / trials <= most
    assert equivalent / trials <= 0.08
