"""JSON lines: one record per line."""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

from tunescope.rows.json_text import decode, explain
from tunescope.rows.records import LONGEST, READ_SIZE, Chunk, FileRecord, bad_record, to_record


def cut(path: Path, size: int, step: int) -> list[Chunk]:
    """Cut a file of `size` bytes: each chunk ends at the first line end from its `step`-th byte on."""
    chunks, start, line = [], 0, 1
    with path.open("rb") as file:
        while start < size:
            newlines, end = 0, start
            while end - start < step and (data := file.read(min(READ_SIZE, step - (end - start)))):
                newlines += data.count(b"\n")
                end += len(data)
            while (rest := file.readline(READ_SIZE)) and not rest.endswith(b"\n"):
                end += len(rest)
            end += len(rest)
            newlines += rest.endswith(b"\n")
            chunks.append(Chunk(start, end, line))
            start, line = end, line + newlines
    return chunks


def read(name: str, stream: BufferedIOBase, line: int, length: int | None) -> Iterator[FileRecord]:
    """Yield a record per line that isn't blank, from line `line` on, up to `length` bytes."""
    number, remaining = line - 1, length
    while remaining is None or remaining > 0:
        data = stream.readline(LONGEST + 1)
        if not data:
            return
        number += 1
        size = len(data)
        if size > LONGEST and not data.endswith(b"\n"):
            rest = data
            while rest and not rest.endswith(b"\n"):
                rest = stream.readline(READ_SIZE)
                size += len(rest)
            n_bytes = size - rest.endswith(b"\n")
            raw = f"(the {n_bytes} bytes of line {number})"
            yield bad_record(name, number, f"a line of {n_bytes:,} bytes", f"at most {LONGEST:,}", raw)
        elif not data.isspace():
            yield _decode(name, number, data.rstrip(b"\r\n"))
        if remaining is not None:
            remaining -= size


def _decode(name: str, number: int, data: bytes) -> FileRecord:
    try:
        text = data.decode()
        value = decode(text)
    except UnicodeDecodeError as error:
        found = f"invalid UTF-8 (byte 0x{data[error.start]:02x} at column {error.start + 1})"
        return bad_record(name, number, found, "UTF-8", data.decode(errors="surrogateescape"))
    except (ValueError, RecursionError) as error:
        if text.strip() == "{":
            found = "an object that goes on over several lines"
            return bad_record(name, number, found, "one object per line, or an array", text)
        fault = explain(error)
        return bad_record(name, number, fault.found, fault.expected, text)
    return to_record(name, number, value, text)
