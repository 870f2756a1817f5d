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
    results = [measure(rows) for measure in state]
    with (folder / "turns.jsonl").open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows):
            for turn, parts in enumerate(zip(*(records[number] for records in results), strict=True)):
                reasons = [part["reason"] for part in parts if part.get("reason")]
                record: dict[str, Any] = {"row_id": row.id, "origin": row.origin, "turn": turn}
                for part in parts:
                    record |= part
                record["reason"] = "; ".join(dict.fromkeys(reasons)) or None
                file.write(json.dumps(record) + "\n")
            if next(row.turns(), None) is None:
                nothing = {"row_id": row.id, "origin": row.origin, "turn": None, "reason": "no assistant turn"}
                file.write(json.dumps(nothing) + "\n")
