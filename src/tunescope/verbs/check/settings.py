"""What `check` can be told."""

from __future__ import annotations

from dataclasses import dataclass, field

from tunescope.errors import SettingsError
from tunescope.runs import INPUT, NOT_IN_KEY, out_field
from tunescope.settings import RowsSettings


@dataclass(frozen=True, kw_only=True)
class CheckSettings(RowsSettings):
    """Find faults in rows without a model."""

    against: tuple[str, ...] = field(default=(), metadata=INPUT)
    """Benchmark files, folders or globs to look for in the rows (.json, .jsonl, .csv, .txt, .parquet)."""

    max_words: int = 1500
    """A row with more words than this is very long."""

    near_duplicate_at: float = 0.8
    """Two rows are near-duplicates from this Jaccard similarity of their word 3-grams on."""

    workers: int | None = field(default=None, metadata=NOT_IN_KEY)
    """Number of processes; one per core by default, one for small files."""

    out: str | None = out_field()
    """The run folder; runs/check-KEY by default."""

    def validate(self) -> None:
        """Raise `SettingsError` for a similarity outside (0, 1], or less than one word or worker."""
        if not 0 < self.near_duplicate_at <= 1:
            raise SettingsError(f"--near-duplicate-at {self.near_duplicate_at}: expected a number above 0, up to 1")
        for option, number in (("max-words", self.max_words), ("workers", self.workers)):
            if number is not None and number < 1:
                raise SettingsError(f"--{option} {number}: expected at least 1")
