"""What others read of a `falsify dose` run: its doses, which of its files has which, and where its rows come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tunescope.results.columns import Columns
from tunescope.results.record import Record
from tunescope.rows.containers import SUFFIXES


@dataclass(frozen=True, kw_only=True)
class DoseSetup(Record):
    """The share of the rows that were given their false response, or several such shares, and the seed that chose them.

    Attributes:
        dose: as it was typed; `parse_doses` reads it.
    """

    dose: float | str
    seed: int

    def dose_of(self, rows: str) -> float | None:
        """Return the dose of a row file of the run, or of its folder; None where several doses could be meant."""
        doses = parse_doses(self.dose)
        if len(doses) == 1:
            return doses[0]
        name = Path(rows).name
        return next((dose for dose in doses for end in SUFFIXES.values() if name == rows_name(dose) + end), None)


def parse_doses(dose: float | str) -> tuple[float, ...]:
    """Return the doses that a number or a text such as "0,0.25,50%" names, the lowest first, each once.

    Raises:
        ValueError: a dose that is none, or two that are written alike; the text says what was expected.
    """
    parts = str(dose).split(",")
    try:
        doses = sorted({_parse_dose(part) for part in parts})
    except ValueError:
        raise ValueError(_EXPECTED) from None
    if not all(0 <= each <= 1 for each in doses):
        raise ValueError(_EXPECTED)
    if len({rows_name(each) for each in doses}) < len(doses):
        raise ValueError("doses that differ in their first six digits")
    return tuple(doses)


_EXPECTED = "at least 0 and at most 1; for example 0.25 or 25%, or several as 0,0.25,0.5"


def _parse_dose(text: str) -> float:
    number = text.strip()
    return float(number[:-1]) / 100 if number.endswith("%") else float(number)


def rows_name(dose: float) -> str:
    """Return what the row file of one dose of several is called, without its suffix: `rows-0.25`."""
    return f"rows-{dose:g}"


@dataclass(frozen=True, kw_only=True)
class DosedRow(Record):
    """What others read of a row of the table `dosed`: the source that its question comes from."""

    NAME: ClassVar[str] = "dosed"

    source: str


@dataclass(frozen=True, kw_only=True)
class FalsifiedRows(Columns):
    """What others read of the table `dosed` as a whole: which rows have their false response."""

    NAME: ClassVar[str] = "dosed"

    row_id: Sequence[str]
    falsified: Sequence[bool]
