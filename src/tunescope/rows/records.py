"""Records: what the readers of containers yield."""

from __future__ import annotations

from typing import Any, NamedTuple

from tunescope.errors import Problem
from tunescope.rows.json_text import find_fault, kind
from tunescope.rows.row import Json

LONGEST = 32 * 2**20
"""Longest line or array element read: bytes in a line, characters in an array."""
READ_SIZE = 2**20
"""Bytes read at a time."""


class Chunk(NamedTuple):
    """A part of a file, from byte (in Parquet: row group) `start` up to `end`.

    `line` is its first line; `record` is the number of its first record, where records are numbered.
    """

    start: int
    end: int
    line: int
    record: int = 1


class FileRecord(NamedTuple):
    """An object read, or the problem and the text that has it; `line` and `record` as in `Location`."""

    line: int
    value: dict[str, Json] | None
    problem: Problem | None = None
    raw: str = ""
    record: int | None = None


def bad_record(name: str, line: int, found: str, expected: str, raw: str = "", record: int | None = None) -> FileRecord:
    """Return the record of something that can't be read; line 0 is the file as a whole."""
    return FileRecord(line, None, Problem(name, line or None, found, expected, record), raw, record)


def to_record(name: str, line: int, value: Any, raw: str, record: int | None = None) -> FileRecord:
    """Return the record of a decoded JSON value; anything but an object that a row can hold becomes a bad record."""
    if not isinstance(value, dict):
        return bad_record(name, line, kind(value), "an object with columns", raw.strip(), record)
    fault = find_fault(value, raw)
    if fault is None:
        return FileRecord(line, value, None, raw, record)
    line += raw.count("\n", 0, fault.position)
    return bad_record(name, line, fault.found, fault.expected, raw.strip(), record)
