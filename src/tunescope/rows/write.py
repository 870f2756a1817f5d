"""Write rows in the format and container that they came in, whole or not at all."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

from tunescope.errors import SettingsError, WorkError
from tunescope.foreign import dump_json
from tunescope.rows import tables
from tunescope.rows.containers import SUFFIXES
from tunescope.rows.lineage import lineage_path, lineage_record
from tunescope.rows.packing import open_packed
from tunescope.rows.read import RowFile
from tunescope.rows.row import Json, RepeatCounter, Row
from tunescope.rows.separated import SeparatedWriter, header_of

_BATCH = 10_000
"""Rows per Parquet row group."""


class _Sink(Protocol):
    def write(self, record: dict[str, Json], row: Row) -> None: ...

    def finish(self) -> None: ...

    def close(self) -> None: ...


class RowWriter:
    """Writes rows to `FOLDER/NAME` with the suffix of the file they are `like`.

    Use as a context manager; the file, and `NAME.lineage.jsonl` where a row has a history or
    another origin than the id it will be read with, appear only when the block ends without an error.
    """

    def __init__(self, folder: Path, name: str, like: RowFile) -> None:
        """Prepare to write; nothing is opened yet."""
        self.path = folder / (name + SUFFIXES[like.container])
        self.count = 0
        self._like = like
        self._repeats = RepeatCounter()
        self._lineage_path = lineage_path(self.path)
        self._part = self.path.with_name(f".{self.path.name}.part")
        self._lineage_part = self._lineage_path.with_name(f".{self._lineage_path.name}.part")
        self._lineage: IO[str] | None = None

    def __enter__(self) -> RowWriter:
        """Open the temporary file."""
        self._sink = _sink(self._part, self._like)
        return self

    def write(self, row: Row) -> None:
        """Write one row, and its history where it has one.

        Raises:
            WorkError: the format, or the Parquet schema, has no place for what the row holds.
        """
        self._sink.write(self._like.layout.render(row), row)
        row_id = self._repeats.name(row.id.partition(".")[0])
        if row.lineage or row.origin != row_id:
            if self._lineage is None:
                self._lineage = self._lineage_part.open("w", encoding="utf-8")
            self._lineage.write(dump_json(lineage_record(row_id, row), ensure_ascii=False) + "\n")
        self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put both files in place, or remove what was begun."""
        try:
            if kind is None:
                self._sink.finish()
            self._sink.close()
            if self._lineage is not None:
                self._lineage.close()
            if kind is None:
                self._place()
        finally:
            self._part.unlink(missing_ok=True)
            self._lineage_part.unlink(missing_ok=True)

    def _place(self) -> None:
        if self._lineage is None:
            self._lineage_path.unlink(missing_ok=True)  # of other rows that were here before
        else:
            os.replace(self._lineage_part, self._lineage_path)
        os.replace(self._part, self.path)


def require_same_shape(files: Iterable[RowFile], verb: str) -> RowFile:
    """Return the first file; its layout serves all.

    Raises:
        SettingsError: files of several layouts, containers or Parquet schemas.
    """
    first, *others = files
    for other in others:
        if (other.layout, other.container) != (first.layout, first.container):
            raise SettingsError(
                f"{verb} writes one file, but {_shape(first)} and {_shape(other)}; run it once per file"
            )
        if SUFFIXES[first.container] == ".parquet" and not _schema(other).equals(_schema(first)):
            raise SettingsError(
                f"{verb} writes one file, but the columns of {other.name} are not those of {first.name} "
                "(names, types and order); run it once per file"
            )
    return first


def _shape(file: RowFile) -> str:
    columns = ", ".join(f"{ours}={theirs}" for ours, theirs in file.layout.columns.items())
    return f"{file.name} is {file.layout.format} ({columns}) in {file.container}"


def _schema(file: RowFile) -> Any:
    return tables.schema(file.container, file.name, file.path)


def _sink(path: Path, like: RowFile) -> _Sink:
    if SUFFIXES[like.container] == ".parquet":
        return _ParquetSink(path, like)
    kind = like.container.partition(".")[0]
    if kind == "csv":
        return _SeparatedSink(path, like)
    return (_ArraySink if kind in ("json", "object") else _LinesSink)(path, like)


class _LinesSink:
    def __init__(self, path: Path, like: RowFile) -> None:
        packed = like.container.endswith(".gz")
        self._raw = path.open("wb")
        # mtime=0: the same rows give the same bytes
        self._file: Any = gzip.GzipFile("", "wb", 6, self._raw, 0) if packed else self._raw

    def write(self, record: dict[str, Json], row: Row) -> None:
        self._file.write(_encode(record) + b"\n")

    def finish(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        self._raw.close()


class _ArraySink(_LinesSink):
    def __init__(self, path: Path, like: RowFile) -> None:
        super().__init__(path, like)
        self._between = b"[\n"

    def write(self, record: dict[str, Json], row: Row) -> None:
        self._file.write(self._between + _encode(record))
        self._between = b",\n"

    def finish(self) -> None:
        self._file.write(b"[]\n" if self._between == b"[\n" else b"\n]\n")
        super().finish()


class _SeparatedSink:
    """Writes CSV with the header and the separator of the file that it is like."""

    def __init__(self, path: Path, like: RowFile) -> None:
        with open_packed(like.path, like.container.removeprefix("csv")) as stream:
            columns, separator = header_of(like.name, stream)
        self._file = path.open("wb")
        self._writer = SeparatedWriter(self._file, columns, separator)

    def write(self, record: dict[str, Json], row: Row) -> None:
        try:
            self._writer.write(record)
        except ValueError as error:
            raise WorkError(
                f"row {row.id} ({row.location}) can't be written as CSV: it has {error}; convert the file to JSON lines"
            ) from error

    def finish(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _encode(record: dict[str, Json]) -> bytes:
    return dump_json(record, ensure_ascii=False).encode()


class _ParquetSink:
    def __init__(self, path: Path, like: RowFile) -> None:
        import pyarrow.parquet as pq

        self._layout = like.layout
        self._schema = _schema(like)
        self._writer = pq.ParquetWriter(path, self._schema)
        self._batch: list[tuple[dict[str, Json], Row]] = []

    def write(self, record: dict[str, Json], row: Row) -> None:
        self._batch.append((record, row))
        if len(self._batch) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        """Write the batch; refuse it where a value doesn't fit the schema and would get lost silently."""
        import pyarrow as pa

        try:
            table = pa.Table.from_pylist([record for record, _ in self._batch], schema=self._schema)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            first, last = self._batch[0][1], self._batch[-1][1]
            raise WorkError(f"rows {first.id} to {last.id} can't be written as Parquet: {error}") from error
        for written, (record, row) in zip(table.to_pylist(), self._batch, strict=True):
            if written != record and not self._layout.matches(written, row):
                raise WorkError(
                    f"row {row.id} ({row.location}) has a new value that doesn't fit the columns of {row.file}; "
                    "write the rows as JSON lines first"
                )
        self._writer.write_table(table)
        self._batch = []

    def finish(self) -> None:
        if self._batch:
            self._flush()

    def close(self) -> None:
        self._writer.close()
