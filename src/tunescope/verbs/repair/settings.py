"""The settings that all repairs have."""

from __future__ import annotations

from dataclasses import dataclass, field

from tunescope import runs
from tunescope.oracle.settings import OracleSettings
from tunescope.runs import NOT_IN_KEY
from tunescope.settings import RowsSettings


@dataclass(frozen=True, kw_only=True)
class RepairSettings(OracleSettings, RowsSettings):
    """Rows, an oracle, and whether only to plan."""

    plan: bool = field(default=False, metadata=NOT_IN_KEY)
    """Make no calls. Fill in every prompt and print how many calls and tokens there would be, and with --price the
    cost."""

    out: str | None = runs.out_field()
    """The run folder; runs/repair-NAME-KEY by default."""
