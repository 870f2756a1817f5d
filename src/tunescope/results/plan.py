"""What `--plan` writes where the work is done here: minutes, memory and disk."""

from __future__ import annotations

from dataclasses import dataclass

from tunescope.results.record import Record


@dataclass(frozen=True, kw_only=True)
class ComputePlan(Record):
    """What work would take, from a probe of some of its items."""

    unit: str
    """What an item is."""
    n: int
    """Items in all."""
    n_probed: int
    n_batches: int
    """Batches of items that the probe timed."""
    minutes: float
    """To set up, and for all items."""
    minutes_low: float | None
    minutes_high: float | None
    """95 % jackknife t interval over batches; None where there are too few."""
    interval_reason: str | None
    """Why there is no interval."""
    setup_minutes: float
    memory_bytes: int
    """The most that the probe took."""
    has_heaviest: bool
    """The probe worked on the heaviest item too; else that may take more memory."""
    disk_bytes: int
    """What the run folder would hold."""
