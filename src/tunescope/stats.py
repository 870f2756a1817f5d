"""Estimates with intervals, tests and sample sizes: pure functions over columns of numbers.

A column is a sequence of floats or a 1-D array. None and NaN are missing: counted in `n_missing`, never
averaged; a pair with a missing half is missing. What cannot be estimated is None with a `reason`, never 0 or
NaN; a mean without an interval (one value, or all equal) keeps its value. Resampling is seeded and works in
chunks of about 2 MB; its time grows with draws x n (10,000 draws: about 0.1 s at n = 805, 6 s at n = 100,000,
where `mean_t` says the same).

Every function raises ValueError for a column that is not 1-D or paired columns of unequal length, and
SettingsError (a ValueError) for a level outside (0, 1), fewer than 100 draws or a power that makes no sense.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import NormalDist
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tunescope.engine import cores
from tunescope.errors import SettingsError

Values: TypeAlias = Sequence[float | None] | NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]

EXACT_SIGN_FLIPS = 14  # 2^14 = 16,384 sign vectors
EXACT_PERMUTATIONS = 8  # 8! = 40,320 orders
_CHUNK = 1 << 18  # numbers resampled at a time
_TIE = 1e-9  # relative; 0.3 - 0.2 and 0.9 - 0.8 differ by rounding and must count as tied
_EQUAL = 1e-11  # a column whose range is below this part of its largest value is constant
_HUGE = 1e100  # larger values cannot be squared and summed in double precision
_NEWTON_STEPS = 30
_NEWTON_LONGEST = 4.0  # a step's largest coordinate; from a fit nearby none is that long
_NEWTON_SMALL = 1e-5  # Newton's error is the square of its last step
_NEWTON_FARTHEST = 30.0  # log-odds beyond which the likelihood has no maximum that data could show


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval, in the unit of the data."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    """Values, or pairs, that were used."""
    n_missing: int
    level: float
    """Confidence level of [low, high]."""
    method: str
    """What was estimated and how, for printing beside the number."""
    reason: str | None = None
    """Why the value, or only its interval, is None."""
    standard_error: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise SettingsError(f"level is {self.level}; expected a share between 0 and 1, such as 0.95")

    def as_json(self, key: str = "mean") -> dict[str, float | int | str | None]:
        """Give the value under `key`, then low, high, n, n_missing, method and, if any, the reason."""
        record: dict[str, float | int | str | None] = {key: self.value, "low": self.low, "high": self.high}
        record |= {"n": self.n, "n_missing": self.n_missing, "method": self.method}
        return record | ({"reason": self.reason} if self.reason else {})


@dataclass(frozen=True, slots=True)
class PValue:
    """A two-sided p-value with the test that gave it."""

    p: float | None
    statistic: float | None
    n: int
    n_missing: int
    method: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """First minus second: the same difference with two intervals, and a test of no difference."""

    bootstrap: Estimate
    t: Estimate
    test: PValue


@dataclass(frozen=True, slots=True)
class Correlation:
    """A correlation with its interval, its permutation p and scipy's parametric p."""

    r: Estimate
    permutation: PValue
    parametric: PValue


@dataclass(frozen=True, slots=True)
class Controlled:
    """A mean share as it would be at a difference of 0, and the fit that says so."""

    at_zero: Estimate
    slope: float | None
    """Change of the log-odds per unit of tanh(difference / sd)."""
    scale: float | None
    """The differences' standard deviation, in their unit."""


@dataclass(frozen=True, slots=True)
class Power:
    """The mean difference that n pairs (or values) show with this power at this two-sided alpha."""

    difference: float | None
    n: int | None
    sd: float
    power: float
    alpha: float
    method: str = "two-sided one-sample or paired t-test"
    reason: str | None = None

    def __post_init__(self) -> None:
        if not 1e-4 <= self.alpha < self.power <= 0.9999:  # beyond, scipy's noncentral F fails at n = 2
            found = f"alpha is {self.alpha}, power is {self.power}"
            raise SettingsError(f"{found}; expected 0.0001 <= alpha < power <= 0.9999")
        if not 0 <= self.sd < math.inf:
            raise SettingsError(f"sd is {self.sd}; expected a finite number, 0 or more")


# Means, medians, proportions


def mean_t(values: Values, *, level: float = 0.95) -> Estimate:
    """Mean with Student's interval: mean -+ t(n-1) * sd / sqrt(n), sd with ddof 1 (Student 1908)."""
    (x,), n_missing = _complete(values)
    return _mean_t(x, n_missing, level, "mean")


def mean_bootstrap(values: Values, *, seed: int = 0, draws: int = 10_000, level: float = 0.95) -> Estimate:
    """Mean with the percentile bootstrap interval (Efron & Tibshirani 1993, section 13.3)."""
    (x,), n_missing = _complete(values)
    return _mean_bootstrap(x, n_missing, level, seed, draws, "mean")


def median_bootstrap(values: Values, *, seed: int = 0, draws: int = 10_000, level: float = 0.95) -> Estimate:
    """Median with the percentile bootstrap interval.

    No resample is built: the k-th smallest of n uniform numbers is Beta(k, n+1-k), so the one or two order
    statistics that make a resample's median are drawn directly (Efron 1979, section 3).
    """
    (x,), n_missing = _complete(values)
    point = _point(x, n_missing, level, f"median, {_percentile(level, draws)}", np.median)
    if point.reason:
        return point
    rng, n, ordered = _generator(seed, draws), x.size, np.sort(x)
    k = (n + 1) // 2
    lower = rng.beta(k, n + 1 - k, draws)
    upper = lower if n % 2 else lower + (1 - lower) * rng.beta(1, n - k, draws)
    ranks = np.minimum(np.stack([lower, upper]) * n, n - 1).astype(np.intp)
    return _with_percentiles(point, ordered[ranks].mean(axis=0))


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
    (x, cluster), n_missing = _complete(values, labels)
    groups = np.unique(cluster).size
    method = f"mean, {kind} standard error over {groups} clusters, {_percent(level)} t interval"
    point = _point(x, n_missing, level, method)
    if point.reason or groups < 2:
        return replace(point, reason=point.reason or "one cluster: no interval")
    sums = np.bincount(cluster.astype(np.intp), weights=x - x.mean())
    if np.abs(sums).max() <= _EQUAL * np.abs(x).sum():
        return replace(point, reason="the residuals of every cluster sum to 0: no interval")
    correction = groups / (groups - 1) if kind == "CR1" else 1.0
    return _with_t(point, math.sqrt(correction * (sums @ sums)) / x.size, groups - 1)


def mean_pooled(sums: Values, counts: Values, *, seed: int = 0, draws: int = 10_000, level: float = 0.95) -> Estimate:
    """Mean over all values of n groups, sum(sums) / sum(counts), with a percentile bootstrap over the groups.

    Whole groups are resampled, since values within one aren't independent (Davison & Hinkley 1997, section 3.8).
    `n` and `n_missing` count groups; one without values (count 0) is neither.

    :raises ValueError: a count is negative.
    """
    x, m, n_missing = _groups(sums, counts)
    method = f"mean over all values, {_percentile(level, draws)} over groups"
    point = Estimate(None, None, None, x.size, n_missing, level, method, _no_value(x))
    rng = _generator(seed, draws)
    if point.reason:
        return point
    point = replace(point, value=float(x.sum() / m.sum()))
    if x.size == 1 or _constant(x / m):
        what = "one group" if x.size == 1 else f"the means of all {x.size} groups are equal"
        return replace(point, reason=f"{what}: no interval")
    return _with_percentiles(point, _resampled_pooled(x, m, draws, rng))


def proportion(values: Values, *, level: float = 0.95) -> Estimate:
    """Share of ones among zeros and ones, with the Wilson interval (see `proportion_from_counts`).

    :raises ValueError: a value is neither 0, 1 nor missing.
    """
    (x,), n_missing = _complete(values)
    _refuse_unless_binary(x)
    return proportion_from_counts(int(x.sum()), x.size, n_missing, level=level)


def proportion_from_counts(successes: int, n: int, n_missing: int = 0, *, level: float = 0.95) -> Estimate:
    """Share p = successes / n with the Wilson interval (Wilson 1927; Brown, Cai & DasGupta 2001, equation 4).

    With z the normal quantile: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).

    :raises ValueError: not 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}; expected 0 <= successes <= n")
    method = f"share, {_percent(level)} Wilson interval"
    point = Estimate(None, None, None, n, n_missing, level, method, None if n else "no values")
    if point.reason:
        return point
    p, z = successes / n, _normal_quantile(level)
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
    low, high = (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)
    # At 0 and n successes a bound equals the share; rounding must not move it past.
    return replace(point, value=p, low=max(0.0, min(p, low)), high=min(1.0, max(p, high)))


# Differences


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
    method = f"difference of means over all values, {_percentile(level, draws)} over groups"
    point = Estimate(None, None, None, first.n, first.n_missing, level, method, first.reason or second.reason)
    if first.value is None or second.value is None:
        return point
    point = replace(point, value=first.value - second.value)
    if 1 in (first.n, second.n) or (first.reason and second.reason):
        return point
    resampled = [
        _resampled_pooled(*_groups(*side)[:2], draws, _generator(stream, draws))
        for side, stream in (((sums, counts), seed), ((other_sums, other_counts), seed + 1))
    ]
    return _with_percentiles(replace(point, reason=None), resampled[0] - resampled[1])


def paired_difference(
    first: Values, second: Values, *, seed: int = 0, draws: int = 10_000, level: float = 0.95
) -> Difference:
    """Mean of first - second over pairs: percentile bootstrap and t intervals, and the sign-flip test."""
    (a, b), n_missing = _complete(first, second)
    with np.errstate(invalid="ignore"):  # inf - inf, refused with a reason by _no_value
        d = a - b
    label = "paired difference of means"
    bootstrap = _mean_bootstrap(d, n_missing, level, seed, draws, label)
    return Difference(bootstrap, _mean_t(d, n_missing, level, label), _sign_flip(d, n_missing, seed, draws))


def ratio_of_means(first: Values, second: Values, *, level: float = 0.95) -> Estimate:
    """Mean of first / mean of second over pairs, with Fieller's interval (Fieller 1954).

    The interval holds every ratio q for which the t-test of mean(first - q * second) = 0 over the pairs keeps
    its hypothesis. It is None where mean(second) isn't told from 0 at this level: then it has no bounds.
    """
    (a, b), n_missing = _complete(first, second)
    reason = _no_value(a) or _no_value(b)
    method = f"ratio of means over pairs, {_percent(level)} Fieller interval"
    point = Estimate(None, None, None, a.size, n_missing, level, method, reason)
    if reason:
        return point
    above, below = float(a.mean()), float(b.mean())
    if abs(below) <= _EQUAL * max(float(np.abs(b).max()), 1 / _HUGE):
        return replace(point, reason="the second mean is 0: no ratio")
    point = replace(point, value=above / below)
    if a.size == 1:
        return replace(point, reason="one pair: no interval")
    if np.ptp(a - above / below * b) <= _EQUAL * max(float(np.abs(a).max()), float(np.abs(b).max())):
        return replace(point, reason="all pairs have the same ratio: no interval")
    t2 = float(_scipy().special.stdtrit(a.size - 1, (1 + level) / 2)) ** 2
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
    (d,), n_missing = _complete(differences)
    return _sign_flip(d, n_missing, seed, draws)


def t_test(differences: Values) -> PValue:
    """Student's one-sample or paired t-test of a mean of 0; the statistic is mean / (sd / sqrt(n)) (Student 1908).

    For many comparisons at once: its p isn't bounded below by a number of draws, as that of `sign_flip_test` is.
    """
    (d,), n_missing = _complete(differences)
    point = _mean_t(d, n_missing, 0.95, "mean")
    result = PValue(None, None, d.size, n_missing, "Student t-test", point.reason)
    if point.value is None or point.standard_error is None:
        return result
    statistic = point.value / point.standard_error
    p = 2 * float(_scipy().special.stdtr(d.size - 1, -abs(statistic)))
    return replace(result, p=p, statistic=statistic)


def unpaired_difference(
    first: Values, second: Values, *, seed: int = 0, draws: int = 10_000, level: float = 0.95
) -> Difference:
    """Mean of first - mean of second, independent columns: percentile bootstrap and Welch intervals and test.

    Welch 1947: se^2 = va/na + vb/nb, df = se^4 / ((va/na)^2/(na-1) + (vb/nb)^2/(nb-1)). The bootstrap draws
    each column by itself (Efron & Tibshirani 1993, section 8.3). `n` and `n_missing` count both columns.
    """
    (a,), missing_a = _complete(first)
    (b,), missing_b = _complete(second)
    reason = _no_value(a) or _no_value(b)
    value = None if reason else float(a.mean() - b.mean())
    if not reason and min(a.size, b.size) < 2:
        reason = "a group of one value: no interval"
    elif not reason and _constant(a) and _constant(b):
        reason = "all values are equal in both groups: no interval"
    n, n_missing = a.size + b.size, missing_a + missing_b
    label = f"unpaired difference of means ({a.size} and {b.size} values)"
    by_t = Estimate(value, None, None, n, n_missing, level, f"{label}, {_percent(level)} Welch t", reason)
    by_draws = replace(by_t, method=f"{label}, {_percentile(level, draws)}")
    test = PValue(None, None, n, n_missing, "Welch t-test", reason)
    if reason or value is None:
        return Difference(by_draws, by_t, test)
    rng = _generator(seed, draws)
    by_draws = _with_percentiles(by_draws, _resampled_means(a, draws, rng) - _resampled_means(b, draws, rng))
    va, vb = float(a.var(ddof=1)) / a.size, float(b.var(ddof=1)) / b.size
    share = va / (va + vb)  # so that nothing is raised to the fourth power
    df = 1 / (share**2 / (a.size - 1) + (1 - share) ** 2 / (b.size - 1))
    statistic = value / math.sqrt(va + vb)
    p = float(2 * _scipy().stats.t.sf(abs(statistic), df))
    test = replace(test, p=p, statistic=statistic)
    return Difference(by_draws, _with_t(by_t, math.sqrt(va + vb), df), test)


def mcnemar_exact(first: Values, second: Values) -> PValue:
    """Exact McNemar test over pairs of zeros and ones: min(1, 2 P(Binomial(b + c, 1/2) <= min(b, c))).

    b and c count the pairs in which only the first, only the second is 1 (McNemar 1947; Fagerland, Lydersen &
    Laake 2013). The statistic is min(b, c), as in statsmodels. Without discordant pairs p = 1.

    :raises ValueError: a value is neither 0, 1 nor missing.
    """
    (x, y), n_missing = _complete(first, second)
    _refuse_unless_binary(np.concatenate([x, y]))
    b, c = int((x > y).sum()), int((x < y).sum())
    method = f"exact McNemar test, b = {b}, c = {c}"
    if x.size == 0:
        return PValue(None, None, 0, n_missing, method, "no values")
    p = min(1.0, 2 * float(_scipy().stats.binom.cdf(min(b, c), b + c, 0.5)))
    return PValue(p, min(b, c), x.size, n_missing, method)


def holm(p_values: Values) -> list[float | None]:
    """Holm's adjusted p-values, in the order given: max over j <= i of min(1, (m - j + 1) p_(j)) (Holm 1979).

    A missing p stays None and does not count in m, the size of the family.

    :raises ValueError: a p-value is outside [0, 1].
    """
    column = _column(p_values)
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


# Relations between two columns


def pearson(x: Values, y: Values, *, seed: int = 0, draws: int = 10_000, level: float = 0.95) -> Correlation:
    """Pearson's r with Fisher's interval, for n >= 4: tanh(atanh r -+ z / sqrt(n - 3)) (Fisher 1921).

    The permutation p is two-sided by |r|: exact over all n! orders for n <= 8, else (hits + 1) / (draws + 1)
    over random orders (Phipson & Smyth 2010); |r| within 1e-9 counts as tied. The parametric p is that of
    scipy.stats.pearsonr, for n >= 3.
    """
    (a, b), n_missing = _complete(x, y)
    return _correlation(a, b, n_missing, "Pearson r", 0.0, seed, draws, level)


def spearman(x: Values, y: Values, *, seed: int = 0, draws: int = 10_000, level: float = 0.95) -> Correlation:
    """Spearman's rho: `pearson` of the ranks (ties share their mean rank).

    The interval's variance on Fisher's scale is (1 + rho^2 / 2) / (n - 3) (Bonett & Wright 2000).
    """
    (a, b), n_missing = _complete(x, y)
    rank = _scipy().stats.rankdata
    return _correlation(rank(a), rank(b), n_missing, "Spearman rho", 0.5, seed, draws, level)


def slope(x: Values, y: Values, *, level: float = 0.95) -> Estimate:
    """Slope of the least-squares line of y on x, in units of y per unit of x, with a t(n-2) interval.

    se^2 = (residual sum of squares / (n - 2)) / sum of (x - mean x)^2 (Draper & Smith 1998, section 1.4).
    """
    (a, b), n_missing = _complete(x, y)
    reason = _no_relation(a, b) or ("all x are equal: no slope" if _constant(a) else None)
    method = f"least-squares slope, {_percent(level)} t interval"
    point = Estimate(None, None, None, a.size, n_missing, level, method, reason)
    if reason:
        return point
    dx, dy = a - a.mean(), b - b.mean()
    value = float(dx @ dy / (dx @ dx))
    residuals, point = dy - value * dx, replace(point, value=value)
    if a.size == 2:
        return replace(point, reason="two pairs: no interval")
    if np.abs(residuals).max() <= max(_EQUAL * np.abs(b).max(), 1 / _HUGE):
        return replace(point, reason="all points lie on a line: no interval")
    return _with_t(point, math.sqrt(residuals @ residuals / (a.size - 2) / (dx @ dx)), a.size - 2)


def share_at_zero(
    values: Values, differences: Values, *, seed: int = 0, draws: int = 10_000, level: float = 0.95
) -> Controlled:
    """Mean of shares in [0, 1] at a difference of 0, by a logistic regression on tanh(difference / sd).

    Maximises sum of y log p + (1 - y) log(1 - p) with p = 1 / (1 + exp(-(b0 + b1 tanh(d / sd(d))))), sd with ddof 1;
    the estimate is 1 / (1 + exp(-b0)). With win = 1, draw = 1/2, loss = 0 and lengths in characters it is the
    length-controlled win rate of Dubois et al. 2024 ("Length-Controlled AlpacaEval", section 3) without their term for
    each prompt's difficulty and without their penalty. Each bootstrap draw of pairs has its own sd and its own fit
    (Newton's method on all draws at once); draws whose fit runs away are left out and counted in `method`.

    :raises ValueError: a share outside [0, 1].
    """
    (y, d), n_missing = _complete(values, differences)
    if y.size and not ((y >= 0) & (y <= 1)).all():
        raise ValueError(f"shares run from {y.min():g} to {y.max():g}; expected [0, 1]")
    rng = _generator(seed, draws)
    label = "logistic regression on tanh(difference / sd), at difference 0"
    reason = _no_value(y) or _no_value(d)
    if not reason and y.size < 3:
        reason = f"n = {y.size}: the fit needs 3"
    elif not reason and _constant(d):
        reason = "all differences are equal: no slope"
    point = Estimate(None, None, None, y.size, n_missing, level, f"{label}, {_percentile(level, draws)}", reason)
    if reason:
        return Controlled(point, None, None)
    b0, b1 = map(float, _logistic_fits(y[None], d[None], (0.0, 0.0))[0])
    scale = float(d.std(ddof=1))
    if not math.isfinite(b0):
        return Controlled(
            replace(point, reason="the fit doesn't settle: differences tell all outcomes, or all are far from 0"),
            None,
            scale,
        )
    point = replace(point, value=_logistic(b0))
    picks = (rng.integers(0, y.size, shape) for shape in _shapes(draws, y.size))
    fitting: Callable[[NDArray[Any]], Floats] = lambda pick: _logistic_fits(y[pick], d[pick], (b0, b1))[:, 0]  # noqa: E731
    found = np.concatenate(list(_side_by_side(fitting, picks)))
    fitted = found[np.isfinite(found)]
    method = f"{label}, {_percentile(level, draws)}, fitted anew in each"
    if fitted.size < draws:
        method += f" ({draws - fitted.size} draws whose fit runs away left out)"
    point = replace(point, method=method)
    if fitted.size < 0.95 * draws:
        return Controlled(replace(point, reason="the fit runs away in more than 5 % of the draws"), b1, scale)
    return Controlled(_with_percentiles(point, 1 / (1 + np.exp(-fitted))), b1, scale)


# Sample sizes


def detectable_difference(n: int, sd: float, *, power: float = 0.8, alpha: float = 0.05) -> Power:
    """Smallest mean difference that a two-sided t-test over n pairs (or values) finds with this power.

    Solves P(|T| > t(n-1, alpha/2)) = power, T noncentral t(n-1) with noncentrality sqrt(n) * difference / sd
    (Cohen 1988, chapter 2). `sd` is that of the paired differences (or values), in the unit of the answer.

    :raises SettingsError: not 0.0001 <= alpha < power <= 0.9999, or sd negative or not finite.
    """
    answer = Power(None, n, sd, power, alpha)
    if n < 2 or sd == 0:
        return replace(answer, reason=f"n = {n}: a t-test needs 2" if n < 2 else "sd is 0: no t-test")
    high = 1.0
    while _t_power(high, n, alpha) < power:
        high *= 2
    root = _scipy().optimize.brentq(lambda effect: _t_power(effect, n, alpha) - power, 0, high, xtol=1e-12)
    return replace(answer, difference=float(root) * sd / math.sqrt(n))


def n_needed(difference: float, sd: float, *, power: float = 0.8, alpha: float = 0.05) -> Power:
    """Smallest n >= 2 at which the two-sided t-test finds |difference| with this power.

    The inverse of `detectable_difference`; beyond 10^12 there is only a reason.

    :raises SettingsError: as `detectable_difference`, or a difference that is not finite.
    """
    answer = Power(abs(difference), None, sd, power, alpha)
    if not math.isfinite(difference):
        raise SettingsError(f"difference is {difference}; expected a finite number")
    if difference == 0 or sd == 0:
        return replace(answer, reason="sd is 0: no t-test" if difference else "no n shows a difference of 0")

    def enough(n: int) -> bool:  # 1e-9: the root that detectable_difference finds must count as enough
        return _t_power(math.sqrt(n) * (abs(difference) / sd), n, alpha) >= power - 1e-9

    low, high = 1, 2  # low is never enough
    while not enough(high):
        low, high = high, 2 * high
        if low > 10**12:
            return replace(answer, reason="more than 10^12 would be needed")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return replace(answer, n=high)


# What the functions above share


def _scipy() -> ModuleType:
    import scipy  # type: ignore[import-untyped, unused-ignore]  # slow; not before it is needed

    module: ModuleType = scipy
    return module


def _column(values: Values) -> Floats:
    column = np.asarray(values, dtype=np.float64)  # None becomes NaN
    if column.ndim != 1:
        raise ValueError(f"a column of shape {column.shape}; expected one dimension")
    return column


def _complete(*columns: Values) -> tuple[list[Floats], int]:
    """Give the rows that no column misses, column by column, and the number of the other rows."""
    arrays = [_column(column) for column in columns]
    if len({a.size for a in arrays}) > 1:
        sizes = " and ".join(str(a.size) for a in arrays)
        raise ValueError(f"columns of {sizes} values; expected equal lengths")
    missing = np.logical_or.reduce([np.isnan(a) for a in arrays])
    return [a[~missing] for a in arrays], int(missing.sum())


def _generator(seed: int, draws: int) -> np.random.Generator:
    if draws < 100:
        raise SettingsError(f"draws is {draws}; expected at least 100")
    return np.random.default_rng(seed)


def _refuse_unless_binary(x: Floats) -> None:
    other = x[(x != 0) & (x != 1)]
    if other.size:
        raise ValueError(f"{other.size} values are neither 0 nor 1; the first is {other[0]:g}")


def _percent(level: float) -> str:
    return f"{100 * level:g} %"


def _percentile(level: float, draws: int) -> str:
    return f"{_percent(level)} percentile bootstrap interval, {draws} draws"


def _constant(x: Floats) -> bool:
    return float(np.ptp(x)) <= max(_EQUAL * float(np.abs(x).max()), 1 / _HUGE)


def _no_value(x: Floats) -> str | None:
    """Say why nothing can be computed from x, if so."""
    if x.size == 0:
        return "no values"
    huge = int((~(np.abs(x) < _HUGE)).sum())
    return f"{huge} values are infinite or beyond 1e100" if huge else None


def _no_relation(x: Floats, y: Floats) -> str | None:
    return _no_value(x) or _no_value(y) or ("one pair: two are needed" if x.size == 1 else None)


def _point(
    x: Floats, n_missing: int, level: float, method: str, statistic: Callable[[Floats], Any] = np.mean
) -> Estimate:
    """Give the statistic without its interval, and the reason where there can be none."""
    reason = _no_value(x)
    value = None if reason else float(statistic(x))
    if not reason and x.size == 1:
        reason = "one value: no interval"
    elif not reason and _constant(x):
        reason = f"all {x.size} values are equal: no interval"
    return Estimate(value, None, None, x.size, n_missing, level, method, reason)


def _normal_quantile(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def _with_t(point: Estimate, standard_error: float, df: float) -> Estimate:
    assert point.value is not None
    half = -float(_scipy().special.stdtrit(df, (1 - point.level) / 2)) * standard_error
    return replace(point, low=point.value - half, high=point.value + half, standard_error=standard_error)


def _with_percentiles(point: Estimate, resampled: Floats) -> Estimate:
    low, high = np.quantile(resampled, [(1 - point.level) / 2, (1 + point.level) / 2])
    return replace(point, low=float(low), high=float(high), standard_error=float(resampled.std(ddof=1)))


def _mean_t(x: Floats, n_missing: int, level: float, label: str) -> Estimate:
    point = _point(x, n_missing, level, f"{label}, {_percent(level)} Student t interval")
    return point if point.reason else _with_t(point, float(x.std(ddof=1)) / math.sqrt(x.size), x.size - 1)


def _mean_bootstrap(x: Floats, n_missing: int, level: float, seed: int, draws: int, label: str) -> Estimate:
    point, rng = _point(x, n_missing, level, f"{label}, {_percentile(level, draws)}"), _generator(seed, draws)
    return point if point.reason else _with_percentiles(point, _resampled_means(x, draws, rng))


def _shapes(draws: int, n: int) -> Iterator[tuple[int, int]]:
    """Cut `draws` rows of n numbers into blocks of at most _CHUNK numbers, or of one row."""
    rows = max(1, _CHUNK // n)
    return ((min(rows, draws - start), n) for start in range(0, draws, rows))


def _side_by_side(work: Callable[[NDArray[Any]], Floats], blocks: Iterable[NDArray[Any]]) -> Iterator[Floats]:
    """Give work(block) in the blocks' order; a thread per core, and no more blocks in memory than these need."""
    at_once = cores()
    under_way: deque[Future[Floats]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        for block in blocks:
            under_way.append(pool.submit(work, block))
            if len(under_way) > at_once:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _resampled_means(x: Floats, draws: int, rng: np.random.Generator) -> Floats:
    blocks = (x[rng.integers(0, x.size, shape)].mean(axis=1) for shape in _shapes(draws, x.size))
    return np.concatenate(list(blocks))


def _groups(sums: Values, counts: Values) -> tuple[Floats, Floats, int]:
    """Give the sums and counts of groups that have values, and how many are missing."""
    (x, m), n_missing = _complete(sums, counts)
    if (m < 0).any():
        raise ValueError(f"a count of {m.min():g}; expected 0 or more")
    return x[m > 0], m[m > 0], n_missing


def _resampled_pooled(x: Floats, m: Floats, draws: int, rng: np.random.Generator) -> Floats:
    blocks = (rng.integers(0, x.size, shape) for shape in _shapes(draws, x.size))
    return np.concatenate([x[b].sum(axis=1) / m[b].sum(axis=1) for b in blocks])


def _permutation_p(blocks: Iterable[Floats], observed: float, exact: bool) -> float:
    """Give the share of permuted statistics that reach the observed one, itself one of them unless exact."""
    hits, total = (0, 0) if exact else (1, 1)
    for block in blocks:
        hits += int((block >= observed).sum())
        total += block.size
    return hits / total


def _sign_flip(d: Floats, n_missing: int, seed: int, draws: int) -> PValue:
    moving, rng = d[d != 0], _generator(seed, draws)
    exact = moving.size <= EXACT_SIGN_FLIPS
    method = f"sign-flip permutation test, {'exact' if exact else f'{draws} draws'}"
    result = PValue(None, None, d.size, n_missing, method, _no_value(d))
    if result.reason:
        return result
    flips: Iterable[NDArray[Any]]  # 1 where the sign turns
    if exact:
        flips = [np.arange(2**moving.size)[:, None] >> np.arange(moving.size) & 1]
    else:
        flips = (rng.integers(0, 2, shape, np.int8) for shape in _shapes(draws, moving.size))
    total = float(d.sum())
    blocks = (np.abs(total - 2 * (flip @ moving)) for flip in flips)
    p = _permutation_p(blocks, abs(total) - _TIE * float(np.abs(d).sum()), exact)
    return replace(result, p=p, statistic=total / d.size)


def _correlation(
    x: Floats, y: Floats, n_missing: int, label: str, widen: float, seed: int, draws: int, level: float
) -> Correlation:
    """Correlate x and y; the interval's variance on Fisher's scale is (1 + widen * r^2) / (n - 3)."""
    n, exact, rng = x.size, x.size <= EXACT_PERMUTATIONS, _generator(seed, draws)
    reason = _no_relation(x, y)
    if not reason and (_constant(x) or _constant(y)):
        reason = f"all {'x' if _constant(x) else 'y'} are equal: no correlation"
    method = f"{label}, {_percent(level)} Fisher z interval"
    point = Estimate(None, None, None, n, n_missing, level, method, reason)
    how = "exact" if exact else f"{draws} draws"
    permutation = PValue(None, None, n, n_missing, f"{label}, permutation test, {how}", reason)
    parametric = PValue(None, None, n, n_missing, f"{label}, scipy's parametric test", reason)
    if reason:
        return Correlation(point, permutation, parametric)

    u, v = (dev / math.sqrt(dev @ dev) for dev in (x - x.mean(), y - y.mean()))
    r = min(1.0, max(-1.0, float(u @ v)))
    point = replace(point, value=r)
    if n < 4:
        point = replace(point, reason=f"n = {n}: the interval needs n >= 4")
    elif 1 - abs(r) < 1e-12:
        point = replace(point, reason="|r| = 1: no interval")
    else:
        half = _normal_quantile(level) * math.sqrt((1 + widen * r * r) / (n - 3))
        point = replace(point, low=math.tanh(math.atanh(r) - half), high=math.tanh(math.atanh(r) + half))

    orders: Iterable[Floats]
    if exact:
        orders = [np.array(list(itertools.permutations(v)))]
    else:
        orders = (rng.permuted(np.broadcast_to(v, shape), axis=1) for shape in _shapes(draws, n))
    p = _permutation_p((np.abs(order @ u) for order in orders), abs(r) - _TIE, exact)
    permutation = replace(permutation, p=p, statistic=r)
    if n < 3:
        return Correlation(point, permutation, replace(parametric, reason="n = 2: the test needs n >= 3"))
    p = float(_scipy().stats.pearsonr(x, y).pvalue)
    return Correlation(point, permutation, replace(parametric, p=p, statistic=r))


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _logistic_fits(y: Floats, d: Floats, start: tuple[float, float]) -> Floats:
    """Fit y on tanh(d / sd) in every row of two (rows, n) arrays; NaN where the fit runs away. Gives (rows, 2)."""
    fits = np.full((y.shape[0], 2), np.nan)
    scale = d.std(axis=1, ddof=1)
    left = np.flatnonzero(scale > 0)
    y, x = y[left], np.tanh(d[left] / scale[left, None])
    b = np.tile(np.asarray(start), (left.size, 1))
    for _ in range(_NEWTON_STEPS):
        p = b[:, 1:] * x
        p += b[:, :1]
        np.negative(p, out=p)
        np.exp(p, out=p)
        p += 1
        np.reciprocal(p, out=p)
        residual, weight = y - p, p * (1 - p)
        weighted = weight * x
        g0, g1 = residual.sum(axis=1), np.einsum("ij,ij->i", residual, x)
        h00, h01, h11 = weight.sum(axis=1), weighted.sum(axis=1), np.einsum("ij,ij->i", weighted, x)
        determinant = h00 * h11 - h01 * h01
        solvable = determinant > 1e-12 * h00 * h11
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.stack([h11 * g0 - h01 * g1, h00 * g1 - h01 * g0], axis=1) / determinant[:, None]
        step = np.clip(step, -_NEWTON_LONGEST, _NEWTON_LONGEST)
        b += step
        small = np.abs(step).max(axis=1) < _NEWTON_SMALL
        done = small & solvable
        fits[left[done]] = b[done]
        keep = ~small & solvable & (np.abs(b).max(axis=1) < _NEWTON_FARTHEST)
        if not keep.any():
            break
        if keep.sum() < 0.7 * keep.size:
            left, y, x, b = left[keep], y[keep], x[keep], b[keep]
    return fits


def _t_power(noncentrality: float, n: int, alpha: float) -> float:
    critical = float(_scipy().stats.t.isf(alpha / 2, n - 1))
    effect = min(noncentrality, 8 * critical + 10)  # power is 1 there; far beyond, scipy's series fails
    return float(_scipy().stats.ncf.sf(critical**2, 1, n - 1, effect**2))  # T^2 is noncentral F(1, n-1)
