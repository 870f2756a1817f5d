"""Settings of `check`."""

from __future__ import annotations

from dataclasses import dataclass, field

from tunescope.runs import INPUT, NOT_IN_KEY, out_field
from tunescope.settings import RowsSettings, above, at_least


@dataclass(frozen=True, kw_only=True)
class CheckSettings(RowsSettings):
    """Find faults in rows without a model."""

    against: tuple[str, ...] = field(default=(), metadata=INPUT)
    """Benchmark files, folders or globs to look for in the rows (.json, .jsonl, .csv, .txt, .parquet)."""

    max_words: int = field(default=1500, metadata=at_least(1))
    """A row with more words than this is very long."""

    near_duplicate_at: float = field(default=0.8, metadata=above(0, at_most=1))
    """Two rows are near-duplicates if the Jaccard similarity of their word 3-grams is at least this."""

    show: str | None = field(default=None, metadata=NOT_IN_KEY)
    """A fault whose rows are printed, all of them, with their text."""

    csv: str | None = field(default=None, metadata={**NOT_IN_KEY, "group": "Output"})
    """Write the faulty rows (with --show those of one fault) to this new CSV file, with grade and text."""

    workers: int | None = field(default=None, metadata={**NOT_IN_KEY, **at_least(1)})
    """Number of processes; one per core by default, one for small files."""

    out: str | None = out_field()
    """The run folder; runs/check-KEY by default."""
