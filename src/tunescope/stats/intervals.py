"""A statistic with its interval: Student's t, Hall's correction of it for skewness, Wilson's for shares."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np

from tunescope.stats.columns import is_constant, scipy, why_no_value
from tunescope.stats.estimates import Estimate, Floats
from tunescope.stats.minimal_n import too_few


def percent(level: float) -> str:
    """Return a level as it is printed: `95 %`."""
    return f"{100 * level:g} %"


def normal_quantile(level: float) -> float:
    """Return the z that a standard normal variable exceeds in size with probability 1 - level."""
    return NormalDist().inv_cdf((1 + level) / 2)


def t_quantile(level: float, df: float) -> float:
    """Return the t that Student's variable of df degrees of freedom exceeds in size with probability 1 - level."""
    return -float(scipy().special.stdtrit(df, (1 - level) / 2))


def without_interval(
    x: Floats, n_missing: int, level: float, method: str, statistic: Callable[[Floats], Any] = np.mean
) -> Estimate:
    """Return a statistic without its interval, with the reason where there can be none."""
    reason = why_no_value(x)
    value = None if reason else float(statistic(x))
    if not reason and x.size == 1:
        reason = "one value: no interval"
    elif not reason and is_constant(x):
        reason = f"all {x.size} values are equal: no interval"
    return Estimate(value, None, None, x.size, n_missing, level, method, reason)


def with_t_interval(point: Estimate, standard_error: float, df: float) -> Estimate:
    """Add Student's interval with df degrees of freedom."""
    assert point.value is not None
    half = t_quantile(point.level, df) * standard_error
    return replace(point, low=point.value - half, high=point.value + half, standard_error=standard_error)


def with_skewed_interval(point: Estimate, standard_error: float, df: float, skewness: float) -> Estimate:
    """Add Student's interval, stretched on the side where Hall's correction for skewness reaches farther.

    `skewness` is that of the estimate itself: for a mean, the data's divided by sqrt(n). Hall's interval inverts the
    cubic T + s T^2/3 + s^2 T^3/27 + s/6 of the t statistic (Hall 1992, "On the removal of skewness by
    transformation"), here with Student's quantile. Where a few values decide, as in symmetric heavy tails, that cubic
    corrects what is chance; the wider of the two ends holds both.
    """
    assert point.value is not None
    quantile = t_quantile(point.level, df)
    below = above = quantile
    if skewness:
        slope = skewness / 3

        def invert(y: float) -> float:
            return (math.cbrt(1 + 3 * slope * (y - skewness / 6)) - 1) / slope

        below, above = max(below, invert(quantile)), max(above, -invert(-quantile))
    low, high = point.value - below * standard_error, point.value + above * standard_error
    return replace(point, low=low, high=high, standard_error=standard_error)


def skewness_of(x: Floats) -> float:
    """Return the third standardised moment of a column, 0 where all values are equal."""
    deviations = x - x.mean()
    scale = float(np.abs(deviations).max())
    if scale == 0:
        return 0.0
    deviations = deviations / scale
    return float((deviations**3).mean() / (deviations**2).mean() ** 1.5)


def wilson_interval(share: float, n: float, quantile: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of n values (Wilson 1927; Brown, Cai & DasGupta 2001, equation 4).

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).
    """
    z2 = quantile**2
    centre, half = share + z2 / (2 * n), quantile * math.sqrt(share * (1 - share) / n + z2 / (2 * n) ** 2)
    low, high = (centre - half) / (1 + z2 / n), (centre + half) / (1 + z2 / n)
    # At a share of 0 or 1 a bound equals it; rounding must not move it past.
    return max(0.0, min(share, low)), min(1.0, max(share, high))


def t_interval_of_mean(x: Floats, n_missing: int, level: float, label: str) -> Estimate:
    """Return the mean of a complete column with Student's interval."""
    point = without_interval(x, n_missing, level, f"{label}, {percent(level)} Student t interval")
    return point if point.reason else with_t_interval(point, float(x.std(ddof=1)) / math.sqrt(x.size), x.size - 1)


def skewed_interval_of_mean(x: Floats, n_missing: int, level: float, label: str, what: str) -> Estimate:
    """Return the mean of a complete column with `with_skewed_interval`; `what` is its key in `MINIMAL_N`."""
    point = without_interval(x, n_missing, level, f"{label}, {percent(level)} t interval corrected for skewness")
    if point.reason:
        return point
    error = float(x.std(ddof=1)) / math.sqrt(x.size)
    if reason := too_few(what, x.size):
        return replace(point, standard_error=error, reason=reason)
    return with_skewed_interval(point, error, x.size - 1, skewness_of(x) / math.sqrt(x.size))
