"""Differences and ratios of two columns, and tests of no difference."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunescope.stats.columns import EQUAL, HUGE, complete, is_constant, scipy, to_column, why_no_value
from tunescope.stats.estimates import Difference, Estimate, Floats, PValue, Values
from tunescope.stats.intervals import (
    percent,
    skewed_interval_of_mean,
    t_interval_of_mean,
    with_skewed_interval,
)
from tunescope.stats.minimal_n import too_few
from tunescope.stats.resampling import TIE, block_shapes, permutation_p, random_generator

_EXACT_SIGN_FLIPS = 14
"""Differences up to which all sign vectors are tried: 2^14 = 16,384."""


_ROUNDING = 1e-6
"""Models compute in single precision, whose steps are 1e-7, and another batch moves the last of them."""


def paired_difference(
    first: Values,
    second: Values,
    *,
    heavy_tailed: bool = False,
    seed: int = 0,
    draws: int = 10_000,
    level: float = 0.95,
) -> Difference:
    """Mean of first - second over pairs: the t interval corrected for skewness, and the sign-flip test.

    Differences that are rounding (see `subtract`) count as 0, and so does their mean where they cancel out. See `mean`
    for `heavy_tailed`.
    """
    (a, b), n_missing = complete(first, second)
    d = subtract(a, b)
    label = "paired difference of means"
    what = "a heavy-tailed mean" if heavy_tailed else "a mean"
    estimate = skewed_interval_of_mean(d, n_missing, level, label, what)
    if estimate.value and abs(estimate.value) <= EQUAL * float(np.abs(d).mean()):
        estimate = replace(estimate, value=0.0)
    return Difference(estimate, _sign_flip(d, n_missing, seed, draws))


def subtract(first: Values, second: Values) -> Floats:
    """Return first - second [pairs], 0 where both are equal up to rounding.

    They are where they differ by less than `_ROUNDING` of the larger one, or of the columns' median size.
    """
    a, b = to_column(first), to_column(second)
    with np.errstate(invalid="ignore"):  # inf - inf, refused with a reason by why_no_value
        d = a - b
    sizes = np.maximum(np.abs(a), np.abs(b))
    known = sizes[~np.isnan(sizes)]
    if known.size:
        d[np.abs(d) <= _ROUNDING * np.maximum(sizes, np.median(known))] = 0.0
    return d


def difference_of_means(
    first: Values, second: Values, *, heavy_tailed: bool = False, level: float = 0.95
) -> Difference:
    """Mean of first - mean of second, of two columns that may share some of their items.

    Both columns have an entry per item, None where a side doesn't have it. Without a shared item it is Welch's
    interval and test (Welch 1947): se^2 = va/na + vb/nb, df = se^4 / ((va/na)^2/(na-1) + (vb/nb)^2/(nb-1)). Values of
    a shared item aren't independent: se^2 is less 2 sum of (a - mean a)(b - mean b) / (na nb) over shared items, with
    na + nb - shared - 1 degrees of freedom at most. The interval is corrected for skewness. `n` counts both columns'
    values.
    """
    a, b = to_column(first), to_column(second)
    if a.size != b.size:
        raise ValueError(f"columns of {a.size} and {b.size} values; expected equal lengths")
    in_a, in_b = ~np.isnan(a), ~np.isnan(b)
    own_a, own_b, shared = a[in_a], b[in_b], int((in_a & in_b).sum())
    reason = why_no_value(own_a) or why_no_value(own_b)
    value = None if reason else float(own_a.mean() - own_b.mean())
    overlap = f", {shared} in both" if shared else ""
    label = f"difference of means ({own_a.size} and {own_b.size} values{overlap})"
    method = f"{label}, {percent(level)} {'t' if shared else 'Welch t'} interval corrected for skewness"
    name = "t-test of partly shared items" if shared else "Welch t-test"
    n = own_a.size + own_b.size
    point, test = Estimate(value, None, None, n, 0, level, method, reason), PValue(None, None, n, 0, name, reason)
    if not reason and min(own_a.size, own_b.size) < 2:
        reason = "a group of one value: no interval"
    elif not reason and is_constant(own_a) and is_constant(own_b):
        reason = "all values are equal in both groups: no interval"
    if reason or value is None:
        return Difference(replace(point, reason=reason), replace(test, reason=reason))
    parts_a, parts_b = np.zeros(a.size), np.zeros(b.size)
    parts_a[in_a] = (own_a - own_a.mean()) / math.sqrt(own_a.size * (own_a.size - 1))
    parts_b[in_b] = (own_b - own_b.mean()) / math.sqrt(own_b.size * (own_b.size - 1))
    parts = parts_a - parts_b
    error = math.sqrt(float(parts @ parts))
    if error <= _ROUNDING * math.sqrt(float(parts_a @ parts_a + parts_b @ parts_b)):
        if abs(value) > _ROUNDING * float(max(np.abs(own_a).mean(), np.abs(own_b).mean())):
            reason = "all items differ by the same: no interval"
            return Difference(replace(point, reason=reason), replace(test, reason=reason))
        reason = "both columns are equal: no interval"
        return Difference(replace(point, value=0.0, reason=reason), replace(test, p=1.0, statistic=0.0))
    part_a = float(parts_a @ parts_a) / float(parts_a @ parts_a + parts_b @ parts_b)
    df = 1 / (part_a**2 / (own_a.size - 1) + (1 - part_a) ** 2 / (own_b.size - 1))
    df = min(df, n - shared - 1) if shared else df
    statistic = value / error
    test = replace(test, p=float(2 * scipy().stats.t.sf(abs(statistic), df)), statistic=statistic)
    point = replace(point, standard_error=error)
    what = "a heavy-tailed difference of means" if heavy_tailed else "a difference of means"
    if reason := too_few(what, min(own_a.size, own_b.size)):
        return Difference(replace(point, reason=reason), test)
    skewness = float(((parts / error) ** 3).sum())
    return Difference(with_skewed_interval(point, error, df, skewness), test)


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
    if reason := too_few("a ratio of means", a.size):
        return replace(point, reason=reason)
    t2 = float(scipy().special.stdtrit(a.size - 1, (1 + level) / 2)) ** 2
    (vaa, vab), (_, vbb) = np.cov(a, b) / a.size
    square, mixed, constant = below**2 - t2 * vbb, above * below - t2 * vab, above**2 - t2 * vaa
    if square <= 0:
        return replace(point, reason="the second mean isn't told from 0: the interval has no bounds")
    half = math.sqrt(max(0.0, mixed**2 - square * constant))
    return replace(point, low=float((mixed - half) / square), high=float((mixed + half) / square))


def sign_flip_test(
    differences: Values, *, seed: int = 0, draws: int = 10_000, exact_up_to: int = _EXACT_SIGN_FLIPS
) -> PValue:
    """Paired permutation test of a mean of 0: how often random signs give a |sum| as large as observed.

    Exact over all 2^m sign vectors when m <= `exact_up_to` differences are not 0 (a 0 has no sign to flip), else
    p = (hits + 1) / (draws + 1) over random sign vectors (Fisher 1935, section 21; Phipson & Smyth 2010).
    The statistic is the mean difference.
    """
    (d,), n_missing = complete(differences)
    return _sign_flip(d, n_missing, seed, draws, exact_up_to)


def _sign_flip(d: Floats, n_missing: int, seed: int, draws: int, exact_up_to: int = _EXACT_SIGN_FLIPS) -> PValue:
    moving, rng = d[d != 0], random_generator(seed, draws)
    exact = moving.size <= exact_up_to
    method = f"sign-flip permutation test, {'exact' if exact else f'{draws} draws'}"
    result = PValue(None, None, d.size, n_missing, method, why_no_value(d))
    if result.reason:
        return result
    flips: Iterable[NDArray[Any]]  # 1 where the sign turns
    if exact:
        starts = np.cumsum([0, *(rows for rows, _ in block_shapes(2**moving.size, max(1, moving.size)))])
        blocks_of_vectors = (np.arange(start, end) for start, end in pairwise(starts))
        flips = (vectors[:, None] >> np.arange(moving.size) & 1 for vectors in blocks_of_vectors)
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


def mcnemar(first: Values, second: Values) -> PValue:
    """McNemar's exact test: do as many pairs go from 0 to 1 as from 1 to 0?

    p is twice the smaller tail of the binomial of the pairs that changed, at 1/2 (McNemar 1947; the exact form). Its
    statistic is how many went from 0 to 1.

    :raises ValueError: a value is neither 0, 1 nor missing.
    """
    (a, b), n_missing = complete(first, second)
    if not (np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        raise ValueError("found a value beside 0 and 1; McNemar's test is for pairs of those")
    won, lost = int(((a == 0) & (b == 1)).sum()), int(((a == 1) & (b == 0)).sum())
    test = PValue(None, None, a.size, n_missing, "McNemar's exact test", None if a.size else "no pairs")
    if not a.size:
        return test
    p = min(1.0, 2 * float(scipy().special.bdtr(min(won, lost), won + lost, 0.5))) if won + lost else 1.0
    return replace(test, p=p, statistic=float(won))


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
