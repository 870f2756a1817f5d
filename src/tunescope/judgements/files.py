"""Judgement files as documents: their records with the line each is on, and what stands beside the records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple

from tunescope.errors import SHOWN_PROBLEMS, InputError, Problem
from tunescope.rows.containers import BOM_FOUND, read, recognise
from tunescope.rows.json_text import decode, explain, find_fault, kind

EXPECTED = "a file of judgements"
JUDGEMENTS = "judgements.jsonl"
"""The file of judgements in a run folder of ours."""
LONGEST = 2**28
"""Bytes of a file that is one JSON object; lists and lines have no limit."""


class Entry(NamedTuple):
    """One record: its line, or its number in a file that is one object, and its columns."""

    line: int | None
    number: int
    value: Mapping[str, Any]


class Document(NamedTuple):
    """A judgement file: what the user called it, its records, and what stands beside them (`Meta_Info`)."""

    path: str
    entries: list[Entry]
    head: Mapping[str, Any]

    @property
    def stem(self) -> str:
        """Its name without folder and endings."""
        return Path(self.path).name.removesuffix(".gz").rpartition(".")[0] or Path(self.path).name

    def place(self, entry: Entry) -> str:
        """Say where a record is."""
        return f"{self.path}:{entry.line}" if entry.line is not None else f"{self.path}, record {entry.number}"


class Problems:
    """Collects what is wrong in files; `refuse` raises it as one report."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, document: Document, entry: Entry, found: str, expected: str) -> None:
        """Note what a record has and what was expected."""
        where = "" if entry.line is not None else f"in record {entry.number} of data: "
        self.found.append(Problem(document.path, entry.line, where + found, expected))

    def refuse(self, next_step: str = "Fix the file and type the same command.") -> None:
        """Raise what was noted, if anything."""
        if self.found:
            raise InputError(self.found, next_step)


def expand(names: Sequence[str]) -> list[str]:
    """Return the files that paths and globs name, each once, in the order given; a judge's run folder is its file."""
    found: list[str] = []
    for name in names:
        matches = [name] if Path(name).exists() else sorted(glob(name))
        for match in matches or [name]:
            ours = Path(match, JUDGEMENTS)
            if ours.is_file():
                match = str(ours)
            if Path(match).is_dir():
                raise InputError([Problem(match, None, "a folder", EXPECTED)], f"Name its files: {match}/*")
            found.append(match)
    return list(dict.fromkeys(found))


def read_document(name: str) -> Document:
    """Read a JSON array, JSON lines (also gzipped), Parquet, or one object whose `data` is a list of records.

    Raises:
        InputError: a file that is missing, empty or unreadable, with its lines.
    """
    path = Path(name)
    if not path.is_file():
        raise InputError([Problem(name, None, "no such file", EXPECTED)])
    if path.stat().st_size == 0:
        raise InputError([Problem(name, None, "an empty file", EXPECTED)])
    container = recognise(path)
    if container == "jsonl" and (whole := _object(name, path)) is not None:
        return whole
    entries, problems = [], []
    for number, record in enumerate(read(path, container, name=name), 1):
        if record.value is not None:
            entries.append(Entry(record.line, number, record.value))
        elif record.problem is not None and record.problem.found != BOM_FOUND:
            problems.append(record.problem)
        if len(problems) > SHOWN_PROBLEMS:
            break
    if problems:
        raise InputError(problems, "Fix the file and type the same command.")
    if not entries:
        raise InputError([Problem(name, None, "no records", EXPECTED)])
    return Document(name, entries, {})


def _object(name: str, path: Path) -> Document | None:
    """Read a file that is one JSON object with a list `data`; None where its lines are records of their own."""
    with path.open("rb") as file:
        line = next((text for text in iter(file.readline, b"") if text.strip()), b"")
        rest = any(text.strip() for text in iter(file.readline, b""))
    if rest and _is_object(line):
        return None
    if path.stat().st_size > LONGEST:
        found = f"one JSON object of {path.stat().st_size:,} bytes"
        raise InputError([Problem(name, None, found, f"at most {LONGEST:,}, or one record per line")])
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
            return None  # lines; the reader of lines tells what is wrong with each
        fault = explain(error)
    if fault is not None:
        place = text.count("\n", 0, fault.position) + 1
        raise InputError([Problem(name, place, fault.found, fault.expected)])
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        return None if not rest else _refuse_object(name, value)
    entries = [Entry(None, number, item) for number, item in enumerate(value["data"], 1) if isinstance(item, dict)]
    if len(entries) < len(value["data"]):
        wrong = next(item for item in value["data"] if not isinstance(item, dict))
        raise InputError([Problem(name, None, f"{kind(wrong)} in data", "a list of objects")])
    if not entries:
        raise InputError([Problem(name, None, "no records in data", EXPECTED)])
    return Document(name, entries, {key: item for key, item in value.items() if key != "data"})


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(decode(line.decode("utf-8-sig")), dict)
    except (ValueError, RecursionError):
        return False


def _refuse_object(name: str, value: Any) -> Document:
    found = f"one object with the columns {', '.join(list(value)[:12])}" if isinstance(value, dict) else kind(value)
    raise InputError([Problem(name, None, found, "a list of records, a record per line, or an object with data")])


def texts(entry: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield the columns among `names` that hold no text, with what they hold."""
    for name in names:
        if not isinstance(entry.get(name), str):
            yield name, entry.get(name)
