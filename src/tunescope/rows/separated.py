"""CSV and TSV: one record per line of cells, as spreadsheets and pandas write them.

The separator is the one that the header has most of. All values are text; a cell that isn't there is refused.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from typing import IO, Any

from tunescope.errors import InputError, Problem
from tunescope.rows.json_text import abbreviate
from tunescope.rows.message import Json
from tunescope.rows.records import LONGEST, FileRecord, bad_record

_SEPARATORS = ",;\t|"
_DECLARED = re.compile(r"sep=(.)\r?\n?")
"""The first line by which Excel is told the separator."""
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def separator_of(header: str) -> str:
    """Return the separator that a header has most of outside quotation marks; "" where it has none."""
    bare = _QUOTED.sub("", header)
    best = max(_SEPARATORS, key=bare.count)
    return best if best in bare else ""


def read_separated(name: str, stream: BufferedIOBase) -> Iterator[FileRecord]:
    """Yield a record per line of cells, or what is wrong with it."""
    default_limit = csv.field_size_limit(LONGEST)
    try:
        yield from _read_cells(name, stream)
    finally:
        csv.field_size_limit(default_limit)


def _read_cells(name: str, stream: BufferedIOBase) -> Iterator[FileRecord]:
    text, separator, line = _open_text(stream)
    reader = csv.reader(text, delimiter=separator, strict=True)
    names: list[str] | None = None
    skipped = line
    while True:
        start = skipped + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield bad_record(name, start, f"cells that can't be told apart ({error})", 'CSV, with "" for a quote')
            return
        if not any(cells):
            continue
        if names is None:
            names = cells
            if (problem := _find_header_fault(cells)) is not None:
                yield bad_record(name, start, *problem)
                return
        else:
            yield _to_record(name, start, names, cells, separator)


def header_of(name: str, stream: BufferedIOBase) -> tuple[list[str], str]:
    """Return the columns of a file, and its separator.

    Raises:
        InputError: a file without a header.
    """
    text, separator, _ = _open_text(stream)
    for cells in csv.reader(text, delimiter=separator):
        if any(cells):
            return cells, separator
    raise InputError([Problem(name, None, "no header", "a first line with the columns' names")])


def _open_text(stream: Any) -> tuple[io.TextIOWrapper, str, int]:
    """Return the text behind a byte-order mark and a `sep=` line, the separator, and how many lines were skipped."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    header = text.readline(LONGEST)
    declared = _DECLARED.fullmatch(header)
    if declared is None:
        text.seek(0)
        return text, separator_of(header) or ",", 0
    return text, declared[1], 1


def _find_header_fault(names: Sequence[str]) -> tuple[str, str] | None:
    twice = next((column for place, column in enumerate(names) if column in names[:place]), None)
    if twice is not None:
        return f"two columns called {abbreviate(twice)}", "a name per column"
    return None


def _to_record(name: str, line: int, names: Sequence[str], cells: Sequence[str], separator: str) -> FileRecord:
    raw = separator.join(cells)
    if len(cells) != len(names):
        return bad_record(name, line, f"{len(cells)} cells", f"{len(names)}, as in the header", raw)
    if not raw.isascii():
        try:
            raw.encode()
        except UnicodeEncodeError as error:  # a byte that isn't UTF-8, kept by `surrogateescape`
            return bad_record(name, line, f"invalid UTF-8 (byte 0x{ord(raw[error.start]) & 0xFF:02x})", "UTF-8", raw)
    return FileRecord(line, dict(zip(names, cells, strict=True)), None, raw)


class SeparatedWriter:
    """Writes records in the columns and with the separator of another file."""

    def __init__(self, file: IO[bytes], columns: Sequence[str], separator: str) -> None:
        """Write the header."""
        self._columns = list(columns)
        self._file = file
        self._separator = separator
        self._write(self._columns)

    def write(self, record: dict[str, Json]) -> None:
        """Write one record; raises ValueError for a column or a value that the file has no place for."""
        new = [column for column in record if column not in self._columns]
        if new:
            raise ValueError(f"the column {new[0]}, which the file doesn't have")
        wrong = next((column for column, value in record.items() if not isinstance(value, str)), None)
        if wrong is not None:
            raise ValueError(f"something other than text in the column {wrong}")
        self._write([record.get(column, "") for column in self._columns])

    def _write(self, cells: Sequence[Any]) -> None:
        line = io.StringIO(newline="")
        csv.writer(line, delimiter=self._separator).writerow(cells)  # \r and \n, its line's end, are quoted in cells
        self._file.write(line.getvalue().removesuffix("\r\n").encode() + b"\n")
