"""Write rows in the format and container that they came in, whole or not at all."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tunescope.errors import SettingsError
from tunescope.rows.containers import load_hub
from tunescope.rows.read import SUFFIXES, RowFile, lineage_path
from tunescope.rows.row import Row

BATCH = 10_000


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; put it in place when the block ends without an error."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


class RowWriter:
    """Writes rows to `FOLDER/NAME` with the suffix of the file they are `like`.

    Use as a context manager; the file, and `NAME.lineage.jsonl` where a row has a history,
    appear only when the block ends without an error.
    """

    def __init__(self, folder: Path, name: str, like: RowFile) -> None:
        """Prepare to write; nothing is opened yet."""
        self.path = folder / (name + SUFFIXES[like.container])
        self.count = 0
        self._like = like
        self._part = self.path.with_name(f".{self.path.name}.part")
        self._lineage_part = lineage_path(self.path).with_name(f".{lineage_path(self.path).name}.part")
        self._lineage: IO[str] | None = None

    def __enter__(self) -> RowWriter:
        """Open the temporary file."""
        self._sink = _SINKS[self._like.container.removesuffix(".gz")](self._part, self._like)
        return self

    def write(self, row: Row) -> None:
        """Write one row, and its history where it has one."""
        self._sink.write(self._like.layout.render(row))
        if row.lineage or row.origin != row.id:
            if self._lineage is None:
                self._lineage = self._lineage_part.open("w", encoding="utf-8")
            steps = [step.as_json() for step in row.lineage]
            record = {"row_id": row.id, "origin": row.origin, "lineage": steps}
            self._lineage.write(json.dumps(record, ensure_ascii=False) + "\n")
        self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put both files in place, or remove what was begun."""
        self._sink.close()
        if self._lineage is not None:
            self._lineage.close()
        if kind is None:
            os.replace(self._part, self.path)
            if self._lineage is not None:
                os.replace(self._lineage_part, lineage_path(self.path))
        self._part.unlink(missing_ok=True)
        self._lineage_part.unlink(missing_ok=True)


def same_shape(files: Iterable[RowFile], verb: str) -> RowFile:
    """Return the file whose layout serves all, or refuse a mixture."""
    first, *others = files
    for other in others:
        if (other.layout, other.container) != (first.layout, first.container):
            raise SettingsError(
                f"{verb} writes one file, but {first.name} is {first.layout.format} in {first.container} and "
                f"{other.name} is {other.layout.format} in {other.container}; run it once per file"
            )
    return first


class _Lines:
    def __init__(self, path: Path, like: RowFile) -> None:
        packed = like.container.endswith(".gz")
        # mtime=0: the same rows give the same bytes
        self._raw = path.open("wb")
        self._file: Any = gzip.GzipFile("", "wb", 6, self._raw, 0) if packed else self._raw

    def write(self, record: dict[str, Any]) -> None:
        self._file.write(_dump(record) + b"\n")

    def close(self) -> None:
        self._file.close()
        self._raw.close()


class _Array(_Lines):
    def __init__(self, path: Path, like: RowFile) -> None:
        super().__init__(path, like)
        self._between = b"[\n"

    def write(self, record: dict[str, Any]) -> None:
        self._file.write(self._between + _dump(record))
        self._between = b",\n"

    def close(self) -> None:
        self._file.write(b"[]\n" if self._between == b"[\n" else b"\n]\n")
        super().close()


def _dump(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()


class _Parquet:
    def __init__(self, path: Path, like: RowFile) -> None:
        import pyarrow.parquet as pq

        if like.container == "hub":
            self._schema = load_hub(like.name).features.arrow_schema
        else:
            self._schema = pq.read_schema(like.path)
        self._writer = pq.ParquetWriter(path, self._schema)
        self._batch: list[dict[str, Any]] = []

    def write(self, record: dict[str, Any]) -> None:
        self._batch.append(record)
        if len(self._batch) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_pylist(self._batch, schema=self._schema))
        self._batch = []

    def close(self) -> None:
        if self._batch:
            self._flush()
        self._writer.close()


_SINKS = {"jsonl": _Lines, "json": _Array, "parquet": _Parquet, "hub": _Parquet}
