"""Means and shares of values that come in groups: tokens of an answer, turns of a question, people's questions.

Values of one group aren't independent, so the standard error is the jackknife's over whole groups: with r_i the
estimate without group i, se^2 = (n-1)/n * sum of (r_i - mean r)^2 (Efron & Tibshirani 1993, section 11.5). Groups of
unequal size count for fewer: Student's quantile has (sum m)^2 / (sum m^2) - 1 degrees of freedom (Kish 1965).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.errors import SettingsError
from tunescope.stats.columns import EQUAL, complete, is_constant, nonempty_groups, why_no_value
from tunescope.stats.estimates import FROM_0, Bounds, Estimate, Floats, PValue, Values
from tunescope.stats.intervals import (
    normal_quantile,
    percent,
    skewness_of,
    t_quantile,
    wilson_interval,
    with_skewed_interval,
)
from tunescope.stats.means import proportion_from_counts
from tunescope.stats.minimal_n import RARE, too_few
from tunescope.stats.resampling import TIE, permutation_p, random_generator

_FEWEST_EFFECTIVE = 3.0
"""Kish's effective number of groups below which one or two groups decide."""


class _Jackknife(NamedTuple):
    """A mean over all values: its standard error, degrees of freedom, and skewness."""

    standard_error: float
    df: float
    skewness: float


def mean_pooled(
    sums: Values, counts: Values, *, heavy_tailed: bool = False, bounds: Bounds = FROM_0, level: float = 0.95
) -> Estimate:
    """Mean over all values of n groups, sum(sums) / sum(counts), with a jackknife t interval over groups.

    No value can be beyond the `bounds`: there the interval ends. That of values from 0 on without an upper bound is
    made for the mean's logarithm, so that it ends above 0; that of other or `heavy_tailed` values is corrected for
    skewness (see `with_skewed_interval`). `n` and `n_missing` count groups; one without values (count 0) is neither.

    :raises ValueError: a count is negative.
    """
    x, m, n_missing = nonempty_groups(sums, counts)
    method = f"mean over all values, {percent(level)} jackknife t interval over groups"
    point = _pooled_point(x, m, n_missing, level, method)
    value = point.value
    if point.reason or value is None:
        return point
    jackknife = _jackknife(x, m)
    what = "a heavy-tailed mean over groups" if heavy_tailed else "a mean over groups"
    point = replace(point, standard_error=jackknife.standard_error)
    if reason := too_few(what, x.size) or _why_too_uneven(jackknife):
        return replace(point, reason=reason)
    if heavy_tailed or bounds != FROM_0 or value <= 0:
        return with_skewed_interval(point, *jackknife).within(bounds)
    factor = math.exp(t_quantile(level, jackknife.df) * jackknife.standard_error / value)
    return replace(point, low=value / factor, high=value * factor)


def share_pooled(sums: Values, counts: Values, *, level: float = 0.95) -> Estimate:
    """Share among all values, each in [0, 1], of n groups: sum(sums) / sum(counts), with Wilson's interval.

    Wilson's n is the effective one, p(1-p) / se^2 with the jackknife's se over groups, and its quantile is Student's
    (Dean & Pagano 2015, "Evaluating confidence interval methods for binomial proportions in clustered surveys"). A
    share of 0 or 1 has the number of groups as n: as if a group's values were all equal. A rare share of clumped
    events has no interval. Groups of one value, 0 or 1, have the plain Wilson interval.

    :raises ValueError: a count is negative, or a group's share isn't in [0, 1].
    """
    x, m, n_missing = nonempty_groups(sums, counts)
    shares = x / m
    if shares.size and not ((shares >= 0) & (shares <= 1 + EQUAL)).all():
        raise ValueError(f"shares run from {shares.min():g} to {shares.max():g}; expected [0, 1]")
    if (m == 1).all() and ((x == 0) | (x == 1)).all():
        return proportion_from_counts(int(x.sum()), x.size, n_missing, level=level)
    of_groups = "" if (m == 1).all() else " over groups"
    method = f"share{of_groups}, {percent(level)} Wilson interval of the effective n"
    point = _pooled_point(x, m, n_missing, level, method)
    value = point.value
    if value is not None and (not x.any() or value >= 1):
        low, high = wilson_interval(min(1.0, value), x.size, normal_quantile(level))
        return replace(point, low=low, high=high, reason=None)
    if point.reason or value is None:
        return point
    jackknife = _jackknife(x, m)
    point = replace(point, standard_error=jackknife.standard_error)
    reason = too_few("a share over groups", x.size) or _why_too_uneven(jackknife)
    if not reason and of_groups and not RARE <= value <= 1 - RARE:
        reason = f"a share below {percent(RARE)} or above {percent(1 - RARE)} of clumped values: no interval"
    if reason:
        return replace(point, reason=reason)
    effective = value * (1 - value) / jackknife.standard_error**2
    low, high = wilson_interval(value, effective, t_quantile(level, jackknife.df))
    return replace(point, low=low, high=high)


def mean_share(values: Values, *, level: float = 0.95) -> Estimate:
    """Mean of independent values in [0, 1], such as win 1, tie 1/2, loss 0: `share_pooled` with one value a group."""
    (x,), n_missing = complete(values)
    return replace(share_pooled(x, np.ones(x.size), level=level), n_missing=n_missing)


def share_of_strata(strata: Sequence[Values], *, level: float = 0.95) -> Estimate:
    """Mean of the shares of some strata, each counted once, whose values are independent and in [0, 1].

    The variance is the sum of the strata's own s^2 / n, by the number of strata squared (Cochran 1977, section 5.3: the
    strata are all there are). The interval is Wilson's of the n that has this variance. `n` counts values.
    """
    columns = [complete(stratum) for stratum in strata]
    values, n_missing = [x for (x,), _ in columns], sum(missing for _, missing in columns)
    n = sum(x.size for x in values)
    method = f"mean share of {len(values)} strata, {percent(level)} Wilson interval of the effective n"
    empty = Estimate(None, None, None, n, n_missing, level, method, "a stratum without values")
    if not values or not all(x.size for x in values):
        return empty
    share = float(np.mean([x.mean() for x in values]))
    if any(x.size < 2 for x in values):
        return replace(empty, value=share, reason="a stratum of one value says nothing of its spread: no interval")
    error = math.sqrt(sum(x.var(ddof=1) / x.size for x in values)) / len(values)
    effective = share * (1 - share) / error**2 if error else n
    low, high = wilson_interval(share, effective, normal_quantile(level))
    return Estimate(share, low, high, n, n_missing, level, method, None, error)


def sum_clusters(values: Values, clusters: Sequence[Hashable] | NDArray[Any]) -> tuple[Floats, Floats, int]:
    """Return each cluster's sum and count, and the number of missing values.

    A value whose cluster is None or NaN counts as missing.
    """
    codes: dict[Hashable, int] = {}
    labels = [None if c is None or c != c else codes.setdefault(c, len(codes)) for c in clusters]
    (x, cluster), n_missing = complete(values, labels)
    numbers = cluster.astype(np.intp)
    counts = np.bincount(numbers, minlength=1).astype(np.float64)
    sums = np.bincount(numbers, weights=x, minlength=1).astype(np.float64)
    return sums, counts, n_missing


def share_clustered(values: Values, clusters: Sequence[Hashable] | NDArray[Any], *, level: float = 0.95) -> Estimate:
    """`share_pooled` of values with a cluster each; `n` and `n_missing` count values."""
    sums, counts, n_missing = sum_clusters(values, clusters)
    return replace(share_pooled(sums, counts, level=level), n=int(counts.sum()), n_missing=n_missing)


def clustered_standard_error(
    values: Values, clusters: Sequence[Hashable] | NDArray[Any], *, kind: Literal["CR0", "CR1"] = "CR1"
) -> float | None:
    """Cluster-robust standard error of the mean of values in G clusters; None for one cluster, or where it is 0.

    CR0: se^2 = sum over clusters of (sum of the cluster's residuals)^2 / n^2; CR1: that times G/(G-1)
    (Liang & Zeger 1986; Cameron & Miller 2015, section II; statsmodels' OLS on a constant).
    Miller 2024, "Adding error bars to evals", is CR0 with its squared terms divided by n(n-1), not n^2.

    :raises SettingsError: `kind` is neither "CR0" nor "CR1".
    """
    if kind not in ("CR0", "CR1"):
        raise SettingsError(f"kind is {kind!r}; expected 'CR0' or 'CR1'")
    sums, counts, _ = sum_clusters(values, clusters)
    sums, counts = sums[counts > 0], counts[counts > 0]
    if sums.size < 2 or why_no_value(sums):
        return None
    residuals = sums - counts * (sums.sum() / counts.sum())
    if np.abs(residuals).max() <= EQUAL * np.abs(sums).sum():
        return None
    correction = sums.size / (sums.size - 1) if kind == "CR1" else 1.0
    return math.sqrt(correction * float(residuals @ residuals)) / float(counts.sum())


def excess_test(
    sums: Values,
    counts: Values,
    null_sums: Values,
    null_counts: Values,
    *,
    seed: int = 0,
    draws: int = 10_000,
) -> PValue:
    """Permutation test of n groups' pooled share against that of groups drawn from the null; two-sided.

    Under the null every n of all groups are as likely to be the tested ones. p is twice the smaller of the shares of
    random choices whose pooled share reaches the observed one from above and from below, each with the observed
    choice counted in (Phipson & Smyth 2010). The statistic is the difference of the pooled shares.
    """
    x, m, n_missing = nonempty_groups(sums, counts)
    null_x, null_m, _ = nonempty_groups(null_sums, null_counts)
    method = f"permutation test over groups, {draws} draws"
    result = PValue(None, None, x.size, n_missing, method, why_no_value(x) or why_no_value(null_x))
    rng = random_generator(seed, draws)
    if result.reason:
        return result
    all_x, all_m = np.concatenate([x, null_x]), np.concatenate([m, null_m])
    observed = float(x.sum() / m.sum())
    drawn = np.empty(draws)
    for number in range(draws):
        chosen = rng.choice(all_x.size, x.size, replace=False, shuffle=False)
        drawn[number] = all_x[chosen].sum() / all_m[chosen].sum()
    above = permutation_p([drawn], observed - TIE, exact=False)
    below = permutation_p([-drawn], -observed - TIE, exact=False)
    p = min(1.0, 2 * min(above, below))
    return replace(result, p=p, statistic=observed - float(null_x.sum() / null_m.sum()))


def _pooled_point(x: Floats, m: Floats, n_missing: int, level: float, method: str) -> Estimate:
    """Return the mean over all values of groups without its interval, with the reason where there can be none."""
    point = Estimate(None, None, None, x.size, n_missing, level, method, why_no_value(x))
    if point.reason:
        return point
    point = replace(point, value=float(x.sum() / m.sum()))
    if x.size == 1 or is_constant(x / m):
        what = "one group" if x.size == 1 else f"the means of all {x.size} groups are equal"
        return replace(point, reason=f"{what}: no interval")
    return point


def _jackknife(x: Floats, m: Floats) -> _Jackknife:
    total, count = x.sum(), m.sum()
    pseudo = x.size * (total / count) - (x.size - 1) * (total - x) / (count - m)
    root = math.sqrt(x.size)
    return _Jackknife(float(pseudo.std(ddof=1)) / root, float(count**2 / (m**2).sum()) - 1, skewness_of(pseudo) / root)


def _why_too_uneven(jackknife: _Jackknife) -> str | None:
    effective = jackknife.df + 1
    return None if effective >= _FEWEST_EFFECTIVE else "one or two groups hold most of the values: no interval"
