"""What `measure` does to one shard of rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tunescope.family import members
from tunescope.rows import Row
from tunescope.verbs.measure import measures
from tunescope.verbs.measure.preference import add_rejected

if TYPE_CHECKING:
    from tunescope.verbs.measure.settings import MeasureSettings

_MEASURES = members(measures)
Measure = Callable[[Sequence[Row]], list[list[dict[str, Any]]]]


def chosen_measures(settings: MeasureSettings) -> list[ModuleType]:
    """Return the modules of the measures that --without leaves, in the family's order."""
    return [member for member in _MEASURES if member.NAME not in settings.without]


def set_up(settings: MeasureSettings) -> list[Measure]:
    """Load what the measures need; return the measures."""
    return [member.prepare(settings) for member in chosen_measures(settings)]


def measure_shard(state: list[Measure], rows: list[Row], folder: Path) -> None:
    """Measure some rows; write `turns.jsonl`, a record per assistant turn (one without, where a row has none)."""
    records = _measure(state, rows)
    preferences = [(row, turns) for row, turns in zip(rows, records, strict=True) if row.rejected]
    rejected = _measure(state, [row.rejected_row for row, _ in preferences])
    for (row, turns), others in zip(preferences, rejected, strict=True):
        add_rejected(row, turns, others)
    with (folder / "turns.jsonl").open("w", encoding="utf-8") as file:
        for row, turns in zip(rows, records, strict=True):
            for turn, record in enumerate(turns):
                file.write(json.dumps({"row_id": row.id, "origin": row.origin, "turn": turn} | record) + "\n")
            if next(row.turns(), None) is None:
                nothing = {"row_id": row.id, "origin": row.origin, "turn": None, "reason": "no assistant turn"}
                file.write(json.dumps(nothing) + "\n")


def _measure(state: list[Measure], rows: Sequence[Row]) -> list[list[dict[str, Any]]]:
    """Return, for each row, a record per assistant turn with all measures and `reason`."""
    if not rows:
        return []
    results = [measure(rows) for measure in state]
    return [[_join_measures(parts) for parts in zip(*turns, strict=True)] for turns in zip(*results, strict=True)]


def _join_measures(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    reasons = [part["reason"] for part in parts if part.get("reason")]
    joined = {name: value for part in parts for name, value in part.items()}
    return joined | {"reason": "; ".join(dict.fromkeys(reasons)) or None}
