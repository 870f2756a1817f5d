"""From bytes to records: JSON lines, JSON arrays, gzip, Parquet and hub data sets.

Every reader yields `FileRecord`s: the object and its line, or a `Problem` and the raw text.
Reading is streamed; a file is never held whole, and a JSON-lines, JSON-array or Parquet file can
be read from the middle (`Chunk`), so that shards are read side by side.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from tunescope.errors import InputError, Problem
from tunescope.rows import json_array, json_lines, tables
from tunescope.rows.records import READ_SIZE, Chunk, FileRecord, Stream, bad_record

SUFFIXES = {
    "json": ".json",
    "jsonl": ".jsonl",
    "json.gz": ".json.gz",
    "jsonl.gz": ".jsonl.gz",
    "parquet": ".parquet",
    "hub": ".parquet",
}
"""Container → the suffix of a file written in it."""
_CHUNK_SIZE = 16 * 2**20
"""Bytes per chunk of a large file. Fixed, so that chunks depend on nothing but the file."""
HEAD = 4096
"""Bytes by which a container is recognised, when they aren't all blank."""
BOM = b"\xef\xbb\xbf"
BOM_FOUND = "a byte-order mark (BOM)"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def recognise(path: Path) -> str:
    """Tell the container from the content: `jsonl`, `jsonl.gz`, `json`, `json.gz` or `parquet`.

    Raises:
        InputError: an empty file, or one that is none of these at first sight.
        OSError: a file that can't be opened.
    """
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"PAR1":
        return "parquet"
    if magic[:2] in _UTF_16:
        step = f"Convert it, for example with: iconv -f UTF-16 -t UTF-8 {path}"
        raise InputError([Problem(str(path), None, "UTF-16 text", "UTF-8")], step)
    packed = magic[:2] == b"\x1f\x8b"
    suffix = ".gz" if packed else ""
    try:
        with _open(path, suffix) as stream:
            head = stream.read(HEAD).removeprefix(BOM).lstrip()
            while not head and (more := stream.read(READ_SIZE)):
                head = more.lstrip()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        found = f"a gzip file that can't be unpacked ({error})"
        raise InputError([Problem(str(path), None, found, "a whole gzip file")]) from error
    if not head:
        raise InputError([Problem(str(path), None, "an empty file", "at least one row")])
    return ("json" if head[:1] == b"[" else "jsonl") + suffix


def content_hash(path: Path) -> str:
    """Hash a file's bytes (BLAKE2b, 128 bits, hex); of a folder, the names and bytes of its files."""
    digest = blake2b(digest_size=16)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for item in files:
        if path.is_dir():
            digest.update(str(item.relative_to(path)).encode())
        with item.open("rb") as file:
            while data := file.read(READ_SIZE):
                digest.update(data)
    return digest.hexdigest()


def chunks(path: Path, container: str, step: int = _CHUNK_SIZE) -> list[Chunk]:
    """Cut a file into chunks of about `step` bytes that can be read on their own; one if it can't be cut."""
    size = path.stat().st_size
    if container == "parquet":
        return tables.cut(path, step)
    if size <= step or container not in ("jsonl", "json"):
        return [Chunk(0, size, 1)]
    return json_lines.cut(path, size, step) if container == "jsonl" else json_array.cut(path, size, step)


def read(path: Path, container: str, chunk: Chunk | None = None, name: str | None = None) -> Iterator[FileRecord]:
    """Yield the records of a file, or of one of its chunks; never raises for a bad record.

    `name` is what problems call the file.
    """
    name = str(path) if name is None else name
    if container == "parquet":
        yield from tables.read_parquet(name, path, chunk)
    elif container == "hub":
        yield from tables.read_hub(name)
    else:
        try:
            yield from _read_json(name, path, container, None if container.endswith(".gz") else chunk)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            yield bad_record(name, 0, f"a gzip file that breaks off ({error})", "a whole gzip file")
        except OSError as error:
            yield bad_record(name, 0, f"a file that can't be read ({error.strerror})", "a file")


def _read_json(name: str, path: Path, container: str, chunk: Chunk | None) -> Iterator[FileRecord]:
    with _open(path, container) as stream:
        start = chunk.start if chunk else 0
        stream.seek(start)
        if start == 0 and stream.read(len(BOM)) == BOM:
            yield bad_record(name, 1, BOM_FOUND, "UTF-8 without one")
        elif start == 0:
            stream.seek(0)
        if container.startswith("jsonl"):
            length = chunk.end - stream.tell() if chunk else None
            yield from json_lines.read(name, stream, chunk.line if chunk else 1, length)
        else:
            last = chunk is None or chunk.end == path.stat().st_size
            yield from json_array.read(name, stream, chunk, last)


def _open(path: Path, container: str) -> Stream:
    return gzip.open(path) if container.endswith(".gz") else path.open("rb")
