"""A share at a difference of 0, by logistic regression: the length-controlled win rate."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunescope.engine import cores
from tunescope.stats.columns import complete, is_constant, why_no_value
from tunescope.stats.estimates import ControlledShare, Estimate, Floats, Values
from tunescope.stats.intervals import bootstrap_method, with_percentiles
from tunescope.stats.resampling import block_shapes, random_generator

_NEWTON_STEPS = 30
_NEWTON_LONGEST = 4.0
"""A step's largest coordinate; from a fit nearby none is that long."""
_NEWTON_SMALL = 1e-5
"""The last step's largest coordinate; Newton's error is its square."""
_NEWTON_FARTHEST = 30.0
"""Log-odds beyond which the likelihood has no maximum that data could show."""


def share_at_zero(
    values: Values, differences: Values, *, seed: int = 0, draws: int = 10_000, level: float = 0.95
) -> ControlledShare:
    """Mean of shares in [0, 1] at a difference of 0, by a logistic regression on tanh(difference / sd).

    Maximises sum of y log p + (1 - y) log(1 - p) with p = 1 / (1 + exp(-(b0 + b1 tanh(d / sd(d))))), sd with ddof 1;
    the estimate is 1 / (1 + exp(-b0)). With win = 1, draw = 1/2, loss = 0 and lengths in characters it is the
    length-controlled win rate of Dubois et al. 2024 ("Length-Controlled AlpacaEval", section 3) without their term for
    each prompt's difficulty and without their penalty. Each bootstrap draw of pairs has its own sd and its own fit
    (Newton's method on all draws at once); draws whose fit runs away are left out and counted in `method`.

    :raises ValueError: a share outside [0, 1].
    """
    (y, d), n_missing = complete(values, differences)
    if y.size and not ((y >= 0) & (y <= 1)).all():
        raise ValueError(f"shares run from {y.min():g} to {y.max():g}; expected [0, 1]")
    rng = random_generator(seed, draws)
    label = "logistic regression on tanh(difference / sd), at difference 0"
    reason = why_no_value(y) or why_no_value(d)
    if not reason and y.size < 3:
        reason = f"n = {y.size}: the fit needs 3"
    elif not reason and is_constant(d):
        reason = "all differences are equal: no slope"
    point = Estimate(None, None, None, y.size, n_missing, level, f"{label}, {bootstrap_method(level, draws)}", reason)
    if reason:
        return ControlledShare(point, None, None)
    b0, b1 = map(float, _logistic_fits(y[None], d[None], (0.0, 0.0))[0])
    scale = float(d.std(ddof=1))
    if not math.isfinite(b0):
        return ControlledShare(
            replace(point, reason="the fit doesn't settle: differences tell all outcomes, or all are far from 0"),
            None,
            scale,
        )
    point = replace(point, value=_logistic(b0))
    picks = (rng.integers(0, y.size, shape) for shape in block_shapes(draws, y.size))
    fitting: Callable[[NDArray[Any]], Floats] = lambda pick: _logistic_fits(y[pick], d[pick], (b0, b1))[:, 0]  # noqa: E731
    intercepts = np.concatenate(list(_map_in_order(fitting, picks)))
    fitted = intercepts[np.isfinite(intercepts)]
    method = f"{label}, {bootstrap_method(level, draws)}, fitted anew in each"
    if fitted.size < draws:
        method += f" ({draws - fitted.size} draws whose fit runs away left out)"
    point = replace(point, method=method)
    if fitted.size < 0.95 * draws:
        return ControlledShare(replace(point, reason="the fit runs away in more than 5 % of the draws"), b1, scale)
    return ControlledShare(with_percentiles(point, 1 / (1 + np.exp(-fitted))), b1, scale)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _logistic_fits(y: Floats, d: Floats, start: tuple[float, float]) -> Floats:
    """Fit y on tanh(d / sd) in every row of two (rows, n) arrays; NaN where the fit runs away. Gives (rows, 2)."""
    fits = np.full((y.shape[0], 2), np.nan)
    scale = d.std(axis=1, ddof=1)
    rows = np.flatnonzero(scale > 0)  # those still being fitted
    y, x = y[rows], np.tanh(d[rows] / scale[rows, None])
    b = np.tile(np.asarray(start), (rows.size, 1))
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
        fits[rows[done]] = b[done]
        keep = ~small & solvable & (np.abs(b).max(axis=1) < _NEWTON_FARTHEST)
        if not keep.any():
            break
        if keep.sum() < 0.7 * keep.size:
            rows, y, x, b = rows[keep], y[keep], x[keep], b[keep]
    return fits


def _map_in_order(work: Callable[[NDArray[Any]], Floats], blocks: Iterable[NDArray[Any]]) -> Iterator[Floats]:
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
