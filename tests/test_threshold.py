"""A flat curve that becomes a line: the fit against scipy's optimizer, the interval by simulation, against a line."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import ttest_1samp

from tunescope.stats import left_out_errors, threshold
from tunescope.stats.threshold import _contrasts

FIVE = (0.0, 0.25, 0.5, 0.75, 1.0)
ELEVEN = tuple(np.linspace(0, 1, 11))


def curve(x, t, level, slope):
    return level + slope * np.maximum(0, np.asarray(x) - t)


def by_scipy(x, y):
    """Return the least sum of squares and its threshold, from many starts of a general optimizer."""

    def error(p):
        return float(np.sum((curve(x, *p) - y) ** 2))

    starts = [(t, y[0], slope) for t in np.linspace(x[0] + 0.05, x[-2] - 0.05, 8) for slope in (-1.0,)]
    bounds = [(x[0], x[-2]), (None, None), (None, None)]
    best = min((minimize(error, start, bounds=bounds, tol=1e-12) for start in starts), key=lambda each: each.fun)
    return best.fun, best.x


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("x", [FIVE, ELEVEN], ids=["five", "eleven"])
def test_the_fit_is_scipys(x, seed):
    rng = np.random.default_rng(seed)
    y = curve(x, rng.uniform(0, 0.9), 0.9, rng.uniform(-2, 0.5)) + rng.normal(0, 0.05, len(x))
    fit = threshold(x, [y])
    error, best = by_scipy(x, y)
    ours = float(np.sum((curve(x, fit.threshold.value, fit.level, fit.slope) - y) ** 2))
    assert ours <= error + 1e-9  # scipy's may stop in another valley, never below
    if abs(ours - error) < 1e-9:
        assert fit.threshold.value == pytest.approx(best[0], abs=1e-3)


@pytest.mark.parametrize("t", [0.0, 0.1, 0.37, 0.5, 0.625])
def test_a_known_threshold_is_found_exactly(t):
    fit = threshold(ELEVEN, [curve(ELEVEN, t, 0.9, -0.8), curve(ELEVEN, t, 0.7, -0.8)])
    assert (fit.threshold.value, fit.level, fit.slope) == pytest.approx((t, 0.8, -0.8))
    assert (fit.threshold.n, fit.is_last) == (2, False)


def test_left_out_places_tell_a_threshold_from_a_line():
    bent = left_out_errors(ELEVEN, [curve(ELEVEN, 0.5, 0.9, -0.8)])
    straight = left_out_errors(ELEVEN, [curve(ELEVEN, 0.0, 0.9, -0.8)])
    assert bent.threshold == pytest.approx(0, abs=1e-9)
    assert bent.line > 0.03
    assert straight.line == pytest.approx(0, abs=1e-9)
    assert straight.threshold > 0.02  # left of the first place it is flat
    others = np.polyfit(ELEVEN[1:], curve(ELEVEN[1:], 0.5, 0.9, -0.8), 1)
    errors = [
        curve([x], 0.5, 0.9, -0.8)[0]
        - np.polyval(
            np.polyfit([o for o in ELEVEN if o != x], curve([o for o in ELEVEN if o != x], 0.5, 0.9, -0.8), 1), x
        )
        for x in ELEVEN
    ]
    assert errors[0] == pytest.approx(0.9 - others[1])
    assert bent.line == pytest.approx(float(np.sqrt(np.mean(np.square(errors)))))
    assert left_out_errors(FIVE[:4], [[0.9, 0.9, 0.8, 0.7]]) is None


def test_a_drop_at_the_last_place_says_only_where_it_begins_at_the_earliest():
    fit = threshold(FIVE, [[level, level, level, level, 0.4] for level in (0.9, 0.8, 0.85)])
    assert (fit.threshold.value, fit.is_last, fit.threshold.high) == (0.75, True, 1.0)


def test_the_contrast_is_blind_to_level_and_slope_and_sees_the_threshold():
    tested, contrasts = _contrasts(FIVE)
    for t, contrast in zip(tested, contrasts, strict=True):
        assert contrast @ np.ones(5) == pytest.approx(0, abs=1e-9)
        assert contrast @ np.maximum(0, np.array(FIVE) - t) == pytest.approx(0, abs=1e-9)
        assert contrast @ contrast == pytest.approx(1)


def test_a_place_of_x_belongs_to_an_interval_that_reaches_it_from_one_side():
    """Just before 0.5 the contrast rejects, just behind it doesn't: 0.5 itself isn't shown to be wrong."""
    tested, contrasts = _contrasts(FIVE)
    before, behind = np.flatnonzero(tested == 0.5)
    assert behind == before + 1
    for contrast, first_behind in ((contrasts[before], 2), (contrasts[behind], 3)):
        step = np.arange(5) >= first_behind
        rest = step - np.polyval(
            np.polyfit(np.maximum(0, np.array(FIVE) - 0.5), step, 1), np.maximum(0, np.array(FIVE) - 0.5)
        )
        assert contrast == pytest.approx(rest / np.linalg.norm(rest))
    rows = np.array([curve(FIVE, 0.5, 0.9, -0.8)] * 4) + np.array([[0.03, -0.03, 0.02, -0.02]]).T * contrasts[behind]
    rows += 0.05 * contrasts[before] * np.array([[1, 1.1, 0.9, 1]]).T
    interval = threshold(FIVE, rows).threshold
    p = [ttest_1samp(rows @ contrast, 0).pvalue for contrast in contrasts[[before, behind]]]
    assert p[0] < 0.05 < p[1]
    assert interval.low == 0.5


def test_at_the_ends_of_the_interval_the_t_test_turns():
    rng = np.random.default_rng(3)
    rows = np.array([curve(ELEVEN, 0.55, 0.95, -1) + rng.normal(0, 0.03, 11) + rng.normal(0, 0.05) for _ in range(10)])
    fit = threshold(ELEVEN, rows)
    tested, contrasts = _contrasts(ELEVEN)
    p = [ttest_1samp(rows @ contrast, 0).pvalue for contrast in contrasts]
    inside = (tested >= fit.threshold.low - 1e-9) & (tested <= fit.threshold.high + 1e-9)
    assert min(np.array(p)[inside]) >= 0.05
    first, last = np.flatnonzero(inside)[[0, -1]]
    assert max(p[first - 1], p[last + 1]) < 0.05
    assert fit.threshold.low < 0.55 < fit.threshold.high


@pytest.mark.parametrize(
    ("x", "n", "t"), [(FIVE, 3, 0.3), (FIVE, 10, 0.5), (FIVE, 10, 0.55), (ELEVEN, 3, 0.62), (ELEVEN, 10, 0.55)]
)
@pytest.mark.parametrize("errors", ["equal", "growing", "dependent"])
def test_the_interval_covers_the_truth_in_93_to_97_percent(x, n, t, errors):
    rng = np.random.default_rng(1)
    truth, trials, covered = curve(x, t, 0.95, -1), 300, 0
    for _ in range(trials):
        noise = rng.normal(0, 0.02, (n, len(x)))
        if errors == "growing":
            noise *= 1 + 5 * np.maximum(0, np.array(x) - t)
        if errors == "dependent":
            noise = np.cumsum(noise, axis=1) + rng.normal(0, 0.05, (n, 1))
        interval = threshold(x, truth + noise).threshold
        covered += interval.low is not None and interval.low <= t <= interval.high
    assert 0.92 <= covered / trials <= 0.985  # 300 trials: 0.93 to 0.97, give or take 0.014


@pytest.mark.parametrize(
    ("x", "rows", "reason"),
    [
        (FIVE[:3], [[1.0, 2, 3]], "3 places: a threshold needs 4"),
        (FIVE, [[1.0, 1, 1, 1, 1]], "all values are equal: no threshold"),
        (FIVE, [[1e300, 1, 1, 1, 1]], "1 values are infinite or beyond 1e100"),
        (FIVE, [[1.0, None, 1, 1, 1]], "no series has a value at every place"),
    ],
)
def test_where_there_is_none(x, rows, reason):
    fit = threshold(x, rows)
    assert (fit.threshold.value, fit.threshold.reason, fit.level) == (None, reason, None)


def test_one_series_has_no_interval():
    fit = threshold(FIVE, [[0.9, 0.9, 0.8, 0.6, 0.4], [0.9, None, 0.8, 0.6, 0.4]])
    assert fit.threshold.reason == "n = 1: the interval of a threshold needs 3"
    assert (fit.threshold.low, fit.threshold.n, fit.threshold.n_missing) == (None, 1, 1)
