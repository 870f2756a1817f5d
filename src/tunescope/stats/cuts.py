"""Where a ranking is cut: from which score on an item isn't one of the many that score by chance."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

_LOW, _HIGH = 0.75, 0.9
"""The null's quantiles that its tail is taken from; above the second may lie rows that say the same."""
_FEWEST = 200
"""Scores of a null from which on its upper quantiles say anything: twenty lie above the second."""


def null_threshold(null: ArrayLike, n: int, expected: float = 0.05) -> float | None:
    """Return the score that `expected` of n unrelated items reach; None where the null can't tell.

    The null's upper tail is taken to be log-normal through its quantiles at 75 % and 90 %. It isn't taken from its
    largest scores: some of a null is related after all, such as rows that say the same. Scores with thinner tails
    (normal, exponential) give fewer than `expected`. The threshold may be above every score: then nothing stands out,
    which doesn't say that nothing matters.

    Args:
        null: scores of unrelated pairs, around 0, in any shape; NaN is missing.
        n: how many items are ranked.
        expected: how many of them may reach it by chance.

    Raises:
        ValueError: `expected` isn't above 0, or `n` is below 1.
    """
    if expected <= 0 or n < 1:
        raise ValueError(f"expected is {expected}, n is {n}; expected both above 0")
    scores = np.asarray(null, np.float64).ravel()
    scores = scores[~np.isnan(scores)]
    if len(scores) < _FEWEST:
        return None
    low, high = (float(each) for each in np.quantile(scores, [_LOW, _HIGH]))
    if not 0 < low < high:
        return None
    at_low, at_high = (NormalDist().inv_cdf(share) for share in (_LOW, _HIGH))
    beyond = NormalDist().inv_cdf(1 - min(expected / n, 1 - _HIGH)) - at_high
    return float(high * (high / low) ** (beyond / (at_high - at_low)))
