"""Parquet files and Hugging Face data sets: one record per row of an Arrow table."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from tunescope.errors import InputError, MissingPackageError, Problem
from tunescope.rows.json_text import abbreviate
from tunescope.rows.records import Chunk, FileRecord, bad_record
from tunescope.rows.row import Json

BATCH = 1024
_SAVED_MARKS = ("dataset_info.json", "dataset_dict.json", "state.json")
"""Files by which a folder that `save_to_disk` wrote is known."""


def cut(path: Path, step: int) -> list[Chunk]:
    """Cut between row groups: each chunk has at least `step` unpacked bytes, the last one what remains."""
    import pyarrow.parquet as pq

    chunks: list[Chunk] = []
    start, line, rows, size = 0, 1, 0, 0
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            rows, size = rows + group.num_rows, size + group.total_byte_size
            if size >= step or number + 1 == file.num_row_groups:
                chunks.append(Chunk(start, number + 1, line))
                start, line, rows, size = number + 1, line + rows, 0, 0
    return chunks


def read_parquet(name: str, path: Path, chunk: Chunk | None) -> Iterator[FileRecord]:
    """Yield the rows of a Parquet file, or of some of its row groups."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            groups = list(range(chunk.start, chunk.end)) if chunk else None
            batches = file.iter_batches(batch_size=BATCH, row_groups=groups)
            yield from _records(name, file.schema_arrow, batches, chunk.line if chunk else 1)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        why = abbreviate(str(error).partition("\n")[0], quoted=False)
        yield bad_record(name, 0, f"a Parquet file that can't be read ({why})", "a whole Parquet file")


def read_arrow(name: str, path: Path) -> Iterator[FileRecord]:
    """Yield the rows of an Arrow file or stream, such as the files of the `datasets` package."""
    import pyarrow as pa

    try:
        with _open_arrow(path) as reader:
            yield from _records(name, reader.schema, reader, 1)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        why = abbreviate(str(error).partition("\n")[0], quoted=False)
        yield bad_record(name, 0, f"an Arrow file that can't be read ({why})", "a whole Arrow file")


@contextmanager
def _open_arrow(path: Path) -> Iterator[Any]:
    """Open an Arrow file or stream; yield a reader with its schema that yields batches."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        if path.open("rb").read(6) == b"ARROW1":
            reader = pa.ipc.open_file(source)
            batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
            yield pa.RecordBatchReader.from_batches(reader.schema, batches)
        else:
            yield pa.ipc.open_stream(source)


def read_hub(name: str) -> Iterator[FileRecord]:
    """Yield the rows of a data set that `load_hub` opens."""
    data = load_hub(name)
    yield from _records(name, data.features.arrow_schema, data.with_format("arrow").iter(batch_size=BATCH), 1)


def _records(name: str, schema: Any, batches: Iterable[Any], line: int) -> Iterator[FileRecord]:
    repeated = sorted({column for column in schema.names if schema.names.count(column) > 1})
    if repeated:
        yield bad_record(name, 0, f"two columns called {abbreviate(repeated[0])}", "a name per column")
        return
    floats = [field.name for field in schema if _holds_floats(field.type)]
    for batch in batches:
        for value in batch.to_pylist():
            bad = next((column for column in floats if not _finite(value[column])), None)
            if bad is None:
                yield FileRecord(line, value)
            else:
                found = f"NaN or infinity in column {abbreviate(bad)}"
                yield bad_record(name, line, found, "finite numbers or null", json.dumps(value, default=str))
            line += 1


def _holds_floats(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_floating(kind):
        return True
    if pa.types.is_dictionary(kind):
        return _holds_floats(kind.value_type)
    return any(_holds_floats(kind.field(i).type) for i in range(kind.num_fields))


def _finite(value: Json) -> bool:
    if isinstance(value, float):
        return value - value == 0
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(_finite, value))


def is_saved(folder: Path) -> bool:
    """Return whether `save_to_disk` wrote a folder."""
    return any((folder / mark).exists() for mark in _SAVED_MARKS)


def load_hub(name: str) -> Any:
    """Open the data set `ID`, `ID:SPLIT` or `ID:CONFIG:SPLIT`, or a folder that `save_to_disk` wrote.

    The split is `train` unless it is named or there is only one.
    """
    _skip_retries_offline()
    try:
        import datasets
    except ImportError as error:
        raise MissingPackageError("datasets", "models", f"reading the data set {name}") from error
    ident, config, split = _split_name(name)
    try:
        if Path(ident).is_dir():
            data = datasets.load_from_disk(ident)
        else:
            data = datasets.load_dataset(ident, config, split=split or "train")
    except ConnectionError as error:
        found = "no file or folder of that name, and the hub can't be reached, nor is there a copy in its cache"
        raise InputError([Problem(name, None, found, "a file or folder that is here, or a data set's id")]) from error
    except Exception as error:
        why = f"{type(error).__name__}: {abbreviate(str(error).partition(chr(10))[0], quoted=False, limit=300)}"
        expected = "a file, a folder, ID, ID:SPLIT or ID:CONFIG:SPLIT"
        raise InputError([Problem(name, None, f"no data set that opens ({why})", expected)]) from error
    if not isinstance(data, datasets.DatasetDict):
        return data
    chosen = split or ("train" if "train" in data or len(data) != 1 else next(iter(data)))
    if chosen not in data:
        problem = Problem(name, None, f"the splits {', '.join(data)}", f"one called {chosen!r}")
        raise InputError([problem], f"Name the split, for example {ident}:{next(iter(data))}.")
    return data[chosen]


def _split_name(name: str) -> tuple[str, str | None, str | None]:
    """Split `ID:CONFIG:SPLIT`; a split may be a slice, such as `train[:100]`."""
    if Path(name).is_dir():
        return name, None, None
    ident, _, rest = name.partition(":")
    config, colon, split = rest.partition(":")
    if not colon or "[" in config:
        return ident, None, rest or None
    return ident, config, split


def _skip_retries_offline() -> None:
    """Without a network, stop the hub's client from half a minute of retries; its cache still works."""
    host = urlsplit(os.environ.get("HF_ENDPOINT", "")).hostname or "huggingface.co"
    if "huggingface_hub" in sys.modules or getproxies():
        return
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def schema(container: str, name: str, path: Path) -> Any:
    """Return the Arrow schema of a table or a data set; of types such as JSON, the types they are stored in."""
    import pyarrow as pa

    own = _own_schema(container, name, path)
    return pa.schema([field.with_type(_storage_type(field.type)) for field in own], own.metadata)


def _storage_type(kind: Any) -> Any:
    """Return a type without the extensions in it, into which Arrow can't convert Python's values."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return kind.storage_type
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_storage_type(field.type)) for field in kind])
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_storage_type(kind.value_type)))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_storage_type(kind.value_type)))
    return kind


def _own_schema(container: str, name: str, path: Path) -> Any:
    """Return the schema as the file or the data set has it."""
    import pyarrow.parquet as pq

    if container == "arrow":
        with _open_arrow(path) as reader:
            return reader.schema
    return load_hub(name).features.arrow_schema if container == "hub" else pq.read_schema(path)
