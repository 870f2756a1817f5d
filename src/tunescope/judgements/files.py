"""Judgement files as documents: their records with the line each is on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple

from tunescope.errors import SHOWN_PROBLEMS, InputError, Problem
from tunescope.locations import Location, missing
from tunescope.rows.containers import read, recognise
from tunescope.rows.packing import without_packing

_EXPECTED = "a file of judgements"
JUDGEMENTS = "judgements.jsonl"
"""The file of judgements in a run folder of ours."""


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
        return Path(without_packing(Path(self.path).name)).stem


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


def read_document(
    name: str, expected: str = _EXPECTED, is_record: Callable[[Mapping[str, Any]], bool] | None = None
) -> Document:
    """Read a file of records in any container (docs/reference/row-formats.md); errors say it should be `expected`.

    `is_record` tells an object that is a record itself, though a list of objects stands in it.

    Raises:
        InputError: a file that is missing, empty or unreadable, with its lines.
    """
    path = Path(name)
    if not path.is_file():
        raise InputError([Problem(name, None, missing(path), expected)])
    if path.stat().st_size == 0:
        raise InputError([Problem(name, None, "an empty file", expected)])
    if is_record is not None and (whole := _one_object(path)) is not None and is_record(whole):
        return Document(name, [DocumentRecord(Location(name, 1, 1), whole)])
    records, problems = [], []
    for record in read(path, recognise(path), name=name):
        if record.value is not None:
            records.append(DocumentRecord(Location(name, record.line, record.record), record.value))
        elif record.problem is not None:
            problems.append(record.problem)
        if len(problems) > SHOWN_PROBLEMS:
            break
    if problems:
        raise InputError(problems, "Fix the file and type the same command.")
    if not records:
        raise InputError([Problem(name, None, "no records", expected)])
    return Document(name, records)


def _one_object(path: Path) -> dict[str, Any] | None:
    """Return the JSON object that a whole file is; None for every other file."""
    if recognise(path) != "object":
        return None
    try:
        value = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def columns_without_text(record: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield the columns among `names` that hold no text, with what they hold instead."""
    for name in names:
        if not isinstance(record.get(name), str):
            yield name, record.get(name)
