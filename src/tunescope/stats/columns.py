"""Columns of numbers: read, matched with others, and checked for what can be computed from them."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from tunescope.stats.estimates import Floats, Values

EQUAL = 1e-11
"""A column whose range is below this part of its largest value is constant."""
HUGE = 1e100
"""Larger values can't be squared and summed in double precision."""


def scipy() -> ModuleType:
    """Import scipy, which is slow, when it is needed."""
    import scipy  # type: ignore[import-untyped, unused-ignore]

    module: ModuleType = scipy
    return module


def to_column(values: Values) -> Floats:
    """Return values as an array [n], NaN where one is missing; raises `ValueError` for another shape."""
    column = np.asarray(values, dtype=np.float64)  # None becomes NaN
    if column.ndim != 1:
        raise ValueError(f"a column of shape {column.shape}; expected one dimension")
    return column


def complete(*columns: Values) -> tuple[list[Floats], int]:
    """Return the rows that are complete in all columns, column by column, and the number of the other rows."""
    arrays = [to_column(column) for column in columns]
    if len({a.size for a in arrays}) > 1:
        sizes = " and ".join(str(a.size) for a in arrays)
        raise ValueError(f"columns of {sizes} values; expected equal lengths")
    missing = np.logical_or.reduce([np.isnan(a) for a in arrays])
    return [a[~missing] for a in arrays], int(missing.sum())


def nonempty_groups(sums: Values, counts: Values) -> tuple[Floats, Floats, int]:
    """Return the sums and counts of groups that have values, and the number of missing groups."""
    (x, m), n_missing = complete(sums, counts)
    if (m < 0).any():
        raise ValueError(f"a count of {m.min():g}; expected 0 or more")
    return x[m > 0], m[m > 0], n_missing


def is_constant(x: Floats) -> bool:
    """Tell whether all values are equal, up to rounding."""
    return float(np.ptp(x)) <= max(EQUAL * float(np.abs(x).max()), 1 / HUGE)


def why_no_value(x: Floats) -> str | None:
    """Return why nothing can be computed from x; None where something can."""
    if x.size == 0:
        return "no values"
    huge = int((~(np.abs(x) < HUGE)).sum())
    return f"{huge} values are infinite or beyond 1e100" if huge else None
