"""What `measure` writes: its result, and a table of assistant turns with a column per measure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar

from tunescope.results.estimates import MeanEstimate
from tunescope.results.record import Int32, Record, keys

if TYPE_CHECKING:
    from tunescope.runs import Run

REJECTED = "rejected_"
"""Begins the columns that hold the measures of a preference row's rejected response."""
_BOUNDS = {
    "instruction_words": (0, inf),
    "response_words": (0, inf),
    "instruction_tokens": (0, inf),
    "response_tokens": (0, inf),
    "ppl_instruction": (1, inf),
    "ppl_response": (1, inf),
    "ppl_response_given": (1, inf),
    "ifd_ppl": (0, inf),
    "ifd_loss": (0, inf),
    "coherence": (-1, 1),
}


def measure_bounds(column: str) -> tuple[float, float]:
    """Return the least and the largest value that a measure can have.

    Raises:
        KeyError: a column that isn't a number.
    """
    return _BOUNDS[column.removeprefix(REJECTED)]


@dataclass(frozen=True, kw_only=True)
class MeasureSummary(MeanEstimate):
    """A measure's mean and median over turns."""

    median: float | None
    median_low: float | None
    median_high: float | None


@dataclass(frozen=True, kw_only=True)
class PreferenceSummary(Record):
    """Both sides of the preference rows."""

    rows: int
    chosen_is_likelier: dict[str, Any] | None
    """The share of pairs whose chosen response has the higher summed log-probability; None without a model."""
    chosen_is_likelier_per_token: dict[str, Any] | None
    means: dict[str, Any]
    """Per measure the means `chosen` and `rejected` over the same `n` turns."""


@dataclass(frozen=True, kw_only=True)
class MeasureResult(Record):
    """The result of `measure`."""

    rows: int
    turns: int
    """Assistant turns."""
    model: str | None
    """The model of perplexities and IFD; None where they weren't measured."""
    rows_without_turns: int
    summary: dict[str, MeasureSummary]
    ifd_ranks: dict[str, Any] | None = None
    """Spearman's rho of both IFDs, and the shares of the highest that they have in common."""
    preference: PreferenceSummary | None = None
    """Where there are preference rows."""


@dataclass(frozen=True, kw_only=True)
class MeasuredTurn(Record):
    """The columns of the table `turns` that every run has; those of the measures stand before `reason`."""

    NAME: ClassVar[str] = "turns"

    row_id: str
    origin: str
    turn: Int32 | None
    """From 0; None for a row without an assistant turn."""
    reason: str | None
    """Why something is null."""

    @classmethod
    def read_measures(cls, run: Run) -> Iterator[tuple[MeasuredTurn, dict[str, Any]]]:
        """Yield each turn with its measures by name."""
        for row in run.tables[cls.NAME].to_pylist():
            yield cls.from_json(row), {name: value for name, value in row.items() if name not in keys(cls)}
