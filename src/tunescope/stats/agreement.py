"""Agreement, with an interval over items: Krippendorff's alpha, Cohen's kappa, the overlap of what people marked.

Each is one minus observed over expected disagreement, or a mean of ratios, of sums over items. What two people mark in
one item isn't independent, so items are resampled, whole. The interval is the jackknife's on Fisher's scale,
tanh(z -+ t(n-1) se): z is atanh of the statistic, z_i that without item i, and se the standard error of the mean of the
pseudo-values n z - (n-1) z_i (Efron & Tibshirani 1993, chapter 11). Hughes (2022, "Toward improved inference for
Krippendorff's alpha", arXiv 2210.13265) finds that the jackknife covers where the customary bootstrap doesn't; so do we
(docs/proofs/intervals.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tunescope.stats.estimates import Estimate, Floats
from tunescope.stats.intervals import percent, t_quantile
from tunescope.stats.minimal_n import too_few

Scale: TypeAlias = Literal["nominal", "ordinal"]
"""How far two values are apart: equal or not, or by how many marks lie between them."""
_FEWEST_MIXED = 10
"""Items with another value than the most frequent one, below which there is no interval: those few decide."""
_NEAR_ONE = 1 - 1e-9


def coincidences(counts: ArrayLike) -> Floats:
    """Return the coincidence matrix [values, values] of units, summed (Krippendorff 2004, section 11.3).

    `counts` [units, values] says how many people gave a unit each value. A unit with fewer than two marks adds nothing;
    each pair of one with m marks counts 1 / (m - 1).
    """
    n = np.asarray(counts, np.float64)
    marks = n.sum(axis=1)
    n, marks = n[marks > 1], marks[marks > 1]
    weighted = n / (marks - 1)[:, None]
    return np.asarray(weighted.T @ n - np.diag(weighted.sum(axis=0)), np.float64)


def krippendorff_alpha(of_items: ArrayLike, scale: Scale, *, n_missing: int = 0, level: float = 0.95) -> Estimate:
    """Krippendorff's alpha of items' `coincidences` [items, values, values], the values in their order.

    alpha = 1 - observed / expected disagreement (Krippendorff 2004, section 11.3). Nominal values disagree by 1;
    ordinal ones by the square of the number of marks from one to the other, both ends counted half. `n` counts items
    with two marks or more. It is the same number as that of the package `krippendorff` (a test compares them).
    """
    tables = np.asarray(of_items, np.float64)
    method = f"Krippendorff's alpha ({scale}), {percent(level)} jackknife interval over items on Fisher's scale"
    point = Estimate(None, None, None, len(tables), n_missing, level, method)
    if not len(tables):
        return replace(point, reason="no item has two marks")
    if not _spread(tables.sum(axis=0)):
        return replace(point, reason="all marks are equal: nothing tells agreement from chance")
    return _jackknifed(point, tables, lambda sums: _alpha(sums, scale), _mixed(tables))


def cohens_kappa(of_items: ArrayLike, scale: Scale, *, n_missing: int = 0, level: float = 0.95) -> Estimate:
    """Cohen's kappa of items' tables [items, values, values]: rows are one rater's values, columns the other's.

    kappa = 1 - observed / expected disagreement, expected from both raters' own shares (Cohen 1960). A table sums to 1
    where an item counts once; several people that mark an item share it. Ordinal values disagree by the square of their
    places' distance (Cohen 1968).
    """
    tables = np.asarray(of_items, np.float64)
    weights = "" if scale == "nominal" else ", squared weights"
    method = f"Cohen's kappa{weights}, {percent(level)} jackknife interval over items on Fisher's scale"
    point = Estimate(None, None, None, len(tables), n_missing, level, method)
    if not len(tables):
        return replace(point, reason="no items")
    total = tables.sum(axis=0)
    if not _spread(total + total.T):
        return replace(point, reason="all verdicts are equal: nothing tells agreement from chance")
    return _jackknifed(point, tables, lambda sums: _kappa(sums, scale), _mixed(tables))


def mean_overlap(of_items: ArrayLike, *, n_missing: int = 0, level: float = 0.95) -> Estimate:
    """Mean over pairs of people of F1 = 2 |A and B| / (|A| + |B|), of what each of a pair marked.

    `of_items` [items, pairs, 2] has each pair's 2 |A and B| and |A| + |B| in an item, in characters; both are 0 where
    one of them didn't see it. F1 of a pair is over the sums of its items. As a measure of agreement: Hripcsak &
    Rothschild 2005, "Agreement, the F-measure, and reliability in information retrieval": where nearly all text is
    unmarked, chance-corrected agreement comes to it. A pair that marked nothing is left out.
    """
    sums = np.asarray(of_items, np.float64)
    method = f"mean F1 of marked characters over pairs, {percent(level)} jackknife interval over items"
    point = Estimate(None, None, None, len(sums), n_missing, level, method)
    if not len(sums) or not sums[..., 1].any():
        return replace(point, reason="no item that two people saw has a mark" if len(sums) else "no item has two marks")
    marked = int((sums[..., 1] > 0).any(axis=1).sum())
    return _jackknifed(point, sums, _mean_f1, marked)


def _alpha(sums: Floats, scale: Scale) -> Floats:
    """Return alpha of coincidence matrices [..., values, values]."""
    shares = sums.sum(axis=-1)
    distance = _ordinal_distance(shares) if scale == "ordinal" else 1 - np.eye(shares.shape[-1])
    observed = (sums * distance).sum(axis=(-2, -1))
    pairs = shares[..., :, None] * shares[..., None, :] / (shares.sum(axis=-1) - 1)[..., None, None]
    return np.asarray(1 - observed / (pairs * distance).sum(axis=(-2, -1)))


def _ordinal_distance(shares: Floats) -> Floats:
    """Return (marks from one value to the other, both ends counted half)^2 [..., values, values]."""
    middle = np.cumsum(shares, axis=-1) - shares / 2
    return np.asarray((middle[..., :, None] - middle[..., None, :]) ** 2)


def _kappa(sums: Floats, scale: Scale) -> Floats:
    """Return kappa of tables [..., values, values]."""
    places = np.arange(sums.shape[-1])
    distance = (places[:, None] - places) ** 2.0 if scale == "ordinal" else 1 - np.eye(places.size)
    rows, columns = sums.sum(axis=-1), sums.sum(axis=-2)
    expected = rows[..., :, None] * columns[..., None, :] / rows.sum(axis=-1)[..., None, None]
    return np.asarray(1 - (sums * distance).sum(axis=(-2, -1)) / (expected * distance).sum(axis=(-2, -1)))


def _mean_f1(sums: Floats) -> Floats:
    there = sums[..., 1] > 0
    of_pairs = np.divide(sums[..., 0], sums[..., 1], out=np.zeros(there.shape), where=there)
    return np.asarray(of_pairs.sum(axis=-1) / there.sum(axis=-1))


def _spread(total: Floats) -> bool:
    """Tell whether there are two values or more."""
    return int((total.sum(axis=-1) > 0).sum()) > 1


def _mixed(tables: Floats) -> int:
    """Return how many items have another value than the most frequent one."""
    of_items = tables.sum(axis=-1) + tables.sum(axis=-2)
    most = int(of_items.sum(axis=0).argmax())
    return int((np.delete(of_items, most, axis=1) > 0).any(axis=1).sum())


def _jackknifed(point: Estimate, tables: Floats, statistic: Callable[[Floats], Floats], mixed: int) -> Estimate:
    """Give the statistic of the sum of items' tables its value and interval; `mixed` items have what decides it."""
    n, total = len(tables), tables.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(total))
        without = statistic(total - tables)
    if not math.isfinite(value):
        return replace(point, reason="one of the two gave one value alone: nothing tells agreement from chance")
    point = replace(point, value=value)
    if value >= _NEAR_ONE:
        return replace(point, reason="no two marks differ: no interval")
    if reason := too_few("an agreement", n):
        return replace(point, reason=reason)
    if mixed < _FEWEST_MIXED:
        return replace(point, reason=f"{mixed} items differ from the rest; the interval needs {_FEWEST_MIXED}")
    if not np.isfinite(without).all() or without.max() >= _NEAR_ONE or without.min() <= -_NEAR_ONE:
        return replace(point, reason="one item decides: no interval")
    pseudo: NDArray[np.float64] = n * math.atanh(value) - (n - 1) * np.arctanh(without)
    error = float(pseudo.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        return replace(point, reason="all items say the same: no interval")
    middle, half = math.atanh(value), t_quantile(point.level, n - 1) * error
    ends = math.tanh(middle - half), math.tanh(middle + half)
    return replace(point, low=ends[0], high=ends[1], standard_error=(1 - value**2) * error)
