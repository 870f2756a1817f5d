"""Files that are one JSON object over several lines, several of them, or an object with the records under a key."""

from __future__ import annotations

import io
from collections.abc import Iterator
from io import BufferedIOBase
from typing import NamedTuple

from tunescope.rows import json_array
from tunescope.rows.json_text import DECODER, decode, explain, skip_blanks
from tunescope.rows.message import Json
from tunescope.rows.records import LONGEST, FileRecord, bad_record, to_record

_MAX_BYTES = 2**28
"""Largest file of this kind; arrays and lines have no limit."""
_HOLDERS = ("data", "rows", "records", "examples", "instances", "items", "train", "samples", "annotations", "results")
"""Keys under which records stand, beside other keys."""
_ROW_KEYS = ("messages", "conversations", "conversation", "chat", "dialog", "turns", "prompt", "completion", "games")
"""Keys of a row that is a list: an object with such a key alone is itself a record."""


class _Held(NamedTuple):
    """The list under a key: where it begins in the text."""

    key: str
    start: int


def is_object(first_line: bytes, goes_on: bool) -> bool:
    """Tell from the first line that isn't blank whether a file is one object, or objects over several lines.

    `goes_on` says whether other lines follow. A line that is a record of its own makes the file JSON lines.
    """
    try:
        value = decode(first_line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        opening = first_line.rstrip()
        return goes_on and opening.startswith(b"{") and (opening == b"{" or opening.endswith((b",", b"[", b"{", b":")))
    return not goes_on and isinstance(value, dict) and _holder_of(value) is not None


def _holder_of(value: dict[str, Json]) -> str | None:
    """Return the key whose list holds the records; None for an object that is a record itself."""
    lists = {key: item for key, item in value.items() if isinstance(item, list) and key not in _ROW_KEYS}
    objects = [key for key, items in lists.items() if items and isinstance(items[0], dict)]
    if len(value) == 1 and objects:
        return objects[0]
    return next((key for key in _HOLDERS if key in objects or lists.get(key) == []), None)


def read(name: str, stream: BufferedIOBase) -> Iterator[FileRecord]:
    """Yield the records under the object's key, or each object as a record."""
    data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        found = f"one JSON object of more than {_MAX_BYTES:,} bytes"
        yield bad_record(name, 0, found, "one record per line, or an array")
        return
    text = data.decode("utf-8-sig", "surrogateescape")
    place = skip_blanks(text, 0)
    n_objects = 0
    while place < len(text):
        line = text.count("\n", 0, place) + 1
        try:
            value, end = DECODER.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            fault = explain(error)
            line = text.count("\n", 0, max(fault.position, place)) + 1
            raw = text[place:][:LONGEST].rstrip()
            yield bad_record(name, line, fault.found, fault.expected, raw)
            return
        after = skip_blanks(text, end)
        key = _holder_of(value) if isinstance(value, dict) and not n_objects and after == len(text) else None
        if key is not None:
            yield from _read_list(name, text, _find_list(text, place, key))
            return
        yield to_record(name, line, value, text[place:end])
        n_objects += 1
        place = after


def _find_list(text: str, place: int, key: str) -> _Held:
    """Return where the list under a key of the object at `place` begins; the last of equal keys counts, as in JSON."""
    held = _Held(key, place)
    place = skip_blanks(text, place + 1)
    while text[place] == '"':
        name, place = DECODER.raw_decode(text, place)
        place = skip_blanks(text, skip_blanks(text, place) + 1)
        if name == key:
            held = _Held(key, place)
        _, place = DECODER.raw_decode(text, place)
        place = skip_blanks(text, place)
        place = skip_blanks(text, place + 1) if text[place] == "," else place
    return held


def _read_list(name: str, text: str, held: _Held) -> Iterator[FileRecord]:
    _, end = DECODER.raw_decode(text, held.start)
    stream = io.BufferedReader(io.BytesIO(text[held.start : end].encode("utf-8", "surrogateescape")))
    first_line = text.count("\n", 0, held.start) + 1
    for record in json_array.read(name, stream, None, True):
        yield _move(record, first_line - 1)


def _move(record: FileRecord, lines: int) -> FileRecord:
    """Return a record some lines further down."""
    problem = record.problem
    if problem is not None and problem.line is not None:
        problem = type(problem)(problem.file, problem.line + lines, problem.found, problem.expected, problem.record)
    return record._replace(line=record.line + lines, problem=problem)
