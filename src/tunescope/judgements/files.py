"""Judgement files as documents: their records with the line each is on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple

from tunescope.errors import SHOWN_PROBLEMS, InputError, Problem
from tunescope.locations import Location
from tunescope.rows.containers import BOM_FOUND, read, recognise
from tunescope.rows.json_text import decode, explain, find_fault, kind

_EXPECTED = "a file of judgements"
JUDGEMENTS = "judgements.jsonl"
"""The file of judgements in a run folder of ours."""
_MAX_OBJECT_BYTES = 2**28
"""Largest file that is one JSON object; lists and lines have no limit."""


class DocumentRecord(NamedTuple):
    """One record of a file: where it is, and its columns."""

    location: Location
    value: Mapping[str, Any]


class Document(NamedTuple):
    """A judgement file: its path as the user typed it, and its records."""

    path: str
    records: list[DocumentRecord]

    @property
    def stem(self) -> str:
        """The file's name without folder and endings."""
        return Path(self.path).name.removesuffix(".gz").rpartition(".")[0] or Path(self.path).name


class Problems:
    """Collects the problems of several records, to report them together."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def add(self, record: DocumentRecord, found: str, expected: str) -> None:
        """Note what a record has and what was expected."""
        self._problems.append(Problem.at(record.location, found, expected))

    def raise_any(self, next_step: str = "Fix the file and type the same command.") -> None:
        """Raise `InputError` with all problems, if there are any."""
        if self._problems:
            raise InputError(self._problems, next_step)


def expand(names: Sequence[str]) -> list[str]:
    """Return the files that paths and globs match, each once, in the order given.

    A judge's run folder stands for its judgements.jsonl.

    Raises:
        InputError: any other folder.
    """
    files: list[str] = []
    for name in names:
        matches = [name] if Path(name).exists() else sorted(glob(name))
        for match in matches or [name]:
            inside = Path(match, JUDGEMENTS)
            if inside.is_file():
                match = str(inside)
            if Path(match).is_dir():
                raise InputError([Problem(match, None, "a folder", _EXPECTED)], f"Name its files: {match}/*")
            files.append(match)
    return list(dict.fromkeys(files))


def read_document(name: str) -> Document:
    """Read a JSON array, JSON lines (also gzipped), Parquet, or one object whose `data` is a list of records.

    Raises:
        InputError: a file that is missing, empty or unreadable, with its lines.
    """
    path = Path(name)
    if not path.is_file():
        raise InputError([Problem(name, None, "no such file", _EXPECTED)])
    if path.stat().st_size == 0:
        raise InputError([Problem(name, None, "an empty file", _EXPECTED)])
    container = recognise(path)
    if container == "jsonl" and (whole := _object(name, path)) is not None:
        return whole
    records, problems = [], []
    for record in read(path, container, name=name):
        if record.value is not None:
            records.append(DocumentRecord(Location(name, record.line, record.record), record.value))
        elif record.problem is not None and record.problem.found != BOM_FOUND:
            problems.append(record.problem)
        if len(problems) > SHOWN_PROBLEMS:
            break
    if problems:
        raise InputError(problems, "Fix the file and type the same command.")
    if not records:
        raise InputError([Problem(name, None, "no records", _EXPECTED)])
    return Document(name, records)


def _object(name: str, path: Path) -> Document | None:
    """Read a file that is one JSON object with a list `data`; None where its lines are records of their own."""
    with path.open("rb") as file:
        line = next((text for text in iter(file.readline, b"") if text.strip()), b"")
        rest = any(text.strip() for text in iter(file.readline, b""))
    if rest and _is_object(line):
        return None
    if path.stat().st_size > _MAX_OBJECT_BYTES:
        found = f"one JSON object of {path.stat().st_size:,} bytes"
        raise InputError([Problem(name, None, found, f"at most {_MAX_OBJECT_BYTES:,}, or one record per line")])
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = Problem(name, None, f"invalid UTF-8 (byte 0x{error.object[error.start]:02x})", "UTF-8")
        raise InputError([problem]) from error
    try:
        value = decode(text)
        fault = find_fault(value, text)
    except (ValueError, RecursionError) as error:
        if rest:
            return None  # JSON lines; their reader reports each faulty line
        fault = explain(error)
    if fault is not None:
        place = text.count("\n", 0, fault.position) + 1
        raise InputError([Problem(name, place, fault.found, fault.expected)])
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        return None if not rest else _reject_object(name, value)
    records = [
        DocumentRecord(Location(name, None, number), item)
        for number, item in enumerate(value["data"], 1)
        if isinstance(item, dict)
    ]
    if len(records) < len(value["data"]):
        wrong = next(item for item in value["data"] if not isinstance(item, dict))
        raise InputError([Problem(name, None, f"{kind(wrong)} in data", "a list of objects")])
    if not records:
        raise InputError([Problem(name, None, "no records in data", _EXPECTED)])
    return Document(name, records)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(decode(line.decode("utf-8-sig")), dict)
    except (ValueError, RecursionError):
        return False


def _reject_object(name: str, value: Any) -> Document:
    found = f"one object with the columns {', '.join(list(value)[:12])}" if isinstance(value, dict) else kind(value)
    raise InputError([Problem(name, None, found, "a list of records, a record per line, or an object with data")])


def columns_without_text(record: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield the columns among `names` that hold no text, with what they hold instead."""
    for name in names:
        if not isinstance(record.get(name), str):
            yield name, record.get(name)
