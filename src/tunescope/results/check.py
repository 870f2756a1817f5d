"""What `check` writes as its result; the table `rows` has a column per fault and is read by whatever filters rows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunescope.results.record import Record

if TYPE_CHECKING:
    from tunescope.runs import Run

SURELY_WRONG = "surely_wrong"
"""The column of the table `rows` that is true where a fault settles that a row is wrong."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkCounts(Record):
    """A benchmark file: its items, those too short to tell, and those of which rows hold a run of words."""

    file: str
    items: int
    too_short: int
    items_in_rows: int


@dataclass(frozen=True, kw_only=True)
class CheckResult(Record):
    """Counts of rows, of faulty and surely wrong ones, of records that couldn't be read, and of rows by fault.

    `faults` counts the rows that have a fault, `surely_wrong` those of them that are surely wrong by it.
    """

    rows: int
    faulty_rows: int
    rejected: int
    rows_in_characters: int
    """Rows with text in scripts without spaces between words, whose characters are counted as words."""
    faults: dict[str, int]
    surely_wrong_rows: int
    surely_wrong: dict[str, int]
    benchmarks: tuple[BenchmarkCounts, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class MaskedTrial(Record):
    """A trial conversation: its tokens, how many are supervised, or why the template has no such conversation."""

    name: str
    tokens: int
    supervised: int
    refusal: str | None = None


@dataclass(frozen=True, kw_only=True)
class MaskResult(Record):
    """What `check --masks` writes: whose template, how it supervises, its trials, and in how many each fault is."""

    template: str
    supervise: str
    trials: tuple[MaskedTrial, ...]
    faults: dict[str, int]


def find_selection(check: Run, runs: Iterable[Run]) -> Run | None:
    """Return the last of the finished runs that dropped what `check` found to be wrong; None where none did."""
    selections = [
        run
        for run in runs
        if run.verb == "select" and check.key in run.info["inputs"].values()
        if re.search(rf"\b(?:{SURELY_WRONG}|faulty)\b", run.settings.get("where") or "")
    ]
    return selections[-1] if selections else None
