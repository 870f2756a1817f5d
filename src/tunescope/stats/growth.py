"""Whether a share has grown between two sets that share some of their items."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tunescope.stats.columns import scipy
from tunescope.stats.estimates import Estimate, PValue
from tunescope.stats.intervals import normal_quantile, percent, wilson_interval

_NEGLIGIBLE = 1e-18
"""Probability of a count among the added items from which on it adds nothing to a p that is printed."""


class Share(NamedTuple):
    """How many of n items have something."""

    successes: int
    n: int


def growth_test(kept: Share, removed: Share, added: Share) -> PValue:
    """Exact one-sided test of whether the share after (kept and added) exceeds that before (kept and removed).

    p is the probability, if those that have it are spread at random over all items, of a difference of the two shares
    at least as large: the sum over the count x among the added (hypergeometric) of the probability, given x, that the
    removed have few enough. Without items that are kept, and where nothing is removed, that is Fisher's exact test
    (Fisher 1935). The statistic is the difference of the shares.
    """
    before, after = kept.n + removed.n, kept.n + added.n
    method = "exact one-sided test of growth (hypergeometric)"
    n = kept.n + removed.n + added.n
    if not before or not after:
        return PValue(None, None, n, 0, method, f"no items {'after' if before else 'before'}")
    total = kept.successes + removed.successes + added.successes
    statistic = (kept.successes + added.successes) / after - (kept.successes + removed.successes) / before
    hypergeom = scipy().stats.hypergeom
    counts = np.arange(max(0, total - n + added.n), min(total, added.n) + 1)
    weights = hypergeom.pmf(counts, n, total, added.n)
    counts, weights = counts[weights > _NEGLIGIBLE], weights[weights > _NEGLIGIBLE]
    most = removed.successes + (counts - added.successes) * after // before  # of the removed, for so large a difference
    p = float(weights @ hypergeom.cdf(most, n - added.n, total - counts, removed.n))
    return PValue(min(1.0, p), statistic, n, 0, method)


def difference_of_shares(kept: Share, removed: Share, added: Share, *, level: float = 0.95) -> Estimate:
    """Share after (kept and added) less that before (kept and removed), with an interval.

    The difference is a weighted sum of the three parts' shares, and what is kept cancels out where both sets have the
    same size. Wilson's limits of the three are put together by the method of variance estimates recovery (Zou, Huang &
    Zhang 2009, "A note on confidence interval estimation for a linear function of binomial proportions"). `n` counts
    all items.
    """
    before, after = kept.n + removed.n, kept.n + added.n
    n = kept.n + removed.n + added.n
    method = (
        f"difference of shares ({before} and {after} items, {kept.n} in both), {percent(level)} Wilson limits added"
    )
    point = Estimate(None, None, None, n, 0, level, method)
    if not before or not after:
        return replace(point, reason=f"no items {'after' if before else 'before'}")
    value, below, above = 0.0, 0.0, 0.0
    for share, weight in (
        (kept, kept.n / after - kept.n / before),
        (removed, -removed.n / before),
        (added, added.n / after),
    ):
        if weight:
            ends = wilson_interval(share.successes / share.n, share.n, normal_quantile(level))
            part = weight * share.successes / share.n
            value += part
            below += (part - min(weight * end for end in ends)) ** 2
            above += (max(weight * end for end in ends) - part) ** 2
    return replace(point, value=value, low=value - math.sqrt(below), high=value + math.sqrt(above))
