"""From opened files to rows: records are read, parsed by the file's layout, and given their ids and lineages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from tunescope.errors import SHOWN_PROBLEMS, InputError, Problem
from tunescope.rows import containers
from tunescope.rows.conversation import FormatError
from tunescope.rows.layout import Layout
from tunescope.rows.lineage import Lineage, read_lineages
from tunescope.rows.records import Chunk, FileRecord
from tunescope.rows.row import Json, RepeatCounter, Row, content_id

OnBad = Literal["refuse", "skip"]
_SKIP_HINT = "Fix the file, or type the same command with --on-bad skip to leave these rows out."


class Rejected(NamedTuple):
    """A record that was left out, unchanged, with the reason."""

    problem: Problem
    raw: str

    def as_json(self) -> dict[str, Json]:
        """Return the object written to `rejected.jsonl`."""
        return {
            "file": self.problem.file,
            "line": self.problem.line,
            "record": self.problem.record,
            "found": self.problem.found,
            "expected": self.problem.expected,
            "raw": self.raw,
        }


@dataclass(frozen=True, slots=True)
class RowFile:
    """One opened file: where it is, what it is, and the hash of its content.

    `name` is what the user typed (`-` for a pipe); `path` is where the bytes lie.
    """

    name: str
    path: Path
    container: str
    layout: Layout
    hash: str

    def chunks(self) -> list[Chunk | None]:
        """Return the parts that can be read side by side; None is the whole file."""
        return [None] if self.container == "hub" else [*containers.chunks(self.path, self.container)]

    def records(self, chunk: Chunk | None = None) -> Iterator[FileRecord]:
        """Yield the file's records, or those of one chunk."""
        return containers.read(self.path, self.container, chunk, self.name)

    def rows(self, chunk: Chunk | None = None) -> Iterator[Row | Rejected]:
        """Yield a row for every record, or what was rejected. Ids have no ordinals yet."""
        parse, name = self.layout.parser(), self.name
        for line, value, problem, raw, record in self.records(chunk):
            if value is None:
                if problem is not None:
                    yield Rejected(problem, raw)
                continue
            try:
                content = parse(value)
            except FormatError as error:
                text = raw or json.dumps(value, ensure_ascii=False, default=str)
                yield Rejected(Problem(name, line, error.found, error.expected, record), text.strip())
                continue
            row_id = content_id(*content)
            messages, tools, media, rejected = content
            yield Row(row_id, row_id, messages, tools, value, name, line, record=record, media=media, rejected=rejected)


class RowSet:
    """Rows of one or more files, streamed with their final ids.

    Iterating reads the files anew; `rejected` then holds what was skipped.
    """

    def __init__(self, files: Sequence[RowFile], on_bad: OnBad) -> None:
        """Hold the opened files; `on_bad` decides between a report and leaving rows out."""
        self.files = tuple(files)
        self.on_bad = on_bad
        self.rejected: list[Rejected] = []

    @property
    def inputs(self) -> dict[str, str]:
        """Name → content hash, for the run's key; a file that is named twice counts twice."""
        hashes: dict[str, str] = {}
        for file in self.files:
            name = file.name
            while name in hashes:
                name += " again"
            hashes[name] = file.hash
        return hashes

    def __iter__(self) -> Iterator[Row]:
        """Yield rows in file order; refuse with one report, or skip, as `on_bad` says."""
        self.rejected = []
        repeats = RepeatCounter()
        for file in self.files:
            lineages, repeats_in_file = read_lineages(file.path), RepeatCounter()
            for item in file.rows():
                if isinstance(item, Rejected):
                    self.reject(item)
                elif not self.rejected or self.on_bad == "skip":
                    row_id = repeats.name(item.id)
                    lineage = lineages.get(repeats_in_file.name(item.id)) if lineages else None
                    yield _identify(item, row_id, lineage)
        self.raise_if_rejected()

    def reject(self, item: Rejected) -> None:
        """Note a rejected record; stop at once when the report is full."""
        self.rejected.append(item)
        if self.on_bad == "refuse" and len(self.rejected) > SHOWN_PROBLEMS:
            self.raise_if_rejected()

    def raise_if_rejected(self) -> None:
        """Raise the report of all rejected records, unless rows are being skipped.

        Raises:
            InputError: with the first 20 problems.
        """
        if self.rejected and self.on_bad == "refuse":
            problems = [item.problem for item in self.rejected]
            raise InputError(problems, f"{_SKIP_HINT} {encoding_step(problems)}".strip())


def encoding_step(problems: Iterable[Problem]) -> str:
    """Return the command that converts a file in another encoding; "" where no problem is about that."""
    encoded = next((problem for problem in problems if problem.found.startswith("invalid UTF-8")), None)
    if encoded is None:
        return ""
    return (
        f"If the file is in Latin-1, as older programs write, convert it: iconv -f LATIN1 -t UTF-8 {encoded.file} > NEW"
    )


def _identify(row: Row, row_id: str, lineage: Lineage | None) -> Row:
    """Return the row with its final id, and the origin and lineage that were written beside its file."""
    if lineage is not None:
        return replace(row, id=row_id, origin=lineage.origin, lineage=lineage.steps)
    return row if row_id == row.id else replace(row, id=row_id, origin=row_id)
