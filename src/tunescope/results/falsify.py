"""What others read of a `falsify dose` run: its settings, and where its rows come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tunescope.results.record import Record


@dataclass(frozen=True, kw_only=True)
class DoseSetup(Record):
    """The share of the rows that were given their false response, and the seed that chose them."""

    dose: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class DosedRow(Record):
    """What others read of a row of the table `dosed`: the source that its question comes from."""

    NAME: ClassVar[str] = "dosed"

    source: str
