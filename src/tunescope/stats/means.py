"""Means, medians and proportions of one column whose values are independent."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np

from tunescope.stats.columns import complete, scipy
from tunescope.stats.estimates import UNBOUNDED, Bounds, Estimate, PValue, Values
from tunescope.stats.intervals import (
    normal_quantile,
    percent,
    skewed_interval_of_mean,
    t_interval_of_mean,
    wilson_interval,
    without_interval,
)
from tunescope.stats.minimal_n import too_few


def mean(values: Values, *, heavy_tailed: bool = False, bounds: Bounds = UNBOUNDED, level: float = 0.95) -> Estimate:
    """Mean with Student's interval corrected for skewness (see `with_skewed_interval`).

    `heavy_tailed` values, such as lengths and perplexities, get an interval from a larger n on. No value can be beyond
    the `bounds`, such as 1 for perplexities: there the interval ends.
    """
    (x,), n_missing = complete(values)
    what = "a heavy-tailed mean" if heavy_tailed else "a mean"
    return skewed_interval_of_mean(x, n_missing, level, "mean", what).within(bounds)


def mean_t(
    values: Values,
    *,
    level: float = 0.95,
    least_n: str = "a mean of scores",
    bounds: Bounds = UNBOUNDED,
) -> Estimate:
    """Mean with Student's interval: mean -+ t(n-1) * sd / sqrt(n), sd with ddof 1 (Student 1908).

    For values close to normal, such as scores that are themselves means over many questions. `least_n` is what is
    estimated, as in `MINIMAL_N`. No value can be beyond the `bounds`, such as 0 and 1 for shares: there the interval
    ends.
    """
    (x,), n_missing = complete(values)
    estimate = t_interval_of_mean(x, n_missing, level, "mean")
    reason = estimate.reason or too_few(least_n, x.size)
    return estimate.within(bounds) if reason is None else replace(estimate, low=None, high=None, reason=reason)


def median(values: Values, *, level: float = 0.95) -> Estimate:
    """Median with an interval between order statistics, whatever the distribution.

    The d-th smallest and the d-th largest of n values enclose the median with probability 1 - 2 P(B < d), B binomial
    of n and 1/2. Between the two d around the level it is interpolated (Hettmansperger & Sheather 1986).
    """
    (x,), n_missing = complete(values)
    point = without_interval(x, n_missing, level, f"median, {percent(level)} interval of order statistics", np.median)
    reason = point.reason or too_few("a median", x.size)
    binomial = scipy().stats.binom(x.size, 0.5)
    rank = int(binomial.ppf((1 - level) / 2)) if reason is None else 0
    if reason is not None or rank == 0:
        return replace(point, reason=reason or f"n = {x.size}: too few for an interval at {percent(level)}")
    wide, narrow = (1 - 2 * float(binomial.cdf(k)) for k in (rank - 1, rank))
    part = (wide - level) / (wide - narrow)
    inward = (x.size - rank) * part / (rank + (x.size - 2 * rank) * part)
    ordered = np.sort(x)
    low = (1 - inward) * ordered[rank - 1] + inward * ordered[rank]
    high = (1 - inward) * ordered[x.size - rank] + inward * ordered[x.size - rank - 1]
    return replace(point, low=float(low), high=float(high))


def proportion(values: Values, *, level: float = 0.95) -> Estimate:
    """Share of ones among zeros and ones, with the Wilson interval (see `wilson_interval`).

    :raises ValueError: a value is neither 0, 1 nor missing.
    """
    (x,), n_missing = complete(values)
    other = x[(x != 0) & (x != 1)]
    if other.size:
        raise ValueError(f"{other.size} values are neither 0 nor 1; the first is {other[0]:g}")
    return proportion_from_counts(int(x.sum()), x.size, n_missing, level=level)


def proportion_from_counts(successes: int, n: int, n_missing: int = 0, *, level: float = 0.95) -> Estimate:
    """Share successes / n with the Wilson interval (see `wilson_interval`).

    :raises ValueError: not 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}; expected 0 <= successes <= n")
    method = f"share, {percent(level)} Wilson interval"
    point = Estimate(None, None, None, n, n_missing, level, method, None if n else "no values")
    if point.reason:
        return point
    low, high = wilson_interval(successes / n, n, normal_quantile(level))
    return replace(point, value=successes / n, low=low, high=high)


def binomial_test(successes: int, n: int, share: float) -> PValue:
    """Exact two-sided binomial test: are successes as frequent as `share`?

    p is the probability of all counts that are at most as probable as the observed one (as scipy.stats.binomtest). The
    statistic is successes / n.

    :raises ValueError: not 0 <= successes <= n, or a share outside [0, 1].
    """
    method = f"exact binomial test against {share:g}"
    if n == 0:
        return PValue(None, None, 0, 0, method, "no values")
    return PValue(float(scipy().stats.binomtest(successes, n, share).pvalue), successes / n, n, 0, method)


class Misses(NamedTuple):
    """How often an interval lies wholly above the true value, and how often below."""

    above: float
    below: float


@cache
def misses_of_proportion(share: float, n: int, *, level: float = 0.95) -> Misses:
    """Return how often the interval of `proportion` leaves out the true share of n values: exact binomial tails.

    Of few values, or near 0 and 1, the two sides differ widely, and neither has half of what the level says.
    """
    if not n:
        return Misses(0.0, 0.0)
    quantile, binomial = normal_quantile(level), scipy().stats.binom(n, share)
    ends = range(n + 1)
    above = bisect_left(ends, True, key=lambda count: wilson_interval(count / n, n, quantile)[0] > share)
    below = bisect_left(ends, True, key=lambda count: wilson_interval(count / n, n, quantile)[1] >= share)
    return Misses(float(binomial.sf(above - 1)), float(binomial.cdf(below - 1)))
