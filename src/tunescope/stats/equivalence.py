"""Equivalence: does a difference lie within a margin? Two one-sided tests (TOST; Schuirmann 1987).

A test that finds no difference doesn't show that there is none. Here the hypothesis is that the difference is as large
as the margin, on either side. Where both sides are rejected at `alpha`, the two are equivalent within the margin;
otherwise equivalence isn't shown, which says nothing of a difference either. The interval beside it has the level
1 - 2 alpha: 90 % for alpha = 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np

from tunescope.errors import SettingsError
from tunescope.stats.columns import complete, scipy
from tunescope.stats.differences import difference_of_means, paired_difference
from tunescope.stats.estimates import Difference, Estimate, Floats, Power, PValue, Values
from tunescope.stats.intervals import normal_quantile, percent, t_quantile
from tunescope.stats.minimal_n import too_few
from tunescope.stats.sample_size import tost_power

_POWER = 0.8
"""Of the margin that n could have shown."""
_EXACT_N = 300
"""Values of a column up to which the tests of shares are exact; beyond, their score tests are."""
_MARGIN_STEP = 5e-4
"""To which the smallest margin of shares is found."""
_NUISANCE = 200
"""Shares at which an exact test looks for its largest p, closer to each other where they are small."""

_Score = Callable[[Any, Any, float], Any]
"""Of two counts and a difference: the standardised distance of the observed difference from it, an array as they."""


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Whether first minus second lies within -margin and margin, and which margins n could show."""

    estimate: Estimate
    """The difference, with its interval of level 1 - 2 alpha."""
    test: PValue
    """The larger p of the two one-sided tests; its statistic is that test's."""
    margin: float
    alpha: float
    equivalent: bool | None
    """None where there is no test; the test's `reason` says why."""
    smallest_margin: float | None
    """The smallest margin within which these values are equivalent; of means, the farther end of the interval."""
    detectable_margin: float | None
    """The margin that n values as spread as these show with power 80 %, if there is no difference at all."""

    @property
    def verdict(self) -> str:
        """Say "equivalent" or "not shown"."""
        return "equivalent" if self.equivalent else "not shown"

    def as_json(self) -> dict[str, Any]:
        """Give the difference as `Estimate` does, the margin, the verdict, p and the margins that n shows."""
        return {
            **self.estimate.as_json("difference"),
            "margin": self.margin,
            "equivalent": self.equivalent,
            "verdict": self.verdict,
            "p": self.test.p,
            "test": self.test.method,
            "smallest_margin": self.smallest_margin,
            "detectable_margin": self.detectable_margin,
            **({"reason": reason} if (reason := self.test.reason or self.estimate.reason) else {}),
        }


def equivalence_of_pairs(first: Values, second: Values, margin: float, *, alpha: float = 0.05) -> Equivalence:
    """Test whether the mean of first - second over pairs is within the margin, in the unit of the values.

    Two one-sided t-tests. They are equivalent where the interval of `paired_difference`, which is corrected for
    skewness and so no narrower than Student's, is inside the margin too.

    :raises SettingsError: a margin that isn't above 0, or alpha outside (0, 0.5).
    """
    _validate(margin, alpha)
    estimate = paired_difference(first, second, level=1 - 2 * alpha, draws=100).estimate
    return _of_means(estimate, estimate.n - 1, margin, alpha, "two one-sided paired t-tests", estimate.n)


def equivalence_of_means(first: Values, second: Values, margin: float, *, alpha: float = 0.05) -> Equivalence:
    """Test whether the means of two independent columns differ by less than the margin, in the unit of the values.

    Two one-sided t-tests of Welch, and the interval of `difference_of_means` inside the margin.

    :raises SettingsError: as `equivalence_of_pairs`.
    """
    _validate(margin, alpha)
    (a,), missing_a = complete(first)
    (b,), missing_b = complete(second)
    columns = [*a, *[None] * b.size], [*[None] * a.size, *b]
    difference: Difference = difference_of_means(*columns, level=1 - 2 * alpha)
    estimate = replace(difference.estimate, n_missing=missing_a + missing_b)
    df = 0.0
    if estimate.standard_error:
        parts = a.var(ddof=1) / a.size, b.var(ddof=1) / b.size
        df = float(sum(parts) ** 2 / (parts[0] ** 2 / (a.size - 1) + parts[1] ** 2 / (b.size - 1)))
    return _of_means(estimate, df, margin, alpha, "two one-sided Welch t-tests", min(a.size, b.size))


def equivalence_of_strata(
    strata: Sequence[tuple[Values, Values]], margin: float, *, alpha: float = 0.05, level: float = 0.95
) -> Equivalence:
    """Test whether the mean over strata of each one's mean difference, first - second, is within the margin.

    Each stratum counts once, whatever its number of pairs, and strata are all there are (Cochran 1977, section 5.3):
    the variance is the sum of the strata's s^2 / n, by their number squared, with Satterthwaite's degrees of freedom.
    The values are in [0, 1], and s^2 is at least 1 / n, that of one pair that changes wholly: few changes say little of
    how rare they are. The interval has the given level, whatever alpha is.

    :raises SettingsError: as `equivalence_of_pairs`.
    """
    _validate(margin, alpha)
    columns = [complete(first, second) for first, second in strata]
    apart = [a - b for (a, b), _ in columns]
    n, n_missing = sum(d.size for d in apart), sum(missing for _, missing in columns)
    method = f"mean difference over {len(apart)} strata, {percent(level)} t interval (Satterthwaite)"
    test = PValue(None, None, n, n_missing, "two one-sided t-tests of the mean over strata")
    least = min((d.size for d in apart), default=0)
    if reason := too_few("a mean", least):
        estimate = Estimate(None, None, None, n, n_missing, level, method, f"a stratum of {reason}")
        return Equivalence(estimate, replace(test, reason=estimate.reason), margin, alpha, None, None, None)
    parts = np.array([max(float(d.var(ddof=1)), 1 / d.size) / d.size for d in apart])
    error = float(np.sqrt(parts.sum())) / len(apart)
    df = float(parts.sum() ** 2 / sum(part**2 / (d.size - 1) for part, d in zip(parts, apart, strict=True)))
    value = float(np.mean([d.mean() for d in apart]))
    half = t_quantile(level, df) * error
    estimate = Estimate(value, value - half, value + half, n, n_missing, level, method, None, error)
    statistic = (margin - abs(value)) / error
    smallest = abs(value) + t_quantile(1 - 2 * alpha, df) * error
    test = replace(test, p=float(scipy().special.stdtr(df, -statistic)), statistic=statistic)
    detectable = error * _solve_margin(df, _POWER, alpha)
    return Equivalence(estimate, test, margin, alpha, smallest < margin, smallest, detectable)


def _of_means(estimate: Estimate, df: float, margin: float, alpha: float, method: str, least: int) -> Equivalence:
    """Test a difference of means; `least` is the number of pairs, or that of the values of the smaller column."""
    reason = estimate.reason or too_few("an equivalence of means", least)
    test = PValue(None, None, estimate.n, estimate.n_missing, method, reason)
    error = estimate.standard_error
    if reason or estimate.value is None or error is None or estimate.low is None or estimate.high is None:
        return Equivalence(estimate, test, margin, alpha, None, None, None)
    statistic = (margin - abs(estimate.value)) / error
    test = replace(test, p=float(scipy().special.stdtr(df, -statistic)), statistic=statistic)
    smallest = max(abs(estimate.low), abs(estimate.high))
    detectable = error * _solve_margin(df, _POWER, alpha)
    return Equivalence(estimate, test, margin, alpha, smallest < margin, smallest, detectable)


def _validate(margin: float, alpha: float) -> None:
    if not (math.isfinite(margin) and margin > 0):
        raise SettingsError(f"margin is {margin}; expected a number above 0, in the unit of the values")
    if not 0 < alpha < 0.5:
        raise SettingsError(f"alpha is {alpha}; expected a number between 0 and 0.5, such as 0.05")


@lru_cache(maxsize=256)
def _solve_margin(df: float, power: float, alpha: float) -> float:
    """Return the margin in standard errors that two one-sided t-tests show with this power at a difference of 0."""
    high = 4.0
    while tost_power(high, 0.0, df, alpha) < power:
        high *= 2
    root: float = scipy().optimize.brentq(lambda m: tost_power(m, 0.0, df, alpha) - power, 0, high, xtol=1e-9)
    return root


def equivalence_margin(n: int, sd: float, *, power: float = _POWER, alpha: float = 0.05) -> Power:
    """Smallest margin within which n pairs (or values) of this sd are shown equivalent with this power.

    For a true difference of 0, by Phillips' (1990) power of two one-sided t-tests; `difference` holds the margin.

    :raises SettingsError: as `detectable_difference`.
    """
    answer = Power(None, n, sd, power, alpha, "two one-sided paired t-tests, no true difference")
    if n < 2 or sd == 0:
        return replace(answer, reason=f"n = {n}: a t-test needs 2" if n < 2 else "sd is 0: no t-test")
    return replace(answer, difference=_solve_margin(n - 1, power, alpha) * sd / math.sqrt(n))


def equivalence_of_paired_shares(first: Values, second: Values, margin: float, *, alpha: float = 0.05) -> Equivalence:
    """Test whether the shares of ones in two columns over the same items differ by less than the margin (0.1: 10 %).

    The score test of each side with its variance at the margin (Tango 1998; Liu et al. 2002), made exact up to
    n = 300: p is the largest over the unknown share of items that change, so that at most alpha of the pairs that
    differ by the margin are called equivalent (Hsueh, Liu & Chen 2001). The interval is Tango's, which isn't exact: it
    may end a little inside a margin that the test doesn't show.

    :raises SettingsError: as `equivalence_of_pairs`, or a margin that isn't below 1.
    :raises ValueError: a value is neither 0, 1 nor missing.
    """
    _validate_share(margin, alpha)
    (a, b), n_missing = complete(first, second)
    _require_bits(a, b)
    n = a.size
    lost, won = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
    level = 1 - 2 * alpha
    method = f"paired difference of shares, {percent(level)} score interval (Tango)"
    estimate = Estimate(None, None, None, n, n_missing, level, method, None if n else "no pairs")
    name = f"two one-sided {'exact ' if n <= _EXACT_N else ''}score tests of paired shares"
    test = PValue(None, None, n, n_missing, name, estimate.reason)
    if not n:
        return Equivalence(estimate, test, margin, alpha, None, None, None)

    def score(x: Any, y: Any, delta: float) -> Any:
        return _paired_score(x, y, n, delta)

    def p_value(x: int, y: int, delta: float) -> float:
        return _exact_paired_p(x, y, n, delta)

    estimate = _with_score_interval(replace(estimate, value=(lost - won) / n), score, lost, won)
    changing = max(lost + won, 1) / n
    detectable = math.sqrt(changing / n) * (_z(1 - alpha) + normal_quantile(_POWER))
    return _of_shares(estimate, test, margin, alpha, score, p_value, (lost, won), min(1.0, detectable))


def equivalence_of_shares(first: Values, second: Values, margin: float, *, alpha: float = 0.05) -> Equivalence:
    """Test whether the shares of ones in two independent columns differ by less than the margin (0.1: 10 %).

    The score test of each side with its variance at the margin (Farrington & Manning 1990), made exact up to 300 values
    a column: p is the largest over the unknown share (Chan 1998; Röhmel & Mansmann 1999). The interval is that
    of the score test (Mee 1984).

    :raises SettingsError, ValueError: as `equivalence_of_paired_shares`.
    """
    _validate_share(margin, alpha)
    (a,), missing_a = complete(first)
    (b,), missing_b = complete(second)
    _require_bits(a, b)
    n, n_missing, level = a.size + b.size, missing_a + missing_b, 1 - 2 * alpha
    method = f"difference of shares ({a.size} and {b.size} values), {percent(level)} score interval (Mee)"
    estimate = Estimate(None, None, None, n, n_missing, level, method, None if a.size and b.size else "no values")
    exact = max(a.size, b.size) <= _EXACT_N
    test = PValue(None, None, n, n_missing, f"two one-sided {'exact ' if exact else ''}score tests", estimate.reason)
    if estimate.reason:
        return Equivalence(estimate, test, margin, alpha, None, None, None)
    sizes = a.size, b.size
    ones = int(a.sum()), int(b.sum())

    def score(x: Any, y: Any, delta: float) -> Any:
        return _score(x, y, sizes, delta)

    def p_value(x: int, y: int, delta: float) -> float:
        if delta < 0:
            return _exact_p(x, y, sizes, delta)
        return _exact_p(y, x, (sizes[1], sizes[0]), -delta)

    estimate = _with_score_interval(replace(estimate, value=float(a.mean() - b.mean())), score, *ones)
    share = min(max(sum(ones), 1), n - 1) / n
    error = math.sqrt(share * (1 - share) * (1 / a.size + 1 / b.size))
    detectable = error * (_z(1 - alpha) + normal_quantile(_POWER))
    return _of_shares(estimate, test, margin, alpha, score, p_value, ones, min(1.0, detectable))


def _of_shares(
    estimate: Estimate,
    test: PValue,
    margin: float,
    alpha: float,
    score: _Score,
    exact_p: Callable[[int, int, float], float],
    counts: tuple[int, int],
    detectable: float,
) -> Equivalence:
    assert estimate.value is not None

    def p_within(m: float) -> float:
        if "exact" in test.method:
            return max(exact_p(*counts, -m), exact_p(*counts, m))
        return _z_tail(min(float(score(*counts, -m)), -float(score(*counts, m))))

    statistic, p = min(float(score(*counts, -margin)), -float(score(*counts, margin))), p_within(margin)
    test, low, high = replace(test, p=p, statistic=statistic), abs(estimate.value), 1.0
    while high - low > _MARGIN_STEP:
        middle = (low + high) / 2
        low, high = (low, middle) if p_within(middle) <= alpha else (middle, high)
    return Equivalence(estimate, test, margin, alpha, p <= alpha, high, detectable)


def _z_tail(z: float) -> float:
    return 1 - NormalDist().cdf(z)


def _validate_share(margin: float, alpha: float) -> None:
    _validate(margin, alpha)
    if margin >= 1:
        raise SettingsError(f"margin is {margin}; expected a share below 1, such as 0.1 for 10 %")


def _require_bits(*columns: Floats) -> None:
    for column in columns:
        other = column[(column != 0) & (column != 1)]
        if other.size:
            raise ValueError(f"{other.size} values are neither 0 nor 1; the first is {other[0]:g}")


def _z(level: float) -> float:
    return NormalDist().inv_cdf(level)


def _with_score_interval(point: Estimate, score: _Score, x: int, y: int) -> Estimate:
    """Add the interval of the differences whose score is at most the quantile."""
    assert point.value is not None
    quantile, edge = normal_quantile(point.level), 1 - 1e-9
    find = scipy().optimize.brentq
    ends = []
    for end, sign in ((-edge, 1), (edge, -1)):
        if abs(end - point.value) < 1e-6 or sign * float(score(x, y, end)) <= quantile:
            ends.append(math.copysign(1.0, end))
        else:
            start = point.value - sign * 1e-12
            ends.append(float(find(lambda delta, s=sign: s * float(score(x, y, delta)) - quantile, end, start)))
    return replace(point, low=ends[0], high=ends[1])


def _paired_score(lost: Any, won: Any, n: int, delta: float) -> Any:
    """Tango's z: (lost - won)/n - delta over its standard error at delta, the share of `won` at its likeliest there."""
    middle = lost + won - delta * (2 * n - lost + won)
    q = (middle + np.sqrt(np.maximum(middle**2 + 8 * n * won * delta * (1 - delta), 0))) / (4 * n)
    variance = np.maximum(2 * q + delta * (1 - delta), 0) / n
    distance = (lost - won) / n - delta
    return distance / np.sqrt(np.maximum(variance, 1e-300))


def _score(x: Any, y: Any, sizes: tuple[int, int], delta: float) -> Any:
    """Farrington and Manning's z: the observed difference less delta, over its standard error at delta.

    The likeliest shares with p1 - p2 = delta solve a cubic; its root is theirs (appendix of the paper).
    """
    n1, n2 = sizes
    p1, p2, theta = x / n1, y / n2, n2 / n1
    a, b = 1 + theta, -(1 + theta + p1 + theta * p2 + delta * (theta + 2))
    c, d = delta**2 + delta * (2 * p1 + theta + 1) + p1 + theta * p2, -p1 * delta * (1 + delta)
    v = b**3 / (3 * a) ** 3 - b * c / (6 * a**2) + d / (2 * a)
    u = np.where(v >= 0, 1, -1) * np.sqrt(np.maximum(b**2 / (3 * a) ** 2 - c / (3 * a), 0))
    ratio = np.divide(v, u**3, out=np.zeros_like(v * 1.0), where=np.abs(u) > 1e-12)
    w = (math.pi + np.arccos(np.clip(ratio, -1, 1))) / 3
    likeliest = np.clip(2 * u * np.cos(w) - b / (3 * a), max(0.0, delta), min(1.0, 1 + delta))
    other = likeliest - delta
    variance = likeliest * (1 - likeliest) / n1 + other * (1 - other) / n2
    return (p1 - p2 - delta) / np.sqrt(np.maximum(variance, 1e-300))


def _largest_reached(score: Callable[[Any, Any], Any], x: Any, most: Any, observed: float) -> Any:
    """Return for each x the largest y up to `most` whose score is at least the observed one; -1 for none.

    The score falls as y grows, so that y is found by halving.
    """
    low, high = np.full(x.shape, -1), np.asarray(most).copy()
    while (low < high).any():
        middle = (low + high + 1) // 2
        reached = score(x, middle) >= observed
        low, high = np.where(reached, middle, low), np.where(reached, high, middle - 1)
    return low


def _exact_paired_p(lost: int, won: int, n: int, delta: float) -> float:
    """Return the largest probability, over the share that changes, of a score as far from delta as the observed one.

    At a positive delta the test looks below it; the two columns then change places.
    """
    if delta > 0:
        lost, won, delta = won, lost, -delta
    observed = float(_paired_score(lost, won, n, delta)) - 1e-9
    x = np.arange(n + 1)
    most_won = _largest_reached(lambda a, b: _paired_score(a, b, n, delta), x, n - x, observed)
    p_won = -delta + _edges() * (1 + delta) / 2  # and p_lost = p_won + delta
    p_lost = p_won + delta
    rest = np.divide(p_won, 1 - p_lost)[:, None]
    probabilities = scipy().stats.binom.pmf(x, n, p_lost[:, None]) * _cdf(most_won, n - x, rest)
    return float(min(1.0, probabilities.sum(axis=1).max()))


def _exact_p(x: int, y: int, sizes: tuple[int, int], delta: float) -> float:
    """Return the same for two independent columns at a negative delta."""
    observed = float(_score(np.float64(x), np.float64(y), sizes, delta)) - 1e-9
    counts = np.arange(sizes[0] + 1)
    most = _largest_reached(lambda a, b: _score(a, b, sizes, delta), counts, np.full(counts.shape, sizes[1]), observed)
    edges = _edges()
    p1 = np.concatenate([edges, 1 - edges]) * (1 + delta)
    p2 = (p1 - delta)[:, None]
    probabilities = scipy().stats.binom.pmf(counts, sizes[0], p1[:, None]) * _cdf(most, sizes[1], p2)
    return float(min(1.0, probabilities.sum(axis=1).max()))


def _edges() -> Floats:
    """Return numbers from 0 to 1, closer to each other near 0."""
    edges: Floats = np.linspace(0, 1, _NUISANCE) ** 2
    return edges


def _cdf(k: Any, n: Any, p: Any) -> Any:
    """Return P(B <= k), B binomial of n and p; 0 for k = -1."""
    return np.where(k < 0, 0.0, scipy().special.bdtr(np.maximum(k, 0).astype(float), n, np.clip(p, 0, 1)))
