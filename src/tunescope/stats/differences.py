"""Differences and ratios of two columns, and tests of no difference."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunescope.stats.columns import EQUAL, HUGE, complete, is_constant, nonempty_groups, scipy, to_column, why_no_value
from tunescope.stats.estimates import Difference, Estimate, Floats, PValue, Values
from tunescope.stats.intervals import (
    bootstrap_method,
    bootstrap_of_mean,
    percent,
    t_interval_of_mean,
    with_percentiles,
    with_t_interval,
)
from tunescope.stats.means import mean_pooled
from tunescope.stats.resampling import (
    TIE,
    block_shapes,
    permutation_p,
    random_generator,
    resampled_means,
    resampled_pooled_means,
)

_EXACT_SIGN_FLIPS = 14
"""Differences up to which all sign vectors are tried: 2^14 = 16,384."""


def paired_difference(
    first: Values, second: Values, *, seed: int = 0, draws: int = 10_000, level: float = 0.95
) -> Difference:
    """Mean of first - second over pairs: percentile bootstrap and t intervals, and the sign-flip test."""
    (a, b), n_missing = complete(first, second)
    with np.errstate(invalid="ignore"):  # inf - inf, refused with a reason by why_no_value
        d = a - b
    label = "paired difference of means"
    bootstrap = bootstrap_of_mean(d, n_missing, level, seed, draws, label)
    return Difference(bootstrap, t_interval_of_mean(d, n_missing, level, label), _sign_flip(d, n_missing, seed, draws))


def unpaired_difference(
    first: Values, second: Values, *, seed: int = 0, draws: int = 10_000, level: float = 0.95
) -> Difference:
    """Mean of first - mean of second, independent columns: percentile bootstrap and Welch intervals and test.

    Welch 1947: se^2 = va/na + vb/nb, df = se^4 / ((va/na)^2/(na-1) + (vb/nb)^2/(nb-1)). The bootstrap draws
    each column by itself (Efron & Tibshirani 1993, section 8.3). `n` and `n_missing` count both columns.
    """
    (a,), missing_a = complete(first)
    (b,), missing_b = complete(second)
    reason = why_no_value(a) or why_no_value(b)
    value = None if reason else float(a.mean() - b.mean())
    if not reason and min(a.size, b.size) < 2:
        reason = "a group of one value: no interval"
    elif not reason and is_constant(a) and is_constant(b):
        reason = "all values are equal in both groups: no interval"
    n, n_missing = a.size + b.size, missing_a + missing_b
    label = f"unpaired difference of means ({a.size} and {b.size} values)"
    by_t = Estimate(value, None, None, n, n_missing, level, f"{label}, {percent(level)} Welch t", reason)
    by_draws = replace(by_t, method=f"{label}, {bootstrap_method(level, draws)}")
    test = PValue(None, None, n, n_missing, "Welch t-test", reason)
    if reason or value is None:
        return Difference(by_draws, by_t, test)
    rng = random_generator(seed, draws)
    by_draws = with_percentiles(by_draws, resampled_means(a, draws, rng) - resampled_means(b, draws, rng))
    va, vb = float(a.var(ddof=1)) / a.size, float(b.var(ddof=1)) / b.size
    share = va / (va + vb)  # so that nothing is raised to the fourth power
    df = 1 / (share**2 / (a.size - 1) + (1 - share) ** 2 / (b.size - 1))
    statistic = value / math.sqrt(va + vb)
    p = float(2 * scipy().stats.t.sf(abs(statistic), df))
    test = replace(test, p=p, statistic=statistic)
    return Difference(by_draws, with_t_interval(by_t, math.sqrt(va + vb), df), test)


def mean_pooled_difference(
    sums: Values,
    counts: Values,
    other_sums: Values,
    other_counts: Values,
    *,
    seed: int = 0,
    draws: int = 10_000,
    level: float = 0.95,
) -> Estimate:
    """One `mean_pooled` less that of other groups, with a percentile bootstrap over the groups of each side.

    `n` and `n_missing` are the first side's.
    """
    first = mean_pooled(sums, counts, seed=seed, draws=draws, level=level)
    second = mean_pooled(other_sums, other_counts, seed=seed + 1, draws=draws, level=level)
    method = f"difference of means over all values, {bootstrap_method(level, draws)} over groups"
    point = Estimate(None, None, None, first.n, first.n_missing, level, method, first.reason or second.reason)
    if first.value is None or second.value is None:
        return point
    point = replace(point, value=first.value - second.value)
    if 1 in (first.n, second.n) or (first.reason and second.reason):
        return point
    resampled = [
        resampled_pooled_means(*nonempty_groups(*side)[:2], draws, random_generator(stream, draws))
        for side, stream in (((sums, counts), seed), ((other_sums, other_counts), seed + 1))
    ]
    return with_percentiles(replace(point, reason=None), resampled[0] - resampled[1])


def ratio_of_means(first: Values, second: Values, *, level: float = 0.95) -> Estimate:
    """Mean of first / mean of second over pairs, with Fieller's interval (Fieller 1954).

    The interval holds every ratio q for which the t-test of mean(first - q * second) = 0 over the pairs keeps
    its hypothesis. It is None where mean(second) isn't told from 0 at this level: then it has no bounds.
    """
    (a, b), n_missing = complete(first, second)
    reason = why_no_value(a) or why_no_value(b)
    method = f"ratio of means over pairs, {percent(level)} Fieller interval"
    point = Estimate(None, None, None, a.size, n_missing, level, method, reason)
    if reason:
        return point
    above, below = float(a.mean()), float(b.mean())
    if abs(below) <= EQUAL * max(float(np.abs(b).max()), 1 / HUGE):
        return replace(point, reason="the second mean is 0: no ratio")
    point = replace(point, value=above / below)
    if a.size == 1:
        return replace(point, reason="one pair: no interval")
    if np.ptp(a - above / below * b) <= EQUAL * max(float(np.abs(a).max()), float(np.abs(b).max())):
        return replace(point, reason="all pairs have the same ratio: no interval")
    t2 = float(scipy().special.stdtrit(a.size - 1, (1 + level) / 2)) ** 2
    (vaa, vab), (_, vbb) = np.cov(a, b) / a.size
    square, mixed, constant = below**2 - t2 * vbb, above * below - t2 * vab, above**2 - t2 * vaa
    if square <= 0:
        return replace(point, reason="the second mean isn't told from 0: the interval has no bounds")
    half = math.sqrt(max(0.0, mixed**2 - square * constant))
    return replace(point, low=float((mixed - half) / square), high=float((mixed + half) / square))


def sign_flip_test(differences: Values, *, seed: int = 0, draws: int = 10_000) -> PValue:
    """Paired permutation test of a mean of 0: how often random signs give a |sum| as large as observed.

    Exact over all 2^m sign vectors when m <= 14 differences are not 0 (a 0 has no sign to flip), else
    p = (hits + 1) / (draws + 1) over random sign vectors (Fisher 1935, section 21; Phipson & Smyth 2010).
    The statistic is the mean difference.
    """
    (d,), n_missing = complete(differences)
    return _sign_flip(d, n_missing, seed, draws)


def _sign_flip(d: Floats, n_missing: int, seed: int, draws: int) -> PValue:
    moving, rng = d[d != 0], random_generator(seed, draws)
    exact = moving.size <= _EXACT_SIGN_FLIPS
    method = f"sign-flip permutation test, {'exact' if exact else f'{draws} draws'}"
    result = PValue(None, None, d.size, n_missing, method, why_no_value(d))
    if result.reason:
        return result
    flips: Iterable[NDArray[Any]]  # 1 where the sign turns
    if exact:
        flips = [np.arange(2**moving.size)[:, None] >> np.arange(moving.size) & 1]
    else:
        flips = (rng.integers(0, 2, shape, np.int8) for shape in block_shapes(draws, moving.size))
    total = float(d.sum())
    blocks = (np.abs(total - 2 * (flip @ moving)) for flip in flips)
    p = permutation_p(blocks, abs(total) - TIE * float(np.abs(d).sum()), exact)
    return replace(result, p=p, statistic=total / d.size)


def t_test(differences: Values) -> PValue:
    """Student's one-sample or paired t-test of a mean of 0; the statistic is mean / (sd / sqrt(n)) (Student 1908).

    For many comparisons at once: its p isn't bounded below by a number of draws, as that of `sign_flip_test` is.
    """
    (d,), n_missing = complete(differences)
    point = t_interval_of_mean(d, n_missing, 0.95, "mean")
    result = PValue(None, None, d.size, n_missing, "Student t-test", point.reason)
    if point.value is None or point.standard_error is None:
        return result
    statistic = point.value / point.standard_error
    p = 2 * float(scipy().special.stdtr(d.size - 1, -abs(statistic)))
    return replace(result, p=p, statistic=statistic)


def holm(p_values: Values) -> list[float | None]:
    """Holm's adjusted p-values, in the order given: max over j <= i of min(1, (m - j + 1) p_(j)) (Holm 1979).

    A missing p stays None and does not count in m, the size of the family.

    :raises ValueError: a p-value is outside [0, 1].
    """
    column = to_column(p_values)
    present = np.flatnonzero(~np.isnan(column))
    p = column[present]
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values run from {p.min():g} to {p.max():g}; expected [0, 1]")
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted: list[float | None] = [None] * column.size
    for position, step in zip(present[order], steps, strict=True):
        adjusted[position] = min(1.0, float(step))
    return adjusted
