"""`why`: the history of a row, from every run folder that has something to say about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescope import runs
from tunescope.errors import RunError, TunescopeError
from tunescope.runs import Outcome, Run
from tunescope.settings import POSITIONAL
from tunescope.views import Table, View

if TYPE_CHECKING:
    from tunescope.rows import Row

_KEYS = {"row_id": "", "a_id": "a_", "b_id": "b_"}
"""Columns that name a row, and what stands before `file` and `line` beside them."""


@dataclass(frozen=True, kw_only=True)
class WhySettings:
    """Tell the history of a row: where it stands, what was found, who kept, dropped or changed it."""

    row_id: str = field(metadata=POSITIONAL)
    """A row's id as a table or a view shows it, or the first 6 or more of its characters."""


def why(settings: WhySettings) -> Outcome:
    """Look through the finished runs under `runs.root()`, oldest first.

    Raises:
        RunError: no run knows the row, or several rows begin like that.
    """
    found: list[dict[str, Any]] = []
    ids: dict[str, None] = {}
    for run in runs.finished_runs():
        for record in _mentions(run, settings.row_id):
            ids[record["row_id"]] = None
            found.append(record)
    exact = settings.row_id if settings.row_id in ids else next(iter(ids), None)
    if exact is None:
        raise RunError(
            f"no run in {runs.root()} knows a row {settings.row_id!r}; run `tunescope check ROWS` first, or say where "
            f"the runs are with {runs.RUNS_VARIABLE}"
        )
    if settings.row_id not in ids and len(ids) > 1:
        raise RunError(
            f"{settings.row_id!r} begins the ids of {len(ids)} rows: {', '.join(sorted(ids)[:5])}; type more of it"
        )
    found = [record for record in found if record["row_id"] == exact]
    places = [(r["file"], r["line"], r["read_with"]) for r in found if r["file"] is not None]
    place = next((place for place in places if Path(place[0]).is_file()), next(iter(places), None))
    row = _read(exact, *place) if place else None
    lineage = [step.as_json() for step in row.lineage] if row else []
    result = {
        "row_id": exact,
        "origin": row.origin if row else None,
        "file": place[0] if place else None,
        "line": place[1] if place else None,
        "messages": [{"role": m.role, "content": m.content} for m in row.messages] if row else None,
        "lineage": lineage,
        "events": [{k: r[k] for k in ("row_id", "run", "table", "says")} for r in found],
    }
    return Outcome(result, _view(result))


def _mentions(run: Run, row_id: str) -> Iterator[dict[str, Any]]:
    """Yield what a run's tables say about the row: faults, decisions, pairs and numbers."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    read_with = (run.settings.get("format"), tuple(run.settings.get("columns") or ()))
    for name in run.tables:
        path = run.path / f"{name}.parquet"
        for key, side in _KEYS.items():
            if key not in pq.read_schema(path).names:
                continue
            ids = pq.read_table(path, columns=[key])[key]
            mask = pc.equal(ids, row_id) if len(row_id) < 6 else pc.starts_with(ids, row_id)
            if not pc.any(mask).as_py():
                continue
            own = (key, f"{side}file", f"{side}line")
            for record in pq.read_table(path).filter(mask).to_pylist():
                yield {
                    "row_id": record[key],
                    "run": str(run.path),
                    "table": name,
                    "file": record.get(f"{side}file"),
                    "line": record.get(f"{side}line"),
                    "read_with": read_with,
                    "says": {k: v for k, v in record.items() if k not in own},
                }


def _read(row_id: str, file: str, line: int, read_with: tuple[str | None, tuple[str, ...]]) -> Row | None:
    """Read the row again from its file; None where the file is gone or has changed.

    Which repeat of a row it is depends on the files read with it, so the line counts, not the ordinal.
    """
    from tunescope.rows import open_rows

    if not Path(file).is_file():
        return None
    try:
        for row in open_rows([file], *read_with, on_bad="skip"):
            if row.line == line:
                return row if row.id.partition(".")[0] == row_id.partition(".")[0] else None
    except TunescopeError:
        return None
    return None


def _view(result: dict[str, Any]) -> View:
    place = f"{result['file']}:{result['line']}" if result["file"] else "a file that no run names"
    sentences = [f"Row {result['row_id']} stands in {place}."]
    if result["file"] and result["messages"] is None:
        sentences.append("That file is gone or has changed since, so the row's text can't be shown.")
    elif result["origin"] not in (None, result["row_id"]):
        sentences.append(f"At first reading it was {result['origin']}.")
    tables = []
    if result["messages"]:
        tables.append(Table("Text", ("role", "content"), tuple((m["role"], m["content"]) for m in result["messages"])))
    if result["lineage"]:
        noted = any("notes" in step for step in result["lineage"])
        rows = tuple(
            (s["operation"], s["version"], s["reason"], str(s["old"]), *((str(s.get("notes", "")),) if noted else ()))
            for s in result["lineage"]
        )
        columns = ("operation", "version", "reason", "old value", *(("notes",) if noted else ()))
        tables.append(Table("Changes", columns, rows))
    said = tuple((e["run"], e["table"], _said(e["says"]) or "nothing found") for e in result["events"])
    tables.append(Table("Runs that know it, oldest first", ("run", "table", "what it says"), said))
    return View(tuple(sentences), tuple(tables))


def _said(record: dict[str, Any]) -> str:
    """Write what a table says, but for what is missing and flags that aren't set."""
    return ", ".join(f"{name} = {value}" for name, value in record.items() if value is not None and value is not False)
