"""A statistic with its interval: Student's t, normal quantiles, percentile bootstrap."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np

from tunescope.stats.columns import is_constant, scipy, why_no_value
from tunescope.stats.estimates import Estimate, Floats
from tunescope.stats.resampling import random_generator, resampled_means


def percent(level: float) -> str:
    """Return a level as it is printed: `95 %`."""
    return f"{100 * level:g} %"


def bootstrap_method(level: float, draws: int) -> str:
    """Name the percentile bootstrap interval of a level."""
    return f"{percent(level)} percentile bootstrap interval, {draws} draws"


def with_percentiles(point: Estimate, resampled: Floats) -> Estimate:
    """Add the percentile interval and the standard error of a resampled statistic [draws]."""
    low, high = np.quantile(resampled, [(1 - point.level) / 2, (1 + point.level) / 2])
    return replace(point, low=float(low), high=float(high), standard_error=float(resampled.std(ddof=1)))


def normal_quantile(level: float) -> float:
    """Return the z that a standard normal variable exceeds in size with probability 1 - level."""
    return NormalDist().inv_cdf((1 + level) / 2)


def without_interval(
    x: Floats, n_missing: int, level: float, method: str, statistic: Callable[[Floats], Any] = np.mean
) -> Estimate:
    """Return a statistic without its interval, with the reason where there can be none."""
    reason = why_no_value(x)
    value = None if reason else float(statistic(x))
    if not reason and x.size == 1:
        reason = "one value: no interval"
    elif not reason and is_constant(x):
        reason = f"all {x.size} values are equal: no interval"
    return Estimate(value, None, None, x.size, n_missing, level, method, reason)


def with_t_interval(point: Estimate, standard_error: float, df: float) -> Estimate:
    """Add Student's interval with df degrees of freedom."""
    assert point.value is not None
    half = -float(scipy().special.stdtrit(df, (1 - point.level) / 2)) * standard_error
    return replace(point, low=point.value - half, high=point.value + half, standard_error=standard_error)


def t_interval_of_mean(x: Floats, n_missing: int, level: float, label: str) -> Estimate:
    """Return the mean of a complete column with Student's interval."""
    point = without_interval(x, n_missing, level, f"{label}, {percent(level)} Student t interval")
    return point if point.reason else with_t_interval(point, float(x.std(ddof=1)) / math.sqrt(x.size), x.size - 1)


def bootstrap_of_mean(x: Floats, n_missing: int, level: float, seed: int, draws: int, label: str) -> Estimate:
    """Return the mean of a complete column with its percentile bootstrap interval."""
    point = without_interval(x, n_missing, level, f"{label}, {bootstrap_method(level, draws)}")
    rng = random_generator(seed, draws)
    return point if point.reason else with_percentiles(point, resampled_means(x, draws, rng))
