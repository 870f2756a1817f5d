"""A curve that is flat up to a threshold and a line from there: fit, interval of the threshold, and against a line.

y = a for x <= t, y = a + b (x - t) for x > t (Hinkley 1969, "Inference about the intersection in two-phase
regression").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.stats.columns import EQUAL, why_no_value
from tunescope.stats.estimates import Estimate, Floats
from tunescope.stats.intervals import percent, t_quantile
from tunescope.stats.minimal_n import too_few

_LEAST_X = 4
"""Places of x below which three numbers always fit."""
_STEPS = 100
"""Thresholds that are tested between two places of x."""


class _Curve(NamedTuple):
    """A fitted curve: flat at `level` up to `threshold`, then of `slope`; `error` is the sum of squares."""

    threshold: float
    level: float
    slope: float
    error: float


@dataclass(frozen=True, slots=True)
class ThresholdFit:
    """The fitted curve."""

    threshold: Estimate
    """In units of x; its `n` are series, its `n_missing` those that lack a value."""
    level: float | None
    """Height of the flat part."""
    slope: float | None
    """Change of y per unit of x behind the threshold."""
    is_last: bool
    """Only the last place of x lies behind the threshold, which may then be anywhere between the last two."""


class LeftOutErrors(NamedTuple):
    """Root mean square errors at places of x that were left out of the fit, one at a time."""

    threshold: float
    line: float


def threshold(x: Sequence[float], series: Sequence[Sequence[float | None]], *, level: float = 0.95) -> ThresholdFit:
    """Fit a threshold to series of y, each with a value for every x (which go up); series with a gap are left out.

    The fit is by least squares to the mean of the series: exact, since between two places of x it is that of two
    separate lines, whose crossing is the threshold (Hudson 1966). Its interval goes from there to both sides as far as
    no t-test over the series shows that t is wrong. The test is of the contrast of y that a shift of the threshold
    would move and that is 0 whatever a and b are, computed for each series. So series may differ in height, and their
    values may depend on each other and vary more at some x than at others. An interval that reaches the first x
    doesn't exclude a straight line; one that reaches the second last x goes on to the last.
    """
    places, rows = _complete(x, series)
    method = f"threshold, least squares, {percent(level)} interval by t-tests over series"
    point = Estimate(None, None, None, len(rows), len(series) - len(rows), level, method)
    if reason := _why_no_fit(places, rows):
        return ThresholdFit(replace(point, reason=reason), None, None, False)
    curve = _fit(places, rows.mean(axis=0))
    point = replace(point, value=curve.threshold)
    reason = too_few("a threshold", len(rows))
    point = replace(point, reason=reason) if reason else _invert(point, places, rows)
    return ThresholdFit(point, curve.level, curve.slope, bool(curve.threshold >= places[-2]))


def left_out_errors(x: Sequence[float], series: Sequence[Sequence[float | None]]) -> LeftOutErrors | None:
    """Return how far a threshold and a straight line are off where they weren't fitted; None for fewer than 5 places.

    Both are fitted to the mean of the series at all places of x but one, which they then predict (Stone 1974).
    """
    places, rows = _complete(x, series)
    if _why_no_fit(places, rows) or places.size <= _LEAST_X:
        return None
    mean = rows.mean(axis=0)
    missed: list[tuple[float, float]] = []
    for place in range(places.size):
        others = np.arange(places.size) != place
        curve, line = _fit(places[others], mean[others]), _fit_line(places[others], mean[others])
        bent = curve.level + curve.slope * max(0.0, places[place] - curve.threshold)
        straight = line.level + line.slope * (places[place] - line.threshold)
        missed.append((float(mean[place] - bent), float(mean[place] - straight)))
    return LeftOutErrors(
        *(math.sqrt(sum(each**2 for each in errors) / len(errors)) for errors in zip(*missed, strict=True))
    )


def _complete(x: Sequence[float], series: Sequence[Sequence[float | None]]) -> tuple[Floats, Floats]:
    """Return the places of x, and the series without gaps: [series, place]."""
    complete = [list(each) for each in series if all(y is not None for y in each)]
    return np.asarray(x, dtype=np.float64), np.array(complete, dtype=np.float64).reshape(len(complete), len(x))


def _why_no_fit(x: Floats, rows: Floats) -> str | None:
    if x.size < _LEAST_X:
        return f"{x.size} places: a threshold needs {_LEAST_X}"
    if not len(rows):
        return "no series has a value at every place"
    if reason := why_no_value(rows.ravel()):
        return reason
    mean = rows.mean(axis=0)
    if np.ptp(mean) <= EQUAL * max(float(np.abs(mean).max()), 1e-300):
        return "all values are equal: no threshold"
    return None


def _fit(x: Floats, y: Floats) -> _Curve:
    """Return the best curve: its threshold is a place of x but the last, or the crossing of two separate fits."""
    curves = [_fit_at(x, y, float(t)) for t in x[:-1]]
    for split in range(1, x.size - 1):  # the right side has two places at least
        flat = float(y[:split].mean())
        line = _fit_line(x[split:], y[split:])
        crossing = line.threshold + (flat - line.level) / line.slope if line.slope else math.inf
        if x[split - 1] <= crossing <= x[split]:
            curves.append(_fit_at(x, y, crossing))
    least = min(curve.error for curve in curves)
    tied = EQUAL * float(np.sum((y - y.mean()) ** 2))
    return min((curve for curve in curves if curve.error <= least + tied), key=lambda curve: curve.threshold)


def _fit_at(x: Floats, y: Floats, t: float) -> _Curve:
    """Return the best curve with this threshold."""
    rise = np.maximum(0.0, x - t)
    dx, dy = rise - rise.mean(), y - y.mean()
    slope = float(dx @ dy / (dx @ dx))
    return _Curve(t, float(y.mean() - slope * rise.mean()), slope, float(np.sum((dy - slope * dx) ** 2)))


def _fit_line(x: Floats, y: Floats) -> _Curve:
    return _fit_at(x, y, float(x[0]))


def _invert(point: Estimate, x: Floats, rows: Floats) -> Estimate:
    """Add the interval: around the fitted threshold, as far as none is shown to be wrong."""
    tested, contrasts = _contrasts(tuple(x))
    values = contrasts @ rows.T  # [threshold, series]
    error = values.std(axis=1, ddof=1) / math.sqrt(len(rows))
    noise = EQUAL * float(np.abs(rows).max())
    wrong = np.flatnonzero(np.abs(values.mean(axis=1)) > t_quantile(point.level, len(rows) - 1) * error + noise)
    assert point.value is not None
    distances = np.abs(tested - point.value)
    nearest = np.setdiff1d(np.flatnonzero(distances <= distances.min() + EQUAL), wrong)
    if not nearest.size:
        return replace(point, reason="the fitted threshold is itself shown to be wrong: the curve has another shape")
    first = max(wrong[wrong < nearest[0]], default=-1) + 1
    last = min(wrong[wrong > nearest[0]], default=tested.size) - 1
    high = float(x[-1]) if last == tested.size - 1 else float(tested[last])
    return replace(point, low=min(float(tested[first]), point.value), high=max(high, point.value))


@cache
def _contrasts(x: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Return the thresholds that are tested, and the contrast of y for each [threshold, place of x], of length 1.

    It is what is left of the step at the threshold (the curve's derivative by t) once a level and a slope are fitted.
    A place of x between the first and the second last is tested twice, as just before it and as just behind it: the
    curve has two derivatives there. So an interval that reaches the place from one side has it in it.
    """
    places = np.array(x)
    tested: list[float] = []
    steps: list[NDArray[np.bool_]] = []
    for low, high in pairwise(x[:-1]):
        inside = np.linspace(low, high, _STEPS, endpoint=False)[1:]
        tested += [low, *inside.tolist(), high]
        steps += [places > low] * (_STEPS + 1)
    contrasts = []
    for t, step in zip(tested, steps, strict=True):
        design = np.column_stack([np.ones(places.size), np.maximum(0.0, places - t)])
        rest = step - design @ np.linalg.lstsq(design, step.astype(np.float64), rcond=None)[0]
        contrasts.append(rest / math.sqrt(rest @ rest))
    return np.array(tested), np.array(contrasts)
