"""Results put into rows: each row kept or changed, its lineage, the tables and the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescope.errors import WorkError
from tunescope.oracle.replies import STATUSES
from tunescope.verbs.repair.records import TEXTS
from tunescope.views import Table, counted

if TYPE_CHECKING:
    from tunescope.rows import Row, RowFile
    from tunescope.runs import RunFolder
    from tunescope.verbs.repair.instruction_pair import InstructionPair
    from tunescope.verbs.repair.records import Repair, RepairResult
    from tunescope.verbs.repair.settings import RepairSettings

NOT_NAMED = "not named:"
"""How the reason begins of a row that a repair of named rows leaves alone: nobody looks for it among the others."""
_SHOWN = 10
"""Kept rows whose reason the view shows."""


@dataclass(frozen=True)
class RepairedRow:
    """A row before and after, the result that it comes from, and the ids of the calls about it."""

    before: Row
    after: Row
    result: RepairResult
    call_ids: tuple[str, ...] = ()

    @cached_property
    def action(self) -> str:
        """Either "kept" or "changed"."""
        return "kept" if self.after.messages == self.before.messages else "changed"


def apply_result(
    repair: Repair, like: RowFile, pair: InstructionPair, result: RepairResult, call_ids: tuple[str, ...]
) -> RepairedRow:
    """Put a result into its row, with a step in the lineage where the oracle was asked or the row changes.

    Where the file's format has no place for the new texts, the row stays and the result says so.
    """
    from tunescope.rows import LineageStep

    row = pair.row
    if not call_ids and result.instruction is None and result.response is None:
        return RepairedRow(row, row, result)
    hashes = "+".join(repair.sources.values())
    step = LineageStep(repair.name, repair.version, (row.id,), result.reason, hashes, call_ids, notes=result.notes)
    instruction = pair.instruction if result.instruction is None else result.instruction
    response = pair.response if result.response is None else result.response
    old = {"instruction": pair.instruction} if instruction != pair.instruction else {}
    old |= {"response": pair.response} if response != pair.response else {}
    if not old:
        return RepairedRow(row, replace(row, lineage=(*row.lineage, step)), result, call_ids)
    new = row.with_messages(pair.messages(instruction, response), replace(step, old=old))
    try:
        new = replace(new, fields=like.layout.render(new))  # as it will be written
    except WorkError as error:
        result = replace(result, status="fallback", reason=f"format: {error}", instruction=None, response=None)
        step = replace(step, reason=result.reason)
        return RepairedRow(row, replace(row, lineage=(*row.lineage, step)), result, call_ids)
    return RepairedRow(row, new, result, call_ids)


def write_rows(folder: RunFolder, like: RowFile, repaired: Sequence[RepairedRow]) -> Path:
    """Write the rows (`rows.*`) in the shape of `like`; return the file."""
    from tunescope.rows import RowWriter

    folder.reopen()
    with RowWriter(folder.path, "rows", like) as writer:
        for row in repaired:
            writer.write(row.after)
    return writer.path


def write_tables(
    settings: RepairSettings,
    repair: Repair,
    folder: RunFolder,
    like: RowFile,
    repaired: Sequence[RepairedRow],
    path: Path,
) -> None:
    """Write the table `repairs`, by the ids of the rows read, and `repaired`, by the ids of those written to `path`."""
    import pyarrow as pa

    from tunescope.rows import open_rows

    written = list(open_rows([str(path)], like.layout.format, settings.columns))
    ids = [row.before.id for row in repaired]
    columns = {
        "row_id": pa.array(ids),
        "file": pa.array([row.before.file for row in repaired]),
        "line": pa.array([row.before.line for row in repaired], pa.int64()),
        "record": pa.array([row.before.record for row in repaired], pa.int64()),
        "action": pa.array([row.action for row in repaired]),
        "status": pa.array([row.result.status for row in repaired], pa.string()),
        "reason": pa.array([row.result.reason for row in repaired]),
        "new_row_id": pa.array([row.id for row in written]),
        "call_ids": pa.array([row.call_ids for row in repaired], pa.list_(pa.string())),
    }
    for name, kind in repair.columns.items():
        arrow = pa.list_(pa.string()) if kind == TEXTS else pa.type_for_alias(kind)
        columns[name] = pa.array([row.result.columns.get(name) for row in repaired], arrow)
    folder.table("repairs", pa.table(columns))
    where = {name: [getattr(row, name) for row in written] for name in ("file", "line")}
    folder.table("repaired", pa.table({"row_id": columns["new_row_id"], **where, "was_row_id": ids}))


def count_rows(repaired: Sequence[RepairedRow]) -> dict[str, Any]:
    """Return rows = kept + changed + dropped, why rows were kept, replies by status, and rows without a reply."""
    actions = Counter(row.action for row in repaired)
    statuses = Counter(row.result.status for row in repaired)
    return {
        "rows": len(repaired),
        "kept": actions["kept"],
        "changed": actions["changed"],
        "dropped": 0,
        "kept_by": dict(sorted(_kept_by(repaired).items())),
        "statuses": {status: statuses[status] for status in STATUSES},
        "failed": sum(row.result.is_failed for row in repaired),
    }


def _kept_by(repaired: Sequence[RepairedRow]) -> Counter[str]:
    return Counter(row.result.reason.partition(":")[0] for row in repaired if row.action == "kept")


def counts_sentence(repaired: Sequence[RepairedRow]) -> str:
    """Say rows in = kept (why) + changed + dropped."""
    n_kept = sum(row.action == "kept" for row in repaired)
    reasons = ", ".join(f"{name} {count:,}" for name, count in _kept_by(repaired).most_common())
    return (
        f"{counted(len(repaired), 'row')} in = {n_kept:,} kept{f' ({reasons})' if reasons else ''} + "
        f"{len(repaired) - n_kept:,} changed + 0 dropped."
    )


def result_tables(repaired: Sequence[RepairedRow]) -> list[Table]:
    """Lay out the replies by status, and the first kept rows with their reasons."""
    statuses = Counter(row.result.status for row in repaired)
    cells: list[tuple[str, int]] = [(status, statuses[status]) for status in STATUSES]
    n_failed = sum(row.result.is_failed for row in repaired)
    n_not_asked = len(repaired) - sum(count for _, count in cells) - n_failed
    cells += [("failed", n_failed), ("not asked", n_not_asked)]
    note = "Replies by status. Failed: no reply could be had. Not asked: the repair doesn't apply to the row."
    tables = [Table("Replies", ("status", "rows"), tuple(cells), note)]
    kept = [
        (row.before.id, str(row.before.location), row.result.reason)
        for row in repaired
        if row.action == "kept" and row.result.status != "ok" and not row.result.reason.startswith(NOT_NAMED)
    ]
    if kept:
        more = f"The first {_SHOWN} of {len(kept):,}." if len(kept) > _SHOWN else ""
        tables.append(Table("Kept as they were", ("row id", "place", "reason"), tuple(kept[:_SHOWN]), more))
    return tables
