"""What `select` writes that others read: what was selected by, which rows are kept, and how many tokens they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tunescope.results.columns import Columns
from tunescope.results.record import Record


@dataclass(frozen=True, kw_only=True)
class SelectSetup(Record):
    """The settings of a run of `select` that say which rows it keeps."""

    rows: tuple[str, ...]
    where: str | None
    by: str | None
    ascending: bool
    tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class KeptTokens(Record):
    """Under `tokens` in the result of `select --tokens`: how many tokens the kept rows have, as `tune` reads them."""

    budget: int
    """The most that they may have."""
    kept: int
    supervised: int
    """Of those kept, the tokens that the loss counts."""
    all_rows: int
    """Of all rows, kept or dropped."""
    model: str
    """Whose tokenizer and chat template counted."""
    max_length: int
    """Tokens of a row that are counted at most."""


@dataclass(frozen=True, kw_only=True)
class Decisions(Columns):
    """What others read of the table `decisions`: which rows are kept."""

    NAME: ClassVar[str] = "decisions"

    row_id: Sequence[str]
    kept: Sequence[bool]
