"""Row files in every container, for the tests of this room."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunescope.errors import InputError
from tunescope.rows import Rejected, Row, RowSet, RowWriter, open_rows

CONTAINERS = ("json", "jsonl", "json.gz", "jsonl.gz", "parquet")

Records = list[dict[str, Any]]


def put(path: Path, records: Records, indent: int | None = None) -> Path:
    """Write records into a new file, in the container that its suffix names."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
        return path
    if ".jsonl" in path.name:
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    else:
        text = json.dumps(records, ensure_ascii=False, indent=indent)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def back(path: Path) -> Records:
    """Read a file again, not by our own readers."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return [json.loads(line) for line in text.split("\n") if line] if ".jsonl" in path.name else json.loads(text)


def write_again(rows: RowSet, folder: Path, name: str = "out") -> Path:
    """Write all rows like their first file."""
    with RowWriter(folder, name, rows.files[0]) as writer:
        for row in rows:
            writer.write(row)
    return writer.path


def read(path: Path, **options: Any) -> list[Row]:
    return list(open_rows([str(path)], **options))


def problems(path: Path | str, **options: Any) -> list[str]:
    """Return the lines of the report that a file gets, its folder left out."""
    with pytest.raises(InputError) as caught:
        list(open_rows([str(path)], **options))
    return str(caught.value).replace(f"{Path(path).parent}/", "").split("\n")


def skipped(path: Path, **options: Any) -> tuple[list[Row], list[Rejected]]:
    """Return the rows and the rejected records of a file read with on_bad=skip."""
    rows = open_rows([str(path)], on_bad="skip", **options)
    return list(rows), rows.rejected


def real(*names: str) -> Path:
    """Return the path of a real file, or skip the test where it is absent."""
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("TUNESCOPE_TEST_DATA", root / "../shared/data"))
    path = folder.joinpath(*names)
    if not path.exists():
        pytest.skip(f"needs the real file {'/'.join(names)} in TUNESCOPE_TEST_DATA or ../shared/data")
    return path
