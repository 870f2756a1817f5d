"""The statistics against statsmodels, scipy, closed forms and cases worked by hand."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import tracemalloc
from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as ss
from scipy.optimize import brentq, minimize
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint
from statsmodels.tools import add_constant

from tests.tools import examples
from tunescope.errors import SettingsError
from tunescope.stats import (
    FROM_0,
    FROM_1,
    SHARE,
    UNBOUNDED,
    Estimate,
    binomial_test,
    bounds_of_differences,
    clustered_standard_error,
    detectable_difference,
    difference_of_means,
    excess_test,
    holm,
    mean,
    mean_pooled,
    mean_share,
    mean_t,
    median,
    misses_of_proportion,
    n_needed,
    paired_difference,
    pearson,
    proportion,
    proportion_from_counts,
    ratio_of_means,
    share_at_zero,
    share_clustered,
    share_pooled,
    sign_flip_test,
    slope,
    spearman,
    subtract,
    t_test,
    widest,
)

NAN, INF = float("nan"), float("inf")
close = pytest.approx
quick = settings(max_examples=examples(60), deadline=None, database=None, derandomize=True)
numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
columns = st.lists(numbers, min_size=2, max_size=30)
paired_columns = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=30)
bits = st.lists(st.integers(0, 1), min_size=1, max_size=40)
p_values = st.lists(st.floats(0, 1), max_size=30)


def sample(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, size=n)


def interval(estimate: Estimate) -> tuple[float | None, float | None]:
    return estimate.low, estimate.high


def line(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, x + rng.normal(size=n)


# What travels


def test_json_has_a_reason_only_where_there_is_one() -> None:
    assert list(mean_t([1, 2]).as_json()) == ["mean", "low", "high", "n", "n_missing", "method"]
    assert mean_t([]).as_json("median") == {
        "median": None,
        "low": None,
        "high": None,
        "n": 0,
        "n_missing": 0,
        "method": "mean, 95 % Student t interval",
        "reason": "no values",
    }


def test_importing_stats_does_not_import_scipy() -> None:
    code = "import sys, tunescope.stats; assert 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"level is 95; expected a share between 0 and 1"):
        mean_t([1, 2], level=95)
    with pytest.raises(SettingsError, match=r"draws is 10; expected at least 100"):
        paired_difference([1, 2], [2, 4], draws=10)
    with pytest.raises(SettingsError, match=r"kind is 'CR2'"):
        clustered_standard_error([1, 2], [1, 2], kind="CR2")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"alpha is 0.9, power is 0.8"):
        n_needed(1, 1, alpha=0.9)
    with pytest.raises(SettingsError, match=r"sd is -1"):
        detectable_difference(10, -1)
    with pytest.raises(SettingsError, match=r"difference is inf"):
        n_needed(INF, 1)


def test_data_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"columns of 2 and 1 values"):
        paired_difference([1, 2], [1])
    with pytest.raises(ValueError, match=r"columns of 2 and 3 values"):
        clustered_standard_error([1, 2], ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        mean_t(np.array([[1.0, 2.0]]))
    with pytest.raises(ValueError, match=r"1 values are neither 0 nor 1; the first is 2"):
        proportion([0, 1, 2])
    with pytest.raises(ValueError, match=r"3 successes of 2"):
        proportion_from_counts(3, 2)
    with pytest.raises(ValueError, match=r"from -0.1 to 0.5"):
        holm([0.5, -0.1])


# One column


def test_the_interval_of_shares_ends_at_their_bounds() -> None:
    shares = [0.99, 1.0, 0.98]
    plain, bounded = mean_t(shares), mean_t(shares, bounds=(0, 1))
    assert plain.high is not None
    assert plain.high > 1
    assert (bounded.low, bounded.high) == (plain.low, 1)


def test_mean_t_by_hand_and_as_scipy() -> None:
    half = 4.302652729911275 / math.sqrt(3)  # t(2) at 0.975; sd of 1, 2, 3 is 1
    assert astuple(mean_t([1, 2, 3]))[:5] == close((2, 2 - half, 2 + half, 3, 0))
    x = sample(40)
    expected = ss.ttest_1samp(x, 0).confidence_interval(0.9)
    assert interval(mean_t(x, level=0.9)) == close(tuple(expected))
    assert mean_t(x).standard_error == close(ss.sem(x))


def hall(x: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Hall's interval, by looking for the t at which his cubic reaches Student's quantile."""
    n, g, error = x.size, ss.skew(x) / math.sqrt(x.size), ss.sem(x)
    quantile = ss.t.ppf((1 + level) / 2, n - 1)
    cubic = lambda t: t + g * t**2 / 3 + g**2 * t**3 / 27 + g / 6  # noqa: E731
    ends = [brentq(lambda t, end=end: cubic(t) - end, -1e3, 1e3) for end in (quantile, -quantile)]
    return x.mean() - ends[0] * error, x.mean() - ends[1] * error


def test_mean_reaches_as_far_as_student_s_and_hall_s_interval() -> None:
    x = sample(40)
    low, high = hall(x)
    student = ss.ttest_1samp(x, 0).confidence_interval()
    assert low > student.low, "the data are skewed to the right"
    assert high > student.high
    assert interval(mean(x)) == close((student.low, high))
    assert interval(mean(-x)) == close((-high, -student.low))
    assert mean(x).method == "mean, 95 % t interval corrected for skewness"


def test_no_interval_below_the_n_at_which_it_holds() -> None:
    x = sample(60)
    few = mean(x[:11])
    assert (few.value, few.low, few.reason) == (close(x[:11].mean()), None, "n = 11: the interval of a mean needs 12")
    assert few.standard_error == close(ss.sem(x[:11]))
    assert mean(x[:49], heavy_tailed=True).reason == "n = 49: the interval of a heavy-tailed mean needs 50"
    assert interval(mean(x, heavy_tailed=True)) == interval(mean(x))
    assert median(x[:5]).reason == "n = 5: the interval of a median needs 6"
    assert mean_pooled(x[:11], np.ones(11)).reason == "n = 11: the interval of a mean over groups needs 12"
    assert pearson(*line(3)).r.reason == "n = 3: the interval of a Pearson correlation needs 4"


def test_an_interval_ends_where_its_quantity_does() -> None:
    x = [0.0] * 59 + [1000.0]
    assert mean(x).low < 0
    assert mean(x, heavy_tailed=True, bounds=FROM_0).low == 0
    perplexities = [1.0] * 59 + [1000.0]
    assert mean(perplexities, bounds=FROM_0).low == 0
    assert mean(perplexities, bounds=FROM_1).low == 1
    assert mean(perplexities, bounds=FROM_1).high == mean(perplexities).high
    ratings = [5.0] * 19 + [1.0]
    assert mean(ratings).high > 5
    assert interval(mean(ratings, bounds=(0, 5))) == (mean(ratings).low, 5)
    groups = [1.0] * 319 + [1000.0]
    assert mean_pooled(groups, np.ones(320), heavy_tailed=True).low == 0
    assert mean_pooled(groups, np.ones(320), heavy_tailed=True, bounds=FROM_1).low == 1


def test_the_value_stays_in_its_interval_where_it_is_itself_beyond_the_bounds() -> None:
    cosines = mean([0.0, *[1 + 1e-7] * 59]), mean([1 + 1e-9, 1 + 2e-9] * 10)
    inside, beyond = (each.within((-1, 1)) for each in cosines)
    assert (inside.low, inside.high) == (cosines[0].low, 1)
    assert (beyond.low, beyond.high) == (cosines[1].low, cosines[1].value)
    nothing = mean([])
    assert nothing.within(SHARE) == nothing


def test_bounds_of_several_numbers_and_of_differences() -> None:
    assert widest([SHARE, (-1, 0.5)]) == (-1, 1)
    assert widest([SHARE, UNBOUNDED]) == widest([]) == UNBOUNDED
    assert bounds_of_differences((1, 5)) == (-4, 4)
    assert bounds_of_differences(FROM_1) == UNBOUNDED


def test_mean_pooled_by_hand() -> None:
    rng = np.random.default_rng(5)
    counts = rng.integers(1, 30, 20).astype(float)
    sums = counts * rng.gamma(2.0, size=20)
    value, without = sums.sum() / counts.sum(), (sums.sum() - sums) / (counts.sum() - counts)
    error = math.sqrt(19 / 20 * ((without - without.mean()) ** 2).sum())
    factor = math.exp(ss.t.ppf(0.975, counts.sum() ** 2 / (counts**2).sum() - 1) * error / value)
    ours = mean_pooled(sums, counts)
    assert (ours.value, ours.standard_error) == close((value, error))
    assert interval(ours) == close((value / factor, value * factor))
    assert mean_pooled(sums - 10, counts, bounds=UNBOUNDED).low < 0
    assert mean_pooled([1.0] * 19 + [900], [1.0] * 19 + [1000]).reason == (
        "one or two groups hold most of the values: no interval"
    )


def test_share_pooled_by_hand() -> None:
    rng = np.random.default_rng(6)
    counts = rng.integers(20, 60, 15).astype(float)
    sums = np.floor(counts * rng.uniform(0.1, 0.5, 15))
    pooled, p = mean_pooled(sums, counts), sums.sum() / counts.sum()
    z, effective = ss.t.ppf(0.975, counts.sum() ** 2 / (counts**2).sum() - 1), p * (1 - p) / pooled.standard_error**2
    centre, half = p + z**2 / 2 / effective, z * math.sqrt(p * (1 - p) / effective + (z / 2 / effective) ** 2)
    ours = share_pooled(sums, counts)
    assert ours.value == close(p)
    assert interval(ours) == close(((centre - half) / (1 + z**2 / effective), (centre + half) / (1 + z**2 / effective)))
    whole = share_clustered(np.repeat(sums / counts, counts.astype(int)), np.repeat(np.arange(15), counts.astype(int)))
    assert (interval(whole), whole.n) == (close(interval(ours)), counts.sum())


def test_shares_at_the_edges() -> None:
    assert interval(share_pooled([0] * 12, [15] * 12)) == interval(proportion_from_counts(0, 12))
    assert interval(share_pooled([15] * 12, [15] * 12)) == interval(proportion_from_counts(12, 12))
    assert mean_share([1, 0, 1, None]) == proportion_from_counts(2, 3, 1)
    rare = share_pooled([3] + [0] * 19, [15] * 20)
    assert (rare.value, rare.reason) == (0.01, "a share below 5 % or above 95 % of clumped values: no interval")
    assert mean_share([1, 0.5, 0] * 3).reason == "n = 9: the interval of a share over groups needs 12"
    with pytest.raises(ValueError, match=r"shares run from 0.5 to 2; expected \[0, 1\]"):
        share_pooled([1, 2], [2, 1])


def test_mean_pooled_counts_groups() -> None:
    ours = mean_pooled([4, None, 0, 2, 9], [2, 3, 0, 2, 3])
    assert (ours.value, ours.n, ours.n_missing) == (15 / 7, 3, 1)
    assert mean_pooled([4], [2]).reason == "one group: no interval"
    assert mean_pooled([2, 4], [1, 2]).reason == "the means of all 2 groups are equal: no interval"
    assert mean_pooled([0], [0]).reason == "no values"
    with pytest.raises(ValueError, match=r"a count of -1; expected 0 or more"):
        mean_pooled([1], [-1])


def test_median_between_order_statistics() -> None:
    """Of n = 10 the 2nd and the 9th hold the median with 97.9 %, the 3rd and the 8th with 89.1 %."""
    x = np.arange(1.0, 11)
    wide, narrow = (1 - 2 * ss.binom.cdf(k, 10, 0.5) for k in (1, 2))
    part = (wide - 0.95) / (wide - narrow)
    inward = 8 * part / (2 + 6 * part)
    assert interval(median(x)) == close((2 + inward, 9 - inward))
    assert median(x).value == 5.5
    assert interval(median([3.0] * 5 + [4.0] * 5, level=wide)) == (3, 4)


def test_clustered_by_hand() -> None:
    # mean 4, residuals -3 -1 | 1 3, sums -4 | 4: CR0 variance 32 / 4^2 = 2, CR1 twice that (G = 2), t(1)
    errors = [clustered_standard_error([1, 3, 5, 7], ["a", "a", "b", "b"], kind=kind) for kind in ("CR0", "CR1")]
    assert errors == close([math.sqrt(2), 2])


@pytest.mark.parametrize(("kind", "correction"), [("CR0", False), ("CR1", True)])
def test_clustered_as_statsmodels(kind: str, correction: bool) -> None:
    clusters = np.random.default_rng(1).integers(0, 12, 80)
    x = sample(80) + clusters / 3
    options = {"groups": clusters, "use_correction": correction, "df_correction": True}
    fit = OLS(x, np.ones(80)).fit(cov_type="cluster", cov_kwds=options, use_t=True)
    ours = clustered_standard_error(x, [f"passage {c}" for c in clusters], kind=kind)  # type: ignore[arg-type]
    assert ours == close(fit.bse[0])


def test_clusters_of_one_are_the_plain_mean() -> None:
    # CR1 with singletons is the ordinary standard error: sum e^2 / n^2 * n/(n-1)
    x = sample(20)
    assert clustered_standard_error(x, range(20)) == close(ss.sem(x))


def test_a_value_without_a_cluster_is_missing() -> None:
    whole = share_clustered([1, 0, 1, 0.5], [1, 1, 2, 2])
    holes = share_clustered([1, 9, 0, 9, 1, None, 0.5], [1, None, 1, NAN, 2, 2, 2])
    assert holes == replace(whole, n_missing=3)


def test_wilson_by_hand_and_as_statsmodels() -> None:
    z2 = 1.959963984540054**2
    assert interval(proportion_from_counts(0, 10)) == close((0, z2 / (10 + z2)))
    assert interval(proportion_from_counts(10, 10)) == close((10 / (10 + z2), 1))
    for n in range(1, 200):
        assert (proportion_from_counts(0, n).low, proportion_from_counts(n, n).high) == (0, 1)
    for k, n, level in [(1, 1, 0.95), (3, 7, 0.9), (80, 805, 0.99)]:
        expected = proportion_confint(k, n, alpha=1 - level, method="wilson")
        assert interval(proportion_from_counts(k, n, level=level)) == close(expected)
    assert proportion([True, False, None, 1]) == proportion_from_counts(2, 3, 1)


# Differences


def test_paired_difference_as_its_parts() -> None:
    a, b = sample(30, 1), sample(30, 2)
    ours, alone = paired_difference(a, b, seed=4), mean(a - b)
    assert ours.estimate == replace(alone, method="paired difference of means, " + alone.method[6:])
    assert ours.test == sign_flip_test(a - b, seed=4)


def test_differences_that_are_rounding_are_none() -> None:
    """Another batch order moves a perplexity by some 1e-7 of it."""
    a = sample(40, 1)
    noise = paired_difference(a, a + 1e-8 * sample(40, 2))
    assert (noise.estimate.value, noise.estimate.low, noise.test.p) == (0, None, 1)
    small = 1e-7 * a
    assert paired_difference(small, 1.1 * small).test.p < 0.001, "small numbers may differ"
    assert difference_of_means(a, a + 1e-8).estimate.reason == "both columns are equal: no interval"


def test_a_difference_that_is_the_same_for_all_items_is_one() -> None:
    a = sample(40, 1)
    ours = difference_of_means(a + 5, a)
    assert (ours.estimate.value, ours.estimate.low) == (close(5), None)
    assert ours.estimate.reason == ours.test.reason == "all items differ by the same: no interval"
    assert ours.test.p is None
    assert paired_difference(a + 5, a).estimate.value == close(5)


def test_differences_that_cancel_out_have_a_mean_of_0() -> None:
    steps = np.array([0.1, -0.3, 0.2] * 20)
    ours = paired_difference(0.7 + steps, [0.7] * 60).estimate
    assert (0.7 + steps - 0.7).mean() != 0, "in floating point"
    assert ours.value == 0
    assert ours.low == close(-ours.high, rel=0.2)
    assert ours.low < 0


def test_subtract_is_relative_to_the_values_and_to_their_columns() -> None:
    a = [1000.0, 0.0, 1.0, 1.0, -1.0, NAN]
    b = [1000.0005, 1e-7, 1 + 5e-7, 1 + 5e-6, -1.0, 1.0]
    np.testing.assert_allclose(subtract(a, b), [0, 0, 0, -5e-6, 0, NAN], rtol=1e-5)
    assert subtract([1e-9, 2e-9], [2e-9, 2e-9])[0] == -1e-9, "small numbers may differ"
    assert subtract([], []).size == 0


def test_a_subset_is_not_independent_of_its_set() -> None:
    x, inside = sample(200, 3), np.arange(200) < 80
    subset = np.where(inside, x, NAN)
    ours = difference_of_means(subset, x)
    means = [
        x[pick][inside[pick]].mean() - x[pick].mean() for pick in np.random.default_rng(0).integers(0, 200, (4000, 200))
    ]
    assert ours.estimate.value == close(x[:80].mean() - x.mean())
    assert ours.estimate.standard_error == close(np.std(means), rel=0.05)
    apart = [*subset, *[None] * 200], [*[None] * 200, *x]
    assert difference_of_means(*apart).estimate.standard_error > 1.3 * ours.estimate.standard_error


def test_the_same_items_on_both_sides_are_a_paired_t_test() -> None:
    a, b = sample(30, 1), sample(30, 1) + sample(30, 2) / 5
    ours = difference_of_means(a, b).test
    theirs = ss.ttest_rel(a, b)
    assert (ours.p, ours.statistic) == close((theirs.pvalue, theirs.statistic))


def test_sign_flip_by_hand() -> None:
    assert sign_flip_test([1, 2, 3]).p == 2 / 8  # only +++ and ---
    assert sign_flip_test([1, 2, -3]).p == 1  # the sum is 0
    assert sign_flip_test([0, 0, 0]).p == 1
    assert sign_flip_test([0, 1, 2, 0, 3] * 2 + [0] * 10).p == 2 / 64  # exact: only 6 have a sign
    differences = np.array([0.3, 0.9, 1.0]) - np.array([0.2, 0.8, 1.1])  # 0.1, 0.1, -0.1 but for rounding
    assert sign_flip_test(differences).p == 1


def test_sign_flip_over_more_vectors_than_a_block_holds() -> None:
    d = [1.0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, -32768, 65536]
    test = sign_flip_test(d, exact_up_to=17)
    assert test.method == "sign-flip permutation test, exact"
    assert test.p == 2 * 32769 / 2**17  # the sums are the odd numbers up to 2**17, each once; here 65535
    assert sign_flip_test(d).method == "sign-flip permutation test, 10000 draws"


@pytest.mark.parametrize(("successes", "n", "share"), [(3, 10, 0.25), (0, 7, 0.25), (170, 200, 0.75), (5, 5, 0.5)])
def test_binomial_by_its_definition(successes: int, n: int, share: float) -> None:
    chances = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    p = sum(chance for chance in chances if chance <= chances[successes] * (1 + 1e-9))
    assert binomial_test(successes, n, share).p == close(p)
    assert binomial_test(0, 0, share).p is None


def test_sign_flip_as_scipy() -> None:
    d = sample(14) - 1.5
    theirs = ss.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_test(d).p == close(theirs.pvalue)
    assert sign_flip_test(d).method == "sign-flip permutation test, exact"


def test_sign_flip_by_draws() -> None:
    d = sample(15) - 1.5
    signs = np.array(list(itertools.product([-1, 1], repeat=15)))
    exact = (np.abs(signs @ d) >= abs(d.sum()) - 1e-9).mean()
    drawn = sign_flip_test(d, draws=9999)
    assert drawn.p == close(exact, abs=0.02)
    assert drawn.method == "sign-flip permutation test, 9999 draws"
    assert drawn.p is not None
    assert drawn.p * 10_000 == close(round(drawn.p * 10_000))  # (hits + 1) / (draws + 1)
    assert sign_flip_test(np.arange(1, 41), draws=999).p == 1 / 1000  # no hit: never 0


def apart(a: np.ndarray, b: np.ndarray) -> tuple[list[float | None], list[float | None]]:
    """Two columns without an item in common."""
    return [*a, *[None] * len(b)], [*[None] * len(a), *b]


def test_difference_of_means_as_scipy() -> None:
    a, b = sample(25, 1), 2 * sample(60, 2)
    ours, theirs = difference_of_means(*apart(a, b)), ss.ttest_ind(a, b, equal_var=False)
    assert (ours.test.p, ours.test.statistic) == close((theirs.pvalue, theirs.statistic))
    student = theirs.confidence_interval()
    assert (ours.estimate.value, ours.estimate.n) == close((a.mean() - b.mean(), 85))
    assert ours.estimate.low < student.low, "b is skewed more than a"
    assert ours.estimate.high == close(student.high)
    assert difference_of_means(*apart(a[:5], b)).estimate.reason == (
        "n = 5: the interval of a difference of means needs 12"
    )


def test_the_excess_of_texts_from_the_null_is_rejected_at_most_at_5_percent() -> None:
    rng = np.random.default_rng(4)
    rejected = 0
    for seed in range(100):
        counts = rng.integers(20, 120, 112)
        flagged = np.where(rng.random(112) < 0.15, np.minimum(counts, rng.integers(8, 20, 112)), 0)
        rejected += excess_test(flagged[:12], counts[:12], flagged[12:], counts[12:], seed=seed, draws=200).p < 0.05
    assert rejected <= 10
    planted = excess_test([15] * 6 + [0] * 6, [60] * 12, flagged, counts)
    assert planted.p < 0.01
    assert planted.statistic == close(90 / 720 - flagged.sum() / counts.sum())


def test_the_excess_test_as_all_choices() -> None:
    x, m, y, k = [4, 0], [5, 5], [0, 2, 0, 0], [5, 5, 5, 5]
    pooled = [sum(pair) / 10 for pair in itertools.combinations([*x, *y], 2)]
    above = np.mean([share >= 0.4 - 1e-9 for share in pooled])
    assert excess_test(x, m, y, k, draws=20_000).p == close(2 * above, abs=0.02)


def test_ratio_of_means_by_the_t_test_that_defines_its_interval() -> None:
    first, second = np.array([0.38, 0.47, 0.41, 0.5]), np.array([0.4, 0.5, 0.47, 0.52])
    found = ratio_of_means(first, second)
    assert found.value == pytest.approx(first.mean() / second.mean())
    for end in (found.low, found.high):
        assert ss.ttest_1samp(first - end * second, 0).pvalue == pytest.approx(0.05, abs=1e-9)
    assert ratio_of_means([*first, None], [*second, 1.0]) == replace(found, n_missing=1)


@pytest.mark.parametrize(
    ("first", "second", "value", "reason"),
    [
        ([], [], None, "no values"),
        ([1.0], [2.0], 0.5, "one pair: no interval"),
        ([1.0, 2.0], [1.0, -1.0], None, "the second mean is 0: no ratio"),
        ([1.0, 2.0], [2.0, 4.0], 0.5, "all pairs have the same ratio: no interval"),
        ([1.0, 2.0, 1.0], [5.0, -1.0, -1.0], 4 / 3, "the second mean isn't told from 0: the interval has no bounds"),
    ],
)
def test_a_ratio_without_an_interval_has_a_reason(first, second, value, reason) -> None:
    found = ratio_of_means(first, second)
    assert found.value == (None if value is None else pytest.approx(value))
    assert (found.low, found.high, found.reason) == (None, None, reason)


def test_holm_by_hand_and_as_statsmodels() -> None:
    assert holm([0.01, 0.04, 0.03]) == close([0.03, 0.06, 0.06])
    assert holm([0.01, None, 0.04, NAN]) == [0.02, None, 0.04, None]
    assert holm([]) == []
    for p in (np.random.default_rng(0).uniform(size=20) ** 4, [0.2, 0, 0.01, 0.01, 1]):
        assert holm(p) == close(list(multipletests(p, method="holm")[1]))


@quick
@given(p_values)
def test_holm_is_monotone_and_never_below_the_raw_p(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(raw <= new <= 1 for raw, new in zip(p, adjusted, strict=True) if new is not None)
    by_raw = [new for _, new in sorted(zip(p, adjusted, strict=True)) if new is not None]
    assert by_raw == sorted(by_raw)


# Relations


def test_pearson_by_hand() -> None:
    result = pearson([0, 25, 50, 100], [4, 3, 2, 1])
    # dx = -43.75 -18.75 6.25 56.25, dy = 1.5 0.5 -0.5 -1.5
    r = -162.5 / math.sqrt(5468.75 * 5)
    assert result.r.value == close(r)
    assert result.permutation.p == 2 / 24  # the falling order and the rising one
    z, half = math.atanh(r), 1.959963984540054
    assert interval(result.r) == close((math.tanh(z - half), math.tanh(z + half)))


def test_pearson_and_spearman_as_scipy() -> None:
    for n in (4, 8, 50):
        x, y = line(n)
        theirs = ss.pearsonr(x, y)
        ours = pearson(x, y, level=0.9)
        assert (ours.r.value, ours.parametric.p) == close((theirs.statistic, theirs.pvalue))
        assert interval(ours.r) == close(tuple(theirs.confidence_interval(0.9)))
        ranked = ss.spearmanr(x.round(), y.round())
        ours = spearman(x.round(), y.round())
        assert (ours.r.value, ours.parametric.p) == close((ranked.statistic, ranked.pvalue))


def test_spearman_interval_and_infinite_values() -> None:
    x, y = line(30)
    rho = ss.spearmanr(x, y).statistic
    half = ss.norm.ppf(0.975) * math.sqrt((1 + rho**2 / 2) / 27)
    expected = math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)
    assert interval(spearman(x, y).r) == close(expected)
    assert spearman([1, 2, INF, 3], [1, 3, 4, 2]).r.value == close(0.8)  # a rank needs no finite value


def test_eight_pairs_are_exact() -> None:
    x, y = line(8)
    sums = np.array(list(itertools.permutations(y - y.mean()))) @ x
    test = pearson(x, y).permutation
    assert test.p == (np.abs(sums) >= abs((y - y.mean()) @ x) - 1e-9).mean()
    assert test.method == "Pearson r, permutation test, exact"


def test_drawn_permutations_as_scipy() -> None:
    x, y = line(12, seed=1)
    theirs = ss.pearsonr(x, y, method=ss.PermutationMethod(n_resamples=20_000, rng=1)).pvalue
    ours = pearson(x, 0.4 * y, draws=20_000)
    assert ours.permutation.p == close(theirs, abs=0.01)
    assert ours.permutation.method == "Pearson r, permutation test, 20000 draws"
    assert pearson(np.arange(40), np.arange(40) ** 2, draws=999).permutation.p == 1 / 1000


@quick
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=6))
def test_exact_permutation_p_is_brute_force(pairs: list[tuple[int, int]]) -> None:
    x, y = zip(*pairs, strict=True)
    result = pearson(x, y)
    if result.r.value is None:
        assert len(set(x)) == 1 or len(set(y)) == 1
        return

    def covariance(order: tuple[int, ...]) -> int:  # n^2 times it, in whole numbers: ties are exact
        return abs(len(x) * sum(a * b for a, b in zip(x, order, strict=True)) - sum(x) * sum(y))

    reached = [covariance(order) >= covariance(y) for order in itertools.permutations(y)]
    assert result.permutation.p == close(sum(reached) / len(reached))


@quick
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=10))
def test_exact_sign_flip_p_is_brute_force(d: list[int]) -> None:
    flipped = itertools.product(*[(v, -v) for v in d])
    reached = [abs(sum(row)) >= abs(sum(d)) for row in flipped]
    assert sign_flip_test(d).p == close(sum(reached) / 2 ** len(d))


def test_slope_by_hand_and_as_statsmodels() -> None:
    # y = 0 1 1 on x = 0 1 2: slope 1/2, residuals -1/6 1/3 -1/6, se^2 = (1/6) / 1 / 2 = 1/12
    ours = slope([0, 1, 2], [0, 1, 1])
    assert (ours.value, ours.standard_error) == close((0.5, math.sqrt(1 / 12)))
    x, y = line(30)
    fit = OLS(y, add_constant(x)).fit()
    assert slope(x, y, level=0.9).value == close(fit.params[1])
    assert interval(slope(x, y, level=0.9)) == close(tuple(fit.conf_int(0.1)[1]))


# Sample sizes


@pytest.mark.parametrize(("n", "power", "alpha"), [(2, 0.8, 0.05), (10, 0.5, 0.01), (805, 0.9, 0.05), (9, 0.3, 0.2)])
def test_sample_size_as_statsmodels(n: int, power: float, alpha: float) -> None:
    found = detectable_difference(n, 2.5, power=power, alpha=alpha).difference
    assert found is not None
    assert TTestPower().power(found / 2.5, n, alpha) == close(power, abs=1e-8)
    back = n_needed(-found, 2.5, power=power, alpha=alpha)
    assert (back.n, back.difference) == (n, found)
    if n > 2:
        assert n_needed(found * 1.0001, 2.5, power=power, alpha=alpha).n == n
        assert n_needed(found * 0.9999, 2.5, power=power, alpha=alpha).n == n + 1


def test_sample_size_by_simulation_and_table() -> None:
    assert n_needed(0.5, 1).n == 34  # Cohen's d 0.5, power 0.8: G*Power and R's power.t.test give 33.4
    difference = detectable_difference(12, 3).difference
    assert difference is not None
    x = np.random.default_rng(0).normal(difference, 3, (20_000, 12))
    assert (ss.ttest_1samp(x, 0, axis=1).pvalue < 0.05).mean() == close(0.8, abs=0.01)


def test_sample_sizes_at_the_edges() -> None:
    assert n_needed(1e9, 1e-9).n == 2
    assert n_needed(1, 1e5).n == close(7.849e10, rel=1e-3)  # (1.960 + 0.842)^2 * 10^10
    assert n_needed(1e-9, 1).reason == "more than 10^12 would be needed"
    assert n_needed(0, 1).reason == "no n shows a difference of 0"
    assert n_needed(1, 0).reason == "sd is 0: no t-test"
    assert detectable_difference(1, 1).reason == "n = 1: a t-test needs 2"
    assert detectable_difference(5, 0).difference is None


# What cannot be estimated


def test_impossible_estimates_are_none_with_a_reason() -> None:
    reasons = {
        "no values": [mean_t([]), median([None, NAN]), proportion([]), share_clustered([], [])],
        "one value: no interval": [mean_t([3]), mean([3, None]), paired_difference([5], [2]).estimate],
        "all 3 values are equal: no interval": [
            mean([0.1] * 3),
            median([0.1] * 3),
            paired_difference([0.3, 0.9, 1.0], [0.2, 0.8, 0.9]).estimate,
        ],
        "one group: no interval": [share_clustered([0.1, 0.2], "aa"), mean_pooled([1], [2])],
        "1 values are infinite or beyond 1e100": [mean_t([1, INF]), slope([1, 2], [1, -INF])],
        "2 values are infinite or beyond 1e100": [
            mean_t([1, 1e101, -INF]),
            paired_difference([INF] * 2, [INF] * 2).estimate,
        ],
        "a group of one value: no interval": [difference_of_means([1, None], [1, 2]).estimate],
        "all values are equal in both groups: no interval": [difference_of_means([1, 1], [2, 2]).estimate],
        "one pair: two are needed": [pearson([1], [2]).r, slope([1], [2])],
        "all x are equal: no correlation": [pearson([1, 1, 1], [1, 2, 3]).r],
        "all y are equal: no correlation": [spearman([1, 2, 3], [0.1] * 3).r],
        "|r| = 1: no interval": [pearson([1, 2, 3, 4], [2, 4, 6, 8]).r],
        "all x are equal: no slope": [slope([1, 1], [1, 2])],
        "n = 2: the interval of a slope needs 3": [slope([0, 1], [1, 3])],
        "all points lie on a line: no interval": [
            slope([0, 1, 2], [0.1, 0.2, 0.3]),
            slope([0, 1, 2], [5] * 3),
        ],
    }
    for reason, estimates in reasons.items():
        for estimate in estimates:
            assert (estimate.reason, *interval(estimate), estimate.standard_error) == (
                reason,
                None,
                None,
                None,
            )
    keeps_value = [
        mean_t([3]),
        mean([3, 3]),
        slope([0, 1], [1, 4]),
        difference_of_means([4], [1]).estimate,
    ]
    assert [estimate.value for estimate in keeps_value] == close([3] * 4)
    for nothing in (
        mean_t([]),
        mean_t([INF]),
        proportion([]),
        pearson([1, 1], [1, 2]).r,
        slope([1, 1], [1, 2]),
    ):
        assert nothing.value is None


def test_impossible_tests_are_none_with_a_reason() -> None:
    assert sign_flip_test([]).reason == "no values"
    assert sign_flip_test([INF, 1]).p is None
    flat = pearson([1, 1, 1], [1, 2, 3])
    assert flat.permutation.p is flat.parametric.p is None
    assert flat.permutation.reason == "all x are equal: no correlation"
    two = pearson([1, 2], [4, 3])
    assert (two.r.value, two.permutation.p, two.parametric.p) == (close(-1), 1, None)
    assert two.parametric.reason == "n = 2: the test needs n >= 3"
    assert difference_of_means([1, 1], [2, 2]).test.p is None


# Invariants


@quick
@given(columns)
def test_intervals_contain_the_estimate(x: list[float]) -> None:
    for estimate in (
        mean_t(x),
        mean(x),
        mean_pooled(x, np.ones(len(x)), bounds=UNBOUNDED),
    ):
        assert estimate.value == close(np.mean(x), abs=1e-6)
        if estimate.reason is None:
            assert estimate.low is not None
            assert estimate.high is not None
            slack = 1e-9 * max(map(abs, x))
            assert estimate.low - slack <= np.mean(x) <= estimate.high + slack


@quick
@given(paired_columns)
def test_correlations_and_slopes_stay_in_their_intervals(pairs: list[tuple[float, float]]) -> None:
    x, y = zip(*pairs, strict=True)
    for result in (pearson(x, y, draws=100), spearman(x, y, draws=100)):
        if result.r.value is not None:
            assert -1 <= result.r.value <= 1
            assert result.permutation.p is not None
            assert 0 < result.permutation.p <= 1
        if result.r.low is not None:
            assert -1 <= result.r.low <= result.r.value <= result.r.high <= 1
    line_slope = slope(x, y)
    if line_slope.low is not None:
        assert line_slope.low <= line_slope.value <= line_slope.high


@quick
@given(bits, st.floats(0.5, 0.999))
def test_wilson_stays_inside_and_contains_the_share(x: list[int], level: float) -> None:
    share = proportion(x, level=level)
    assert share.value == close(np.mean(x))
    assert 0 <= share.low <= share.value <= share.high <= 1


@quick
@given(columns, st.integers(0, 5))
def test_missing_values_change_only_n_missing(x: list[float], extra: int) -> None:
    holes: list[float | None] = [*x, *[None, NAN][: extra % 3], *[None] * extra]
    missing = len(holes) - len(x)
    for estimate in (
        mean_t,
        mean,
        median,
    ):
        assert estimate(holes) == replace(estimate(x), n_missing=missing)
    assert sign_flip_test(holes, draws=100) == replace(sign_flip_test(x, draws=100), n_missing=missing)
    y = list(range(len(x)))
    whole, pairs = pearson(x, y, draws=100), pearson([*x, None, 1], [*y, 1, NAN], draws=100)
    for name in ("r", "permutation", "parametric"):
        assert getattr(pairs, name) == replace(getattr(whole, name), n_missing=2)
    assert slope([*x, NAN], [*y, 1]) == replace(slope(x, y), n_missing=1)


def test_the_same_seed_gives_the_same_result() -> None:
    a, b = sample(40, 1), sample(40, 2)
    for verb in (paired_difference, pearson, spearman):
        assert verb(a, b, seed=7, draws=500) == verb(a, b, seed=7, draws=500)
        assert verb(a, b, seed=7, draws=500) != verb(a, b, seed=8, draws=500)


def test_inputs_are_left_alone() -> None:
    x = np.array([3.0, NAN, 1.0, 2.0])
    median(x)
    pearson(x, x, draws=100)
    assert x.tolist()[2:] == [1, 2]
    assert x[0] == 3


def test_resampling_stays_small() -> None:
    x = sample(100_000)
    y = x[::-1].copy()
    tracemalloc.start()
    sign_flip_test(x - y, draws=300)
    pearson(x, y, draws=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # 300 x 100,000 numbers would be 240e6


# A 95 % interval covers about 95 %


def coverage(intervals: list[Estimate], truth: float) -> float:
    return float(np.mean([e.low <= truth <= e.high for e in intervals]))


def test_coverage_of_t_and_clustered_intervals() -> None:
    rng = np.random.default_rng(0)
    assert 0.93 < coverage([mean_t(row) for row in rng.normal(5, 2, (1500, 6))], 5) < 0.97
    rows = rng.normal(size=(800, 20)).repeat(4, axis=1) + rng.normal(size=(800, 80))
    sums, counts = rows.reshape(800, 20, 4).sum(axis=2), np.full(20, 4)
    assert 0.92 < coverage([mean_pooled(row, counts, bounds=UNBOUNDED) for row in sums], 0) < 0.98
    assert coverage([mean_t(row) for row in rows], 0) < 0.85  # what ignoring the clusters would cost


def test_coverage_of_means_medians_and_shares_at_their_least_n() -> None:
    """As in docs/proofs/intervals.md, with fewer samples."""
    rng = np.random.default_rng(1)
    assert 0.92 < coverage([mean(row) for row in rng.exponential(1, (1500, 12))], 1) < 0.97
    heavy = rng.lognormal(0, 1, (1500, 50))
    assert 0.91 < coverage([mean(row, heavy_tailed=True) for row in heavy], math.exp(0.5)) < 0.97
    assert 0.93 < coverage([median(row) for row in rng.exponential(1, (1000, 12))], math.log(2)) < 0.98
    own = rng.beta(2, 8, (1500, 12))  # two values of a group correlate by 1 / 11
    counts = rng.integers(20, 100, (1500, 12))
    shares = map(share_pooled, rng.binomial(counts, own), counts)
    assert 0.92 < coverage([share for share in shares if share.low is not None], 0.2) < 0.98


def test_coverage_of_wilson_and_fisher_intervals() -> None:
    rng = np.random.default_rng(2)
    assert 0.92 < coverage([proportion_from_counts(k, 30) for k in rng.binomial(30, 0.2, 1500)], 0.2) < 0.98
    x, noise = rng.normal(size=(2, 400, 20))
    pairs = zip(x, 0.6 * x + 0.8 * noise, strict=True)  # the true r is 0.6
    assert 0.92 < coverage([pearson(a, b, draws=100).r for a, b in pairs], 0.6) < 0.98


def test_t_test_as_scipy() -> None:
    for n in (2, 5, 805):
        d = sample(n, n) - 1.9
        expected = ss.ttest_1samp(d, 0)
        found = t_test([*d, None])
        assert (found.p, found.statistic) == (close(expected.pvalue), close(expected.statistic))
        assert (found.n, found.n_missing) == (n, 1)
    assert t_test([1.0, 1.0]).reason == "all 2 values are equal: no interval"
    assert t_test([1.0]).p is None


def judged(n: int = 300, seed: int = 0, b0: float = -0.4, b1: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Shares 0, 1/2 and 1, and differences that are mostly positive, as lengths are."""
    rng = np.random.default_rng(seed)
    d = rng.normal(300, 400, n).round()
    p = 1 / (1 + np.exp(-b0 - b1 * np.tanh(d / d.std(ddof=1))))
    y = (rng.random(n) < p).astype(float)
    y[rng.random(n) < 0.05] = 0.5
    return y, d


def penalised(y: np.ndarray, d: np.ndarray) -> np.ndarray:
    """The fit as a general minimiser finds it."""
    x = np.tanh(d / d.std(ddof=1))

    def loss(b: np.ndarray) -> float:
        eta = b[0] + b[1] * x
        return float(np.mean(np.logaddexp(0, eta) - y * eta) + b[1] ** 2 / 240)

    return minimize(loss, [0, 0], method="BFGS", options={"gtol": 1e-9}).x


@pytest.mark.parametrize("seed", range(3))
def test_share_at_zero_as_a_minimiser_finds_it(seed: int) -> None:
    y, d = judged(seed=seed)
    b0, b1 = penalised(y, d)
    found = share_at_zero(y, d)
    assert (found.at_zero.value, found.slope) == (close(1 / (1 + math.exp(-b0)), abs=1e-6), close(b1, abs=1e-5))
    assert found.scale == close(d.std(ddof=1))
    turned = share_at_zero(1 - y, -d)
    assert turned.at_zero.value == close(1 - found.at_zero.value)
    assert (turned.at_zero.low, turned.at_zero.high) == close((1 - found.at_zero.high, 1 - found.at_zero.low))


def test_share_at_zero_s_interval_holds_most_resamples() -> None:
    y, d = judged(400, seed=2)
    picks = np.random.default_rng(7).integers(0, 400, (300, 400))
    each = np.array([share_at_zero(y[pick], d[pick]).at_zero.value for pick in picks])
    found = share_at_zero(y, d).at_zero
    assert found.standard_error == close(each.std(ddof=1), rel=0.15)
    assert interval(found) == close(tuple(np.quantile(each, [0.025, 0.975])), abs=0.02)


def test_length_control_stays_near_the_data_where_all_answers_are_longer() -> None:
    """Nearly all differences have one sign, so the slope is a guess: without a penalty the share would be .4 here."""
    rng = np.random.default_rng(0)
    d = -np.abs(rng.normal(900, 300, 800))
    y = (rng.random(800) < 1 / (1 + np.exp(2 + 2 * (d / 900 + 1)))).astype(float)
    found = share_at_zero(y, d)
    assert y.mean() == close(0.14, abs=0.03)
    assert abs(found.at_zero.value - y.mean()) < 0.15


def test_share_at_zero_without_a_fit_has_a_reason() -> None:
    y, d = judged(40)
    for shares, differences, reason in [
        ([1, 0], [1, 2], "n = 2: the fit needs 3"),
        ([], [], "no values"),
        ([1, 0, 1], [5, 5, 5], "all differences are equal: no slope"),
        (np.ones(40), d, "the fit doesn't settle: differences tell all outcomes, or all are far from 0"),
    ]:
        found = share_at_zero(shares, differences)
        assert (found.at_zero.value, found.at_zero.reason) == (None, reason)
    few = share_at_zero(y, d).at_zero
    assert (few.low, few.reason) == (None, "n = 40: the interval of a length-controlled share needs 50")
    assert share_at_zero([*y, None], [*d, 3]).at_zero == replace(few, n_missing=1)
    with pytest.raises(ValueError, match=r"shares run from 0 to 2; expected \[0, 1\]"):
        share_at_zero([0, 1, 2], [1, 2, 3])


@quick
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(-500, 2000)), min_size=3, max_size=40))
def test_share_at_zero_is_a_share(pairs: list[tuple[float, int]]) -> None:
    y, d = zip(*pairs, strict=True)
    found = share_at_zero(y, d).at_zero
    assert (found.value is None) <= (found.low is None)
    if found.value is not None:
        assert 0 < found.value < 1
    if found.low is not None:
        assert 0 <= found.low <= found.high <= 1


@pytest.mark.parametrize(("share", "n"), [(0.25, 1), (0.25, 11), (0.5, 30), (0.3, 200)])
def test_how_often_wilsons_interval_leaves_out_the_truth(share, n):
    above = below = 0.0
    for count in range(n + 1):
        low, high = proportion_confint(count, n, method="wilson")
        above += ss.binom.pmf(count, n, share) * (low > share + 1e-12)
        below += ss.binom.pmf(count, n, share) * (high < share - 1e-12)
    assert misses_of_proportion(share, n) == pytest.approx((above, below), abs=1e-12)
