"""Files of marks in our format and in those of other programs: one module each, which defines its `FORMAT`.

Other programs keep less than we do: neither the pilot nor what a reviewer corrected. So only marks of the main study
are written for them, with the corrections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from tunescope.errors import InputError, Problem, SettingsError
from tunescope.family import members
from tunescope.judgements.files import Document, DocumentRecord
from tunescope.locations import Location
from tunescope.results.annotate import Mark, StudyItem, StudyKind
from tunescope.rows.json_text import FormatError, list_columns


@dataclass
class FileMarks:
    """What a file holds: marks with their places, the items where it has their texts, and what is wrong in it."""

    marks: list[tuple[Mark, Location]] = field(default_factory=list)
    items: dict[str, StudyItem] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, record: DocumentRecord, marks: Iterable[Mark]) -> None:
        """Add a record's marks, or what keeps it from having any."""
        try:
            self.marks += [(mark, record.location) for mark in marks]
        except FormatError as error:
            self.fail(record, error)

    def fail(self, record: DocumentRecord, error: FormatError) -> None:
        """Note what is wrong with a record."""
        self.problems.append(Problem.at(record.location, error.found, error.expected))


@dataclass(frozen=True, kw_only=True)
class MarkFormat:
    """A format of files of marks.

    Attributes:
        name: the word that `--format` takes.
        shape: what a record looks like, for errors.
        files: which of a folder's files are read, as patterns.
        detect: whether a file's first record has this format.
        read: reads all files of a call at once.
        write: marks and their items → files by name, for a program that takes this format.
    """

    name: str
    shape: str
    files: tuple[str, ...]
    detect: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Sequence[Document]], FileMarks]
    write: Callable[[Sequence[Mark], Mapping[str, StudyItem]], dict[str, str]]


def known_formats() -> Mapping[str, MarkFormat]:
    """Return the formats by name."""
    from tunescope.annotations import formats

    return {module.FORMAT.name: module.FORMAT for module in members(formats)}


def is_record(value: Mapping[str, Any]) -> bool:
    """Tell whether an object is a record of one of the formats, such as a single task of Label Studio."""
    return any(each.detect(value) for each in known_formats().values())


def format_of(documents: Sequence[Document], name: str | None) -> MarkFormat:
    """Return the format named, or the one that the first records of all files have.

    Raises:
        InputError: a file of no known format.
        SettingsError: files of several formats.
    """
    formats = known_formats()
    if name is not None:
        return formats[name]
    detected: dict[str, str] = {}
    for document in documents:
        record = document.records[0]
        its_format = next((each for each in formats.values() if each.detect(record.value)), None)
        if its_format is None:
            shapes = "; or ".join(f"{each.name}: {each.shape}" for each in formats.values())
            raise InputError([Problem.at(record.location, f"columns {list_columns(record.value)}", shapes)])
        detected.setdefault(its_format.name, document.path)
    if len(detected) > 1:
        listed = ", ".join(f"{path} is {name}" for name, path in detected.items())
        raise SettingsError(f"files of several formats ({listed}); name files of one format")
    return formats[next(iter(detected))]


def foreign_mark(item_id: str, annotator: str, kind: StudyKind, value: Mapping[str, Any], note: str = "") -> Mark:
    """Make the mark that a file of another program holds; its id is a hash of it."""
    content = repr((item_id, annotator, kind, sorted(value.items(), key=str)))
    mark_id = blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return Mark(
        mark_id=mark_id, item_id=item_id, annotator=annotator, kind=kind, phase="main", value=dict(value), note=note
    )
