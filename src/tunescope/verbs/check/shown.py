"""All faulty rows with their text: on the terminal (`--show`) and as a CSV file (`--csv`)."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tunescope.errors import SettingsError
from tunescope.foreign import show_cell
from tunescope.progress import say
from tunescope.rows import Message, Row, RowSet
from tunescope.runs import Run
from tunescope.views import Marked, View, counted


class FaultyRow(NamedTuple):
    """A fault of a row with the row's text; its names are the columns of the CSV file."""

    row_id: str
    fault: str
    grade: str
    detail: str
    file: str
    line: int
    record: int | None
    text: str


def read_faulty_rows(run: Run, rows: RowSet, fault: str | None) -> list[FaultyRow]:
    """Read the rows that have a fault (None: any) anew, in file order, one record per fault."""
    records: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in run.tables["faults"].to_pylist():
        if fault is None or record["fault"] == fault:
            records[record["row_id"]].append(record)
    return [
        FaultyRow(**record, text=_conversation(row)) for row in rows if row.id in records for record in records[row.id]
    ]


def _conversation(row: Row) -> str:
    """Write a row as text, each message under its role."""
    return "\n\n".join(map(_message, row.messages))


def _message(message: Message) -> str:
    parts = (f"{message.role}:", message.thinking, message.content, *map(_call, message.tool_calls))
    return "\n".join(filter(None, parts))


def _call(call: Any) -> str:
    return json.dumps(dict(call), ensure_ascii=False, default=str)


def show_fault(run: Run, fault: str, faulty: Sequence[FaultyRow]) -> Run:
    """Return the run with a view of all rows that have the fault, and with their records as `shown` in the result."""
    n_sure = run.result["surely_wrong"].get(fault, 0)
    sentence = f"{counted(run.result['faults'].get(fault, 0), 'row')} with {fault}, {n_sure:,} of them surely wrong."
    texts = tuple(Marked(f"{row.row_id}, {row.file}:{row.line}, {row.grade}: {row.detail}", row.text) for row in faulty)
    shown = [row._asdict() for row in faulty]
    return run.showing(View((sentence,), texts=texts), shown=shown)


def write_csv(path: Path, faulty: Sequence[FaultyRow]) -> None:
    """Write the rows to a new file, in UTF-8 with the mark by which spreadsheets know it; no cell runs as a formula.

    Raises:
        SettingsError: the file is there with other content: somebody may have written verdicts into it.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(FaultyRow._fields)
    writer.writerows([show_cell(cell) for cell in row] for row in faulty)
    content = text.getvalue().encode("utf-8-sig")
    if path.exists() and (not path.is_file() or path.read_bytes() != content):
        raise SettingsError(f"--csv {path}: found a file with other content; expected none; name another")
    path.write_bytes(content)
    say(f"{path} has {counted(len(faulty), 'row')}")
