"""What each analysis beside the dose–response gives: its key of the result, its sentences and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunescope.views import Cell, Table, interval

_MEANS = {"average", "avg", "mean", "overall", "all"}
ONE_BY_ONE = 4
"""Up to so many tasks each has its own sentence."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """An analysis of scores or runs.

    Attributes:
        key: its key of the result.
        result: what stands there.
        sentences: what it says.
        tables: what is shown of it.
        records: rows of a table of the run folder, called `key`; None for none.
    """

    key: str
    result: Any
    sentences: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    records: Sequence[Mapping[str, Any]] | None = None


def tasks_in_means(tasks: Sequence[str], left_out: Sequence[str] = ()) -> list[str]:
    """Return the tasks that means and comparisons over tasks count: not those left out, and not rows that are means."""
    return [task for task in tasks if task not in left_out and task.lower() not in _MEANS]


def complete_mean(scores: Sequence[float | None]) -> float | None:
    """Return the mean; None where one is missing."""
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if len(known) == len(scores) else None


def name_all(names: Sequence[str]) -> str:
    """Write names in a row: `a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def with_interval(value: float | None, low: float | None, high: float | None, digits: int = 3) -> str:
    """Write a number, and its interval where there is one."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}" + (f" {interval(low, high, digits)}" if low is not None else "")


def loses(value: float, low: float | None, high: float | None) -> str:
    """Say what is lost, or gained where that is negative: `loses 0.477 [0.461, 0.492]`."""
    return f"{'loses' if value >= 0 else 'gains'} {without_sign(value, low, high)}"


def without_sign(value: float, low: float | None, high: float | None) -> str:
    """Write how far a number is from 0, and its interval on the same side."""
    if value >= 0:
        return with_interval(value, low, high)
    return with_interval(-value, None if high is None else -high, None if low is None else -low)


def percent_of(dose: float) -> str:
    """Write a dose in percent: `25 %`."""
    return f"{100 * dose:g} %"


def round_p(p: float | None) -> Cell:
    """Return a p-value with the three digits that tables show."""
    return None if p is None else float(f"{p:.3g}")
