"""How an estimate stands in a result, and when it counts as significant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tunescope.results.record import Record

if TYPE_CHECKING:
    from tunescope.stats import Estimate


ALPHA = 0.05
"""The two-sided p below which something counts as significant."""


@dataclass(frozen=True, kw_only=True)
class MeanEstimate(Record):
    """A mean, or what its key says, with its interval; the same object as `stats.Estimate.as_json()` gives."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    """Values, pairs or groups that were used."""
    n_missing: int
    method: str
    reason: str | None = None
    """Why the mean, or only its interval, is None."""

    @classmethod
    def of(cls, estimate: Estimate, **more: Any) -> Self:
        """Make one from an estimate; `more` are fields that a class of this kind adds."""
        return cls.from_json(estimate.as_json() | more)
