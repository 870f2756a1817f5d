"""The difference that n values can show, and the n that a difference needs."""

from __future__ import annotations

import math
from dataclasses import replace

from tunescope.errors import SettingsError
from tunescope.stats.columns import scipy
from tunescope.stats.estimates import Power


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
    root = scipy().optimize.brentq(lambda effect: _t_power(effect, n, alpha) - power, 0, high, xtol=1e-12)
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


def _t_power(noncentrality: float, n: int, alpha: float) -> float:
    critical = float(scipy().stats.t.isf(alpha / 2, n - 1))
    effect = min(noncentrality, 8 * critical + 10)  # power is 1 there; far beyond, scipy's series fails
    return float(scipy().stats.ncf.sf(critical**2, 1, n - 1, effect**2))  # T^2 is noncentral F(1, n-1)


def tost_power(margin: float, difference: float, df: float, alpha: float) -> float:
    """Return how often two one-sided t-tests show a difference to be within -margin and margin (Phillips 1990).

    Margin and true difference are in standard errors. Given S, the estimated over the true standard error, the
    estimate is within margin - t S with probability Phi(margin - t S - difference) - Phi(-margin + t S - difference);
    the mean of that over S, whose square is chi-squared(df)/df.
    """
    from scipy import integrate, special  # type: ignore[import-untyped, unused-ignore]

    t = -float(special.stdtrit(df, alpha))
    constant = math.log(2) + df / 2 * math.log(df / 2) - float(special.gammaln(df / 2))

    def density(s: float) -> float:
        inside = special.ndtr(margin - t * s - difference) - special.ndtr(-margin + t * s - difference)
        return float(inside * math.exp(constant + (df - 1) * math.log(s) - df * s * s / 2))

    spread = 12 / math.sqrt(2 * df)  # S is 1 -+ 1 / sqrt(2 df)
    low, high = max(1e-12, 1 - spread), min(margin / t, 1 + spread)
    return float(integrate.quad(density, low, high, epsabs=1e-10, limit=200)[0]) if high > low else 0.0
