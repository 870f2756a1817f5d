"""From bytes to records: JSON lines, JSON arrays, gzip, Parquet and hub data sets.

Every reader yields `Record`s: the object and its line, or a `Problem` and the raw text.
Reading is streamed; a file is never held whole, and a JSON-lines or JSON-array file can be
read from the middle (`Span`), so that shards are read side by side.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, NamedTuple

from tunescope.errors import InputError, MissingPackageError, Problem
from tunescope.rows.conversation import kind
from tunescope.rows.row import Json

LONGEST = 32 * 2**20
"""Longest line or array element read, in bytes (characters in an array)."""
CHUNK = 2**20
SPAN = 16 * 2**20
"""Bytes per span of a large file; fixed, so that spans depend on nothing but the file."""
BOM = b"\xef\xbb\xbf"
BOM_FOUND = "a byte-order mark (BOM)"


class Span(NamedTuple):
    """A stretch of a file: bytes for JSON, row groups for Parquet; `line` is its first line."""

    start: int
    end: int
    line: int


class Record(NamedTuple):
    """An object read, or the problem and the text that has it."""

    line: int
    value: dict[str, Json] | None
    problem: Problem | None = None
    raw: str = ""


class _BadNumber(ValueError):
    pass


def _refuse_constant(name: str) -> float:
    raise _BadNumber(name)


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _BadNumber(text)
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_BLANK = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile("[\ud800-\udfff]")


def recognise(path: Path) -> str:
    """Tell the container from the content: `jsonl`, `jsonl.gz`, `json`, `json.gz` or `parquet`."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:4] == b"PAR1":
        return "parquet"
    suffix = ""
    if head[:2] == b"\x1f\x8b":
        suffix = ".gz"
        try:
            with gzip.open(path) as unpacked:
                head = unpacked.read(4096)
        except (OSError, EOFError, zlib.error) as error:
            raise _broken(path, f"a gzip file that can't be unpacked ({error})", "a whole gzip file") from error
    text = head.removeprefix(BOM).lstrip()
    if not text:
        raise _broken(path, "an empty file", "at least one row")
    return ("json" if text[:1] == b"[" else "jsonl") + suffix


def _broken(path: Path, found: str, expected: str, line: int | None = None) -> InputError:
    return InputError([Problem(str(path), line, found, expected)])


def content_hash(path: Path) -> str:
    """Hash a file's bytes (BLAKE2b, 128 bits, hex); of a folder, the names and bytes of its files."""
    digest = blake2b(digest_size=16)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for item in files:
        if path.is_dir():
            digest.update(str(item.relative_to(path)).encode())
        with item.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def spans(path: Path, container: str) -> list[Span]:
    """Cut a file into stretches that can be read on their own; one for what can't be cut."""
    size = path.stat().st_size
    whole = [Span(0, size, 1)]
    if container == "parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            out, line = [], 1
            for group in range(file.num_row_groups):
                out.append(Span(group, group + 1, line))
                line += file.metadata.row_group(group).num_rows
        return out
    if size <= SPAN or container not in ("jsonl", "json"):
        return whole
    return _line_spans(path, size) if container == "jsonl" else _element_spans(path, size) or whole


def _line_spans(path: Path, size: int) -> list[Span]:
    out, start, line = [], 0, 1
    with path.open("rb") as file:
        while start < size:
            newlines, end = 0, start
            while chunk := file.read(min(CHUNK, SPAN - (end - start))):
                newlines += chunk.count(b"\n")
                end += len(chunk)
                if end - start >= SPAN:
                    break
            while (rest := file.readline(CHUNK)) and not rest.endswith(b"\n"):
                end += len(rest)
            end += len(rest)
            newlines += rest.endswith(b"\n")
            out.append(Span(start, end, line))
            start, line = end, line + newlines
    return out


_STRUCTURE = re.compile(rb'"(?:[^"\\]+|\\.)*"|[\[\]{}"]', re.DOTALL)


def _element_spans(path: Path, size: int) -> list[Span]:
    """Cut between elements of the outer array; [] where brackets don't add up."""
    out: list[Span] = []
    depth, line, start, start_line = 0, 1, 0, 1
    carried, offset = b"", 0
    with path.open("rb") as file:
        while chunk := file.read(4 * CHUNK):
            data, cut = carried + chunk, None
            counted = 0
            for match in _STRUCTURE.finditer(data):
                mark = data[match.start()]
                if mark == 0x22:
                    if match.end() - match.start() == 1:  # a string that goes on in the next chunk
                        cut = match.start()
                        break
                elif mark in b"[{":
                    depth += 1
                else:
                    depth -= 1
                    end = offset + match.end()
                    if depth == 1 and end - start >= SPAN:
                        line += data.count(b"\n", counted, match.end())
                        counted = match.end()
                        out.append(Span(start, end, start_line))
                        start, start_line = end, line
                    if depth < 0:
                        return []
            keep = len(data) if cut is None else cut
            line += data.count(b"\n", counted, keep)
            carried, offset = data[keep:], offset + keep
            if len(carried) > LONGEST:
                return []
    if depth != 0 or carried:
        return []
    out.append(Span(start, size, start_line))
    return out


def read(path: Path, container: str, span: Span | None = None) -> Iterator[Record]:
    """Yield the records of a file, or of one of its spans; never raises for a bad record."""
    name = str(path)
    if container == "parquet":
        yield from _parquet(path, span)
    elif container == "hub":
        yield from _hub(name)
    else:
        try:
            with _open(path, container) as stream:
                if span is not None and not container.endswith(".gz"):
                    stream.seek(span.start)
                if (span is None or span.start == 0) and stream.read(3) == BOM:
                    yield Record(1, None, Problem(name, 1, BOM_FOUND, "UTF-8 without one"))
                elif span is None or span.start == 0:
                    stream.seek(0)
                if container.startswith("jsonl"):
                    yield from _lines(name, stream, span)
                else:
                    yield from _array(name, stream, span, path.stat().st_size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            yield Record(0, None, Problem(name, None, f"a gzip file that breaks off ({error})", "a whole gzip file"))


def _open(path: Path, container: str) -> IO[bytes]:
    return gzip.open(path) if container.endswith(".gz") else path.open("rb")


def _lines(name: str, stream: IO[bytes], span: Span | None) -> Iterator[Record]:
    number, left = (span.line if span else 1) - 1, (span.end - stream.tell() if span else None)
    while left is None or left > 0:
        data = stream.readline(LONGEST + 1)
        if not data:
            return
        number += 1
        length = len(data)
        if length > LONGEST and not data.endswith(b"\n"):
            while (rest := stream.readline(CHUNK)) and not rest.endswith(b"\n"):
                length += len(rest)
            length += len(rest)
            problem = Problem(name, number, f"a line of {length:,} bytes", f"at most {LONGEST:,}")
            yield Record(number, None, problem, f"(the {length} bytes of line {number})")
        elif not data.isspace():
            yield _decode_line(name, number, data)
        if left is not None:
            left -= length


def _decode_line(name: str, number: int, data: bytes) -> Record:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        found = f"invalid UTF-8 (byte 0x{data[error.start]:02x} at column {error.start + 1})"
        return Record(number, None, Problem(name, number, found, "UTF-8"), data.decode(errors="surrogateescape"))
    try:
        start = _end_of_blank(text, 0)
        value, end = _DECODER.raw_decode(text, start)
        if _end_of_blank(text, end) != len(text):
            raise json.JSONDecodeError("Extra data", text, end)
    except (ValueError, RecursionError) as error:
        return Record(number, None, Problem(name, number, *_syntax(error)), text.rstrip("\r\n"))
    return _object(name, number, value, text)


def _syntax(error: Exception) -> tuple[str, str]:
    if isinstance(error, _BadNumber):
        return f"the number {error}", "a finite number or null"
    if isinstance(error, RecursionError):
        return "JSON nested too deeply", "a JSON object"
    if isinstance(error, json.JSONDecodeError):
        return f"text that isn't JSON ({error.msg} at column {error.colno})", "a JSON object"
    return f"text that isn't JSON ({error})", "a JSON object"


def _object(name: str, number: int, value: Any, raw: str) -> Record:
    if not isinstance(value, dict):
        return Record(number, None, Problem(name, number, kind(value), "an object with columns"), raw.strip())
    if _has_surrogate(raw) and _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        problem = Problem(name, number, "invalid UTF-8 or half a surrogate pair", "UTF-8")
        return Record(number, None, problem, raw.strip())
    return Record(number, value, None, raw)


def _has_surrogate(raw: str) -> bool:
    return "\\ud" in raw or "\\uD" in raw or (not raw.isascii() and _SURROGATE.search(raw) is not None)


def _end_of_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


class _Buffer:
    """A sliding window over a stream of JSON text that counts lines as it goes."""

    def __init__(self, stream: IO[bytes], length: int | None, line: int) -> None:
        self.line = line
        self.text = ""
        self.place = 0
        self.more = True
        self._stream = stream
        self._left = length
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode

    def refill(self, size: int) -> None:
        """Drop what was read and take up to `size` bytes more; `more` tells whether any came."""
        data = self._stream.read(size if self._left is None else min(size, self._left))
        if self._left is not None:
            self._left -= len(data)
        self.more = bool(data)
        self.text, self.place = self.text[self.place :] + self._decode(data, not data), 0

    def advance(self, end: int) -> None:
        """Move to `end`, counting the lines passed."""
        self.line += self.text.count("\n", self.place, end)
        self.place = end

    def peek(self) -> str:
        """Skip blanks and return the next character, or "" at the end."""
        while True:
            self.advance(_end_of_blank(self.text, self.place))
            if self.place < len(self.text):
                return self.text[self.place]
            if not self.more:
                return ""
            self.refill(CHUNK)

    def element(self) -> tuple[Any, str]:
        """Decode the value here; return it with its text and move past it."""
        size = CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.place)
                if end < len(self.text) or not self.more:
                    raw = self.text[self.place : end]
                    self.advance(end)
                    return value, raw
            except (_BadNumber, RecursionError):
                raise
            except ValueError:
                if not self.more:
                    raise
            if len(self.text) - self.place > LONGEST:
                raise ValueError(f"an element of more than {LONGEST:,} characters")
            self.refill(size)
            size *= 2


def _array(name: str, stream: IO[bytes], span: Span | None, size: int) -> Iterator[Record]:
    """Read the elements of the outer array one by one; a syntax error ends the file."""
    first = span is None or span.start == 0
    buffer = _Buffer(stream, span.end - stream.tell() if span else None, span.line if span else 1)

    def problem(found: str, expected: str) -> Record:
        raw = buffer.text[buffer.place : buffer.place + 200]
        return Record(buffer.line, None, Problem(name, buffer.line, found, expected), raw)

    if first:
        if buffer.peek() != "[":
            yield problem("text that isn't a JSON array", "[ and rows")
            return
        buffer.advance(buffer.place + 1)
    separated = first
    while (mark := buffer.peek()) != "]":
        if mark == "":
            if span is None or span.end == size:
                yield problem("the end of the file inside an array", "a closing ]")
            return
        if not separated:
            if mark != ",":
                yield problem(f"{mark!r} after an element", "a comma or a closing ]")
                return
            buffer.advance(buffer.place + 1)
            buffer.peek()
        line = buffer.line
        try:
            value, raw = buffer.element()
        except (ValueError, RecursionError) as error:
            yield problem(*_syntax(error))
            return
        yield _object(name, line, value, raw)
        separated = False
    buffer.advance(buffer.place + 1)
    if buffer.peek():
        yield problem("more text after the closing ]", "the end of the file")


def _parquet(path: Path, span: Span | None) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            groups = list(range(span.start, span.end)) if span else None
            line = span.line if span else 1
            for batch in file.iter_batches(batch_size=1024, row_groups=groups):
                for value in batch.to_pylist():
                    yield _checked(str(path), line, value)
                    line += 1
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        yield Record(0, None, Problem(str(path), None, f"a Parquet file that can't be read ({error})", "Parquet"))


def _checked(name: str, line: int, value: dict[str, Any]) -> Record:
    for column, item in value.items():
        if isinstance(item, float) and item != item:
            problem = Problem(name, line, f"NaN in column {column!r}", "a finite number or null")
            return Record(line, None, problem, json.dumps(value, default=str))
    return Record(line, value)


def load_hub(name: str) -> Any:
    """Open a Hugging Face data set by id (split `train`, or `ID:SPLIT`) or a folder that it saved."""
    try:
        import datasets
    except ImportError as error:
        raise MissingPackageError("datasets", "models", f"reading the data set {name}") from error
    path = Path(name)
    try:
        if path.is_dir():
            data = datasets.load_from_disk(name)
            split = "train"
        else:
            ident, _, split = name.partition(":")
            split = split or "train"
            data = datasets.load_dataset(ident, split=split)
    except Exception as error:  # noqa: BLE001 - whatever datasets raises becomes one sentence
        raise InputError(
            [Problem(name, None, f"no data set that opens ({type(error).__name__}: {error})", "a file, a folder or an id")]
        ) from error
    if isinstance(data, datasets.DatasetDict):
        if split not in data:
            found = f"splits {', '.join(data)}"
            raise InputError([Problem(name, None, found, f"a split {split!r}")])
        data = data[split]
    return data


def _hub(name: str) -> Iterator[Record]:
    for line, value in enumerate(load_hub(name), 1):
        yield _checked(name, line, value)
