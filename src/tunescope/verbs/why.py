"""`why`: the history of a row, from every run folder that has a record of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope import runs
from tunescope.errors import RunError, TunescopeError
from tunescope.locations import Location
from tunescope.runs import Outcome, Run
from tunescope.settings import POSITIONAL
from tunescope.views import Table, View

if TYPE_CHECKING:
    from tunescope.rows import Message, Row

_KEYS = {"row_id": "", "a_id": "a_", "b_id": "b_"}
"""Columns that name a row, and the prefix of the columns of its place that go with each."""
_PLACE = ("file", "line", "record")
_SHORTEST = 6
"""Characters of an id that are enough to look for it."""


@dataclass(frozen=True, kw_only=True)
class WhySettings:
    """Show the history of a row: where it is, its faults, and the runs that kept, dropped or changed it."""

    row_id: str = field(metadata=POSITIONAL)
    """A row's id from a table or a view, or at least its first 6 characters."""


def why(settings: WhySettings) -> Outcome:
    """Look for a row in the finished runs under `runs.root()`, oldest first.

    Raises:
        RunError: no run has the row, or several rows' ids begin with `row_id`.
    """
    finished = list(runs.finished_runs())
    mentions = [mention for run in finished for mention in _mentions(run, settings.row_id)]
    row_id = _resolve_id(settings.row_id, [mention.row_id for mention in mentions])
    mentions = [mention for mention in mentions if mention.row_id == row_id]
    source = _choose_source(mentions)
    row = _read(row_id, source) if source else None
    result = {
        "row_id": row_id,
        "origin": row.origin if row else None,
        "file": source.file if source else None,
        "line": source.line if source else None,
        "record": source.record if source else None,
        "messages": _list_messages(row.messages) if row else None,
        **({"rejected": _list_messages(row.rejected)} if row and row.rejected else {}),
        "lineage": [step.as_json() for step in row.lineage] if row else [],
        "events": [{"row_id": m.row_id, "run": m.run, "table": m.table, "says": m.values} for m in mentions],
    }
    named = {mention.run for mention in mentions}
    is_open = [run for run in finished if run.open and str(run.path) in named]
    return Outcome(result, _view(result, [f"{run.describe_open()}; type its command again." for run in is_open]))


def _list_messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Return each message's role, and what it says or calls."""
    from tunescope.rows.content import reply_text

    return [{"role": message.role, "content": reply_text(message)} for message in messages]


def _resolve_id(typed_id: str, ids: Sequence[str]) -> str:
    """Return the id that was typed, or the only one that begins with it."""
    distinct = list(dict.fromkeys(ids))
    if typed_id in distinct:
        return typed_id
    if not distinct:
        raise RunError(
            f"no run in {runs.root()} has a row {typed_id!r}; run `tunescope check ROWS` first, or set "
            f"{runs.RUNS_VARIABLE} to the folder of the runs"
        )
    if len(distinct) > 1:
        raise RunError(
            f"{typed_id!r} begins the ids of {len(distinct)} rows: {', '.join(sorted(distinct)[:5])}; type more of it"
        )
    return distinct[0]


class _Source(NamedTuple):
    """Where a run read a row, and with which `--format` and `--columns`."""

    file: str
    line: int | None
    record: int | None
    format: str | None
    columns: tuple[str, ...]


class _Mention(NamedTuple):
    """A record about the row in a run's table, and the row's place, where the record has one."""

    row_id: str
    run: str
    table: str
    values: dict[str, Any]
    source: _Source | None


def _choose_source(mentions: Sequence[_Mention]) -> _Source | None:
    """Return the first place whose file is still there, else the first one."""
    sources = [mention.source for mention in mentions if mention.source is not None]
    return next((source for source in sources if Path(source.file).is_file()), next(iter(sources), None))


def _mentions(run: Run, row_id: str) -> Iterator[_Mention]:
    """Yield a run's records about the row: faults, decisions, pairs and numbers."""
    import pyarrow.compute as pc

    for name in run.tables:
        for key, prefix in _KEYS.items():
            ids = run.tables.read(name, [key])
            if key not in ids.column_names:
                continue
            mask = pc.equal(ids[key], row_id) if len(row_id) < _SHORTEST else pc.starts_with(ids[key], row_id)
            if pc.any(mask).as_py():
                for record in run.tables[name].filter(mask).to_pylist():
                    yield _to_mention(run, name, record, key, prefix)


def _to_mention(run: Run, table: str, record: dict[str, Any], key: str, prefix: str) -> _Mention:
    file, line, number = (record.get(f"{prefix}{name}") for name in _PLACE)
    source = None
    if file is not None:
        source = _Source(file, line, number, run.settings.get("format"), tuple(run.settings.get("columns") or ()))
    places = [f"{prefix}{name}" for name in _PLACE]
    values = {k: v for k, v in record.items() if k not in (key, *places)}
    return _Mention(record[key], str(run.path), table, values, source)


def _read(row_id: str, source: _Source) -> Row | None:
    """Read the row again from its file; None where the file is gone or has changed.

    A repeat's ordinal depends on the files that were read with it, so the line and the content decide.
    """
    from tunescope.rows import open_rows

    if not Path(source.file).is_file():
        return None
    try:
        for row in open_rows([source.file], source.format, source.columns, on_bad="skip"):
            if row.line == source.line and row.id.partition(".")[0] == row_id.partition(".")[0]:
                return row
    except TunescopeError:
        return None
    return None


def _view(result: dict[str, Any], sentences: Sequence[str]) -> View:
    tables = []
    if result["messages"]:
        for title, name in (("Text", "messages"), ("With the rejected response", "rejected")):
            if name in result:
                cells = tuple((message["role"], message["content"]) for message in result[name])
                tables.append(Table(title, ("role", "content"), cells))
    if result["lineage"]:
        tables.append(_change_table(result["lineage"]))
    events = tuple((e["run"], e["table"], _describe(e["says"]) or "nothing to report") for e in result["events"])
    tables.append(Table("Runs with this row, oldest first", ("run", "table", "record"), events))
    return View((*_sentences(result), *sentences), tuple(tables))


def _sentences(result: dict[str, Any]) -> Iterator[str]:
    if not result["file"]:
        yield f"No run says which file row {result['row_id']} is in."
        return
    yield f"Row {result['row_id']} is in {Location(*(result[name] for name in _PLACE))}."
    if result["messages"] is None:
        yield "That file is gone or has changed since, so the row's text can't be shown."
    elif result["origin"] not in (None, result["row_id"]):
        yield f"When it was first read, its id was {result['origin']}."


def _change_table(lineage: list[dict[str, Any]]) -> Table:
    has_notes = any("notes" in step for step in lineage)
    columns = ("operation", "version", "reason", "old value", *(("notes",) if has_notes else ()))
    rows = tuple(
        (s["operation"], s["version"], s["reason"], str(s["old"]), *((str(s.get("notes", "")),) if has_notes else ()))
        for s in lineage
    )
    return Table("Changes", columns, rows)


def _describe(record: dict[str, Any]) -> str:
    """Write a record as `name = value, …` without missing values and flags that are false."""
    return ", ".join(f"{name} = {value}" for name, value in record.items() if value is not None and value is not False)
