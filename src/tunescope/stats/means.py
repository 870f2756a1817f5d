"""Means, medians and proportions of one column."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tunescope.errors import SettingsError
from tunescope.stats.columns import EQUAL, complete, is_constant, nonempty_groups, why_no_value
from tunescope.stats.estimates import Estimate, Values
from tunescope.stats.intervals import (
    bootstrap_method,
    bootstrap_of_mean,
    normal_quantile,
    percent,
    t_interval_of_mean,
    with_percentiles,
    with_t_interval,
    without_interval,
)
from tunescope.stats.resampling import random_generator, resampled_pooled_means


def mean_t(values: Values, *, level: float = 0.95) -> Estimate:
    """Mean with Student's interval: mean -+ t(n-1) * sd / sqrt(n), sd with ddof 1 (Student 1908)."""
    (x,), n_missing = complete(values)
    return t_interval_of_mean(x, n_missing, level, "mean")


def mean_bootstrap(values: Values, *, seed: int = 0, draws: int = 10_000, level: float = 0.95) -> Estimate:
    """Mean with the percentile bootstrap interval (Efron & Tibshirani 1993, section 13.3)."""
    (x,), n_missing = complete(values)
    return bootstrap_of_mean(x, n_missing, level, seed, draws, "mean")


def median_bootstrap(values: Values, *, seed: int = 0, draws: int = 10_000, level: float = 0.95) -> Estimate:
    """Median with the percentile bootstrap interval.

    No resample is built: the k-th smallest of n uniform numbers is Beta(k, n+1-k), so the one or two order
    statistics that make a resample's median are drawn directly (Efron 1979, section 3).
    """
    (x,), n_missing = complete(values)
    point = without_interval(x, n_missing, level, f"median, {bootstrap_method(level, draws)}", np.median)
    if point.reason:
        return point
    rng, n, ordered = random_generator(seed, draws), x.size, np.sort(x)
    k = (n + 1) // 2
    lower = rng.beta(k, n + 1 - k, draws)
    upper = lower if n % 2 else lower + (1 - lower) * rng.beta(1, n - k, draws)
    ranks = np.minimum(np.stack([lower, upper]) * n, n - 1).astype(np.intp)
    return with_percentiles(point, ordered[ranks].mean(axis=0))


def mean_clustered(
    values: Values,
    clusters: Sequence[Hashable] | NDArray[Any],
    *,
    kind: Literal["CR0", "CR1"] = "CR1",
    level: float = 0.95,
) -> Estimate:
    """Mean of values that come in G clusters, with a cluster-robust standard error and a t(G-1) interval.

    CR0: se^2 = sum over clusters of (sum of the cluster's residuals)^2 / n^2; CR1: that times G/(G-1)
    (Liang & Zeger 1986; Cameron & Miller 2015, section II; statsmodels' OLS on a constant).
    Miller 2024, "Adding error bars to evals", is CR0 with its squared terms divided by n(n-1), not n^2.
    A value whose cluster is None or NaN counts as missing.

    :raises SettingsError: `kind` is neither "CR0" nor "CR1".
    """
    if kind not in ("CR0", "CR1"):
        raise SettingsError(f"kind is {kind!r}; expected 'CR0' or 'CR1'")
    codes: dict[Hashable, int] = {}
    labels = [None if c is None or c != c else codes.setdefault(c, len(codes)) for c in clusters]
    (x, cluster), n_missing = complete(values, labels)
    groups = np.unique(cluster).size
    method = f"mean, {kind} standard error over {groups} clusters, {percent(level)} t interval"
    point = without_interval(x, n_missing, level, method)
    if point.reason or groups < 2:
        return replace(point, reason=point.reason or "one cluster: no interval")
    sums = np.bincount(cluster.astype(np.intp), weights=x - x.mean())
    if np.abs(sums).max() <= EQUAL * np.abs(x).sum():
        return replace(point, reason="the residuals of every cluster sum to 0: no interval")
    correction = groups / (groups - 1) if kind == "CR1" else 1.0
    return with_t_interval(point, math.sqrt(correction * (sums @ sums)) / x.size, groups - 1)


def mean_pooled(sums: Values, counts: Values, *, seed: int = 0, draws: int = 10_000, level: float = 0.95) -> Estimate:
    """Mean over all values of n groups, sum(sums) / sum(counts), with a percentile bootstrap over the groups.

    Whole groups are resampled, since values within one aren't independent (Davison & Hinkley 1997, section 3.8).
    `n` and `n_missing` count groups; one without values (count 0) is neither.

    :raises ValueError: a count is negative.
    """
    x, m, n_missing = nonempty_groups(sums, counts)
    method = f"mean over all values, {bootstrap_method(level, draws)} over groups"
    point = Estimate(None, None, None, x.size, n_missing, level, method, why_no_value(x))
    rng = random_generator(seed, draws)
    if point.reason:
        return point
    point = replace(point, value=float(x.sum() / m.sum()))
    if x.size == 1 or is_constant(x / m):
        what = "one group" if x.size == 1 else f"the means of all {x.size} groups are equal"
        return replace(point, reason=f"{what}: no interval")
    return with_percentiles(point, resampled_pooled_means(x, m, draws, rng))


def proportion(values: Values, *, level: float = 0.95) -> Estimate:
    """Share of ones among zeros and ones, with the Wilson interval (see `proportion_from_counts`).

    :raises ValueError: a value is neither 0, 1 nor missing.
    """
    (x,), n_missing = complete(values)
    other = x[(x != 0) & (x != 1)]
    if other.size:
        raise ValueError(f"{other.size} values are neither 0 nor 1; the first is {other[0]:g}")
    return proportion_from_counts(int(x.sum()), x.size, n_missing, level=level)


def proportion_from_counts(successes: int, n: int, n_missing: int = 0, *, level: float = 0.95) -> Estimate:
    """Share p = successes / n with the Wilson interval (Wilson 1927; Brown, Cai & DasGupta 2001, equation 4).

    With z the normal quantile: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).

    :raises ValueError: not 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}; expected 0 <= successes <= n")
    method = f"share, {percent(level)} Wilson interval"
    point = Estimate(None, None, None, n, n_missing, level, method, None if n else "no values")
    if point.reason:
        return point
    p, z = successes / n, normal_quantile(level)
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
    low, high = (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)
    # At 0 and n successes a bound equals the share; rounding must not move it past.
    return replace(point, value=p, low=max(0.0, min(p, low)), high=min(1.0, max(p, high)))
