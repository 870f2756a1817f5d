"""What `check` writes as its result; the table `rows` has a column per fault and is read by whatever filters rows."""

from __future__ import annotations

from dataclasses import dataclass

from tunescope.results.record import Record


@dataclass(frozen=True, kw_only=True)
class BenchmarkCounts(Record):
    """A benchmark file: its items, those too short to tell, and those of which rows hold a run of words."""

    file: str
    items: int
    too_short: int
    items_in_rows: int


@dataclass(frozen=True, kw_only=True)
class CheckResult(Record):
    """Counts of rows, of faulty ones, of records that couldn't be read, and of the rows that have each fault."""

    rows: int
    faulty_rows: int
    rejected: int
    rows_in_characters: int
    """Rows with text in scripts without spaces between words, whose characters are counted as words."""
    faults: dict[str, int]
    benchmarks: tuple[BenchmarkCounts, ...] | None = None
