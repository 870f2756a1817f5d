"""From bytes to records: JSON lines, arrays and objects, CSV, packed or not; Arrow, Parquet and hub data sets.

Every reader yields `FileRecord`s: the object and its line, or a `Problem` and the raw text.
Reading is streamed; but for JSON objects a file is never held whole, and a JSON-lines, JSON-array or Parquet file can
be read from the middle (`Chunk`), so that shards are read side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from hashlib import blake2b
from io import BufferedIOBase
from pathlib import Path

from tunescope.errors import InputError, Problem
from tunescope.rows import json_array, json_lines, json_object, tables
from tunescope.rows.packing import DAMAGE, PACKINGS, open_packed, packing_of, without_packing
from tunescope.rows.records import LONGEST, READ_SIZE, Chunk, FileRecord, bad_record
from tunescope.rows.separated import read_separated, separator_of

_WRITTEN = {"json": ".json", "jsonl": ".jsonl", "object": ".json", "csv": ".csv"}
"""Container that isn't packed → the suffix of a file written in it."""
SUFFIXES = {
    **_WRITTEN,
    **{container + packing: suffix for container, suffix in _WRITTEN.items() for packing in PACKINGS},
    "json.gz": ".json.gz",
    "jsonl.gz": ".jsonl.gz",
    "parquet": ".parquet",
    "arrow": ".parquet",
    "hub": ".parquet",
}
"""Container → the suffix of a file written in it: gzip stays packed, what is packed otherwise is unpacked."""
_CHUNK_SIZE = 16 * 2**20
"""Bytes per chunk of a large file. Fixed, so that chunks depend on nothing but the file."""
HEAD = 4096
"""Bytes by which a container is recognised, when they aren't all blank."""
BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_ARROW_STREAM = b"\xff\xff\xff\xff"
"""What an Arrow stream begins with, such as the files of the `datasets` package; an Arrow file begins with ARROW1."""
_OTHER_FILES = {
    ".xlsx": ("a workbook", "Save the sheet as CSV (UTF-8), and type that file."),
    ".xls": ("a workbook", "Save the sheet as CSV (UTF-8), and type that file."),
    ".ods": ("a workbook", "Save the sheet as CSV (UTF-8), and type that file."),
    ".pkl": ("a pickle, which can run code", "In Python: pandas.read_pickle(FILE).to_json(NEW, 'records', lines=True)"),
    ".yaml": ("YAML", 'Convert it: python -c "import json,sys,yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"'),
    ".yml": ("YAML", 'Convert it: python -c "import json,sys,yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"'),
}
"""Files that aren't read, by their suffix: what they are, and what to do."""
_COMMON_COLUMNS = {"instruction", "prompt", "question", "query", "input", "output", "response", "answer", "completion"}
"""Of these, the header of a CSV file whose name doesn't say that it is one has two."""


def recognise(path: Path) -> str:
    """Tell the container: `jsonl`, `json`, `object` or `csv`, with `.gz`, `.bz2`, `.xz` or `.zip`; `parquet`, `arrow`.

    The content decides, and for CSV the name too.

    Raises:
        InputError: an empty file, or one that is none of these at first sight.
        OSError: a file that can't be opened.
    """
    with path.open("rb") as file:
        magic = file.read(8)
    if magic.startswith(b"PAR1"):
        return "parquet"
    if magic.startswith((b"ARROW1", _ARROW_STREAM)):
        return "arrow"
    if magic[:2] in _UTF_16:
        step = f"Convert it, for example with: iconv -f UTF-16 -t UTF-8 {path}"
        raise InputError([Problem(str(path), None, "UTF-16 text", "UTF-8")], step)
    other = _OTHER_FILES.get(path.suffix.lower())
    if other is not None:
        raise InputError([Problem(str(path), None, other[0], "JSON, JSON lines, CSV, Arrow or Parquet")], other[1])
    packing = packing_of(path, magic)
    try:
        with open_packed(path, packing) as stream:
            return _recognise_text(path, stream) + packing
    except DAMAGE as error:
        found = f"a {PACKINGS[packing]} file that can't be unpacked ({error})"
        raise InputError([Problem(str(path), None, found, f"a whole {PACKINGS[packing]} file")]) from error


def _recognise_text(path: Path, stream: BufferedIOBase) -> str:
    """Tell the container of unpacked bytes."""
    head = stream.read(HEAD).removeprefix(BOM).lstrip()
    while not head and (more := stream.read(READ_SIZE)):
        head = more.lstrip()
    if not head:
        raise InputError([Problem(str(path), None, "an empty file", "at least one row")])
    if head[:1] == b"[":
        return "json"
    line, newline, rest = head.partition(b"\n")
    try:
        if not newline:
            line += stream.readline(LONGEST)
        if head[:1] != b"{":
            return "csv" if _is_separated(path, line) else "jsonl"
        goes_on = bool(rest.strip()) or any(not text.isspace() for text in iter(partial(stream.readline, LONGEST), b""))
    except DAMAGE:
        return "jsonl"  # what is there is read, and where it breaks off is said
    return "object" if json_object.is_object(line, goes_on) else "jsonl"


def _is_separated(path: Path, header: bytes) -> bool:
    suffix = Path(without_packing(path.name)).suffix.lower()
    if suffix in (".csv", ".tsv", ".tab"):
        return True
    text = header.decode(errors="replace").strip()
    names = {cell.strip(' "').lower() for cell in text.split(separator_of(text) or "\n")}
    return suffix not in (".json", ".jsonl") and len(names & _COMMON_COLUMNS) > 1


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
    elif container == "arrow":
        yield from tables.read_arrow(name, path)
    elif container == "hub":
        yield from tables.read_hub(name)
    else:
        kind, dot, packing = container.partition(".")
        try:
            yield from _read_text(name, path, kind, dot + packing, None if packing else chunk)
        except DAMAGE as error:
            called = PACKINGS[dot + packing]
            yield bad_record(name, 0, f"a {called} file that breaks off ({error})", f"a whole {called} file")
        except OSError as error:
            yield bad_record(name, 0, f"a file that can't be read ({error.strerror})", "a file")


def _read_text(name: str, path: Path, kind: str, packing: str, chunk: Chunk | None) -> Iterator[FileRecord]:
    with open_packed(path, packing) as stream:
        if kind == "csv":
            yield from read_separated(name, stream)
            return
        if kind == "object":
            yield from json_object.read(name, stream)
            return
        start = chunk.start if chunk else 0
        stream.seek(start)
        if start == 0 and stream.read(len(BOM)) != BOM:
            stream.seek(0)
        if kind == "jsonl":
            length = chunk.end - stream.tell() if chunk else None
            yield from json_lines.read(name, stream, chunk.line if chunk else 1, length)
        else:
            last = chunk is None or chunk.end == path.stat().st_size
            yield from json_array.read(name, stream, chunk, last)
