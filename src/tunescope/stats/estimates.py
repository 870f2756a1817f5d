"""Estimates, p-values and what else the functions of this package return."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tunescope.errors import SettingsError

Values: TypeAlias = Sequence[float | None] | NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]
Bounds: TypeAlias = tuple[float, float]
"""The least and the largest value that a quantity can have."""
UNBOUNDED: Bounds = (-math.inf, math.inf)
FROM_0: Bounds = (0.0, math.inf)
"""Lengths, counts, losses, divergences, and ratios of them."""
FROM_1: Bounds = (1.0, math.inf)
"""Perplexities and ranks."""
SHARE: Bounds = (0.0, 1.0)
COSINE: Bounds = (-1.0, 1.0)
"""Cosines, and differences of two shares."""


def bounds_of_differences(bounds: Bounds) -> Bounds:
    """Return the bounds of the differences of two values that have these bounds."""
    return bounds[0] - bounds[1], bounds[1] - bounds[0]


def widest(bounds: Iterable[Bounds]) -> Bounds:
    """Return bounds that hold for all values where each has its own; none are known of no values."""
    lows, highs = zip(*(set(bounds) or {UNBOUNDED}), strict=True)
    return min(lows), max(highs)


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

    def within(self, bounds: Bounds) -> Estimate:
        """Return it with the interval's ends moved to `bounds` where they are beyond; the value stays inside."""
        if self.value is None or self.low is None or self.high is None:
            return self
        low, high = max(bounds[0], self.low), min(bounds[1], self.high)
        return replace(self, low=min(self.value, low), high=max(self.value, high))

    def as_json(self, key: str = "mean") -> dict[str, float | int | str | None]:
        """Give the value under `key`, then low, high, n, n_missing, method and, if any, the reason."""
        record: dict[str, float | int | str | None] = {key: self.value, "low": self.low, "high": self.high}
        record |= {"n": self.n, "n_missing": self.n_missing, "method": self.method}
        return record | ({"reason": self.reason} if self.reason else {})


@dataclass(frozen=True, slots=True)
class PValue:
    """A p-value, two-sided where its method doesn't say otherwise, with the test that gave it."""

    p: float | None
    statistic: float | None
    n: int
    n_missing: int
    method: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """First minus second, with its interval, and a test of no difference."""

    estimate: Estimate
    test: PValue


@dataclass(frozen=True, slots=True)
class Correlation:
    """A correlation with its interval, its permutation p and scipy's parametric p."""

    r: Estimate
    permutation: PValue
    parametric: PValue


@dataclass(frozen=True, slots=True)
class ControlledShare:
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
            raise SettingsError(
                f"alpha is {self.alpha}, power is {self.power}; expected 0.0001 <= alpha < power <= 0.9999"
            )
        if not 0 <= self.sd < math.inf:
            raise SettingsError(f"sd is {self.sd}; expected a finite number, 0 or more")
