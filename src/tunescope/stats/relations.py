"""Correlations of two columns, and the slope of a line through them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from tunescope.stats.columns import EQUAL, HUGE, complete, is_constant, scipy, why_no_value
from tunescope.stats.estimates import Correlation, Estimate, Floats, PValue, Values
from tunescope.stats.intervals import normal_quantile, percent, with_t_interval
from tunescope.stats.minimal_n import too_few
from tunescope.stats.resampling import TIE, block_shapes, permutation_p, random_generator

_EXACT_PERMUTATIONS = 8
"""Pairs up to which all orders are tried: 8! = 40,320."""


def pearson(x: Values, y: Values, *, seed: int = 0, draws: int = 10_000, level: float = 0.95) -> Correlation:
    """Pearson's r with Fisher's interval: tanh(atanh r -+ z / sqrt(n - 3)) (Fisher 1921).

    The permutation p is two-sided by |r|: exact over all n! orders for n <= 8, else (hits + 1) / (draws + 1)
    over random orders (Phipson & Smyth 2010); |r| within 1e-9 counts as tied. The parametric p is that of
    scipy.stats.pearsonr, for n >= 3.
    """
    (a, b), n_missing = complete(x, y)
    return _correlation(a, b, n_missing, "Pearson r", 0.0, seed, draws, level, "a Pearson correlation")


def spearman(x: Values, y: Values, *, seed: int = 0, draws: int = 10_000, level: float = 0.95) -> Correlation:
    """Spearman's rho: `pearson` of the ranks (ties share their mean rank).

    The interval's variance on Fisher's scale is (1 + rho^2 / 2) / (n - 3) (Bonett & Wright 2000).
    """
    (a, b), n_missing = complete(x, y)
    rank = scipy().stats.rankdata
    return _correlation(rank(a), rank(b), n_missing, "Spearman rho", 0.5, seed, draws, level, "a Spearman correlation")


def slope(x: Values, y: Values, *, level: float = 0.95) -> Estimate:
    """Slope of the least-squares line of y on x, in units of y per unit of x, with a t(n-2) interval.

    se^2 = (residual sum of squares / (n - 2)) / sum of (x - mean x)^2 (Draper & Smith 1998, section 1.4).
    """
    (a, b), n_missing = complete(x, y)
    reason = _why_no_relation(a, b) or ("all x are equal: no slope" if is_constant(a) else None)
    method = f"least-squares slope, {percent(level)} t interval"
    point = Estimate(None, None, None, a.size, n_missing, level, method, reason)
    if reason:
        return point
    dx, dy = a - a.mean(), b - b.mean()
    value = float(dx @ dy / (dx @ dx))
    residuals, point = dy - value * dx, replace(point, value=value)
    if reason := too_few("a slope", a.size):
        return replace(point, reason=reason)
    if np.abs(residuals).max() <= max(EQUAL * np.abs(b).max(), 1 / HUGE):
        return replace(point, reason="all points lie on a line: no interval")
    return with_t_interval(point, math.sqrt(residuals @ residuals / (a.size - 2) / (dx @ dx)), a.size - 2)


def _correlation(
    x: Floats, y: Floats, n_missing: int, label: str, widen: float, seed: int, draws: int, level: float, what: str
) -> Correlation:
    """Correlate x and y; the interval's variance on Fisher's scale is (1 + widen * r^2) / (n - 3).

    `what` is its key in `MINIMAL_N`.
    """
    n, exact, rng = x.size, x.size <= _EXACT_PERMUTATIONS, random_generator(seed, draws)
    reason = _why_no_relation(x, y)
    if not reason and (is_constant(x) or is_constant(y)):
        reason = f"all {'x' if is_constant(x) else 'y'} are equal: no correlation"
    method = f"{label}, {percent(level)} Fisher z interval"
    point = Estimate(None, None, None, n, n_missing, level, method, reason)
    how = "exact" if exact else f"{draws} draws"
    permutation = PValue(None, None, n, n_missing, f"{label}, permutation test, {how}", reason)
    parametric = PValue(None, None, n, n_missing, f"{label}, scipy's parametric test", reason)
    if reason:
        return Correlation(point, permutation, parametric)

    u, v = (dev / math.sqrt(dev @ dev) for dev in (x - x.mean(), y - y.mean()))
    r = min(1.0, max(-1.0, float(u @ v)))
    point = replace(point, value=r)
    if reason := too_few(what, n):
        point = replace(point, reason=reason)
    elif 1 - abs(r) < 1e-12:
        point = replace(point, reason="|r| = 1: no interval")
    else:
        half = normal_quantile(level) * math.sqrt((1 + widen * r * r) / (n - 3))
        point = replace(point, low=math.tanh(math.atanh(r) - half), high=math.tanh(math.atanh(r) + half))

    orders: Iterable[Floats]
    if exact:
        orders = [np.array(list(itertools.permutations(v)))]
    else:
        orders = (rng.permuted(np.broadcast_to(v, shape), axis=1) for shape in block_shapes(draws, n))
    p = permutation_p((np.abs(order @ u) for order in orders), abs(r) - TIE, exact)
    permutation = replace(permutation, p=p, statistic=r)
    if n < 3:
        return Correlation(point, permutation, replace(parametric, reason="n = 2: the test needs n >= 3"))
    p = float(scipy().stats.pearsonr(x, y).pvalue)
    return Correlation(point, permutation, replace(parametric, p=p, statistic=r))


def _why_no_relation(x: Floats, y: Floats) -> str | None:
    return why_no_value(x) or why_no_value(y) or ("one pair: two are needed" if x.size == 1 else None)
