"""Benchmark files: JSON, JSON lines, CSV, text and Parquet, item by item.

An item's texts are all strings in its record.
"""

from __future__ import annotations

import csv
import glob
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from tunescope.errors import InputError, Problem
from tunescope.locations import Location
from tunescope.rows import containers
from tunescope.rows.row import Json

_SUFFIXES = (".json", ".jsonl", ".csv", ".txt", ".parquet")


class _BenchmarkItem(NamedTuple):
    """One benchmark item: where it is, and the texts in it."""

    location: Location
    texts: tuple[str, ...]


def find_files(names: Sequence[str]) -> list[Path]:
    """Return the benchmark files that paths, folders and globs name, each once.

    Raises:
        InputError: a name stands for none.
    """
    paths: list[Path] = []
    for name in names:
        matches = [Path(name)] if Path(name).exists() else [Path(p) for p in sorted(glob.glob(name, recursive=True))]
        files = [q for p in matches for q in (sorted(p.rglob("*")) if p.is_dir() else [p]) if q.is_file()]
        files = [p for p in files if p.name.removesuffix(".gz").endswith(_SUFFIXES)]
        if not files:
            expected = "a .json, .jsonl, .csv, .txt or .parquet file, or a folder with some"
            raise InputError([Problem(name, None, "no benchmark file", expected)])
        paths.extend(files)
    return list(dict.fromkeys(paths))


def read_items(path: Path) -> Iterator[_BenchmarkItem]:
    """Yield a benchmark file's items.

    Raises:
        InputError: a record can't be read.
    """
    name, plain_name = str(path), path.name.removesuffix(".gz")
    try:
        if plain_name.endswith((".csv", ".txt")):
            with _open_text(path) as file:
                yield from _read_csv(name, file) if plain_name.endswith(".csv") else _read_lines(name, file)
            return
        values = _read_object(path) if plain_name.endswith(".json") else None
    except (UnicodeDecodeError, csv.Error, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError([Problem(name, None, f"text that can't be read ({error})", "text in UTF-8")]) from error
    if values is not None:
        for number, value in enumerate(values, 1):
            yield _BenchmarkItem(Location(name, None, number), tuple(_list_strings(value)))
        return
    for record in containers.read(path, containers.recognise(path)):
        if record.problem is not None:
            raise InputError([record.problem])
        location = Location(name, record.line, record.record)
        yield _BenchmarkItem(location, tuple(_list_strings(record.value)))


def _open_text(path: Path) -> IO[str]:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _read_csv(name: str, file: IO[str]) -> Iterator[_BenchmarkItem]:
    reader, line = csv.reader(file), 1
    for cells in reader:
        if cells:
            yield _BenchmarkItem(Location(name, line), tuple(cells))
        line = reader.line_num + 1


def _read_lines(name: str, file: IO[str]) -> Iterator[_BenchmarkItem]:
    for line, text in enumerate(file, 1):
        if not text.isspace():
            yield _BenchmarkItem(Location(name, line), (text,))


def _read_object(path: Path) -> list[Json] | None:
    """Return the items of a file that is one JSON object (BIG-bench's task.json), None for one that isn't."""
    with _open_text(path) as file:
        text = file.read(4096).lstrip()
        if not text.startswith("{"):
            return None
        try:
            whole = json.loads(text + file.read())
        except (ValueError, RecursionError):
            return None  # JSON lines, or broken: their reader says which
    examples = whole.get("examples")
    return examples if isinstance(examples, list) else [whole]


def _list_strings(value: Json) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _list_strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _list_strings(item)
