"""What others read of a `falsify dose` run's settings."""

from __future__ import annotations

from dataclasses import dataclass

from tunescope.results.record import Record


@dataclass(frozen=True, kw_only=True)
class DoseSetup(Record):
    """The share of the rows that were given their false response, and the seed that chose them."""

    dose: float
    seed: int
