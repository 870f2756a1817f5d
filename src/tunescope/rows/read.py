"""Open row files, whatever their container and format, and stream rows out of them."""

from __future__ import annotations

import glob
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from tunescope.errors import SHOWN_PROBLEMS, InputError, Problem, SettingsError
from tunescope.rows import containers, layout
from tunescope.rows.containers import Record, Span
from tunescope.rows.conversation import Refused
from tunescope.rows.layout import Layout
from tunescope.rows.row import Json, RepeatCounter, Row, Step, content_id

OnBad = Literal["refuse", "skip"]
SUFFIXES = {
    "json": ".json",
    "jsonl": ".jsonl",
    "json.gz": ".json.gz",
    "jsonl.gz": ".jsonl.gz",
    "parquet": ".parquet",
    "hub": ".parquet",
}
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(:\w+)?")
SKIP_HINT = "Mend the file, or type the same command with --on-bad skip to leave these rows out."


class Rejected(NamedTuple):
    """A record that was left out, unchanged, with the reason."""

    problem: Problem
    raw: str

    def as_json(self) -> dict[str, Json]:
        """Return the object written to `rejected.jsonl`."""
        return {
            "file": self.problem.file,
            "line": self.problem.line,
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
    history: Mapping[str, tuple[str, tuple[Step, ...]]]

    def spans(self) -> list[Span | None]:
        """Return the stretches that can be read side by side."""
        if self.container == "hub":
            return [None]
        return list(containers.spans(self.path, self.container))

    def records(self, span: Span | None = None) -> Iterator[Record]:
        """Yield the file's records, or those of one span."""
        for record in containers.read(self.path, self.container, span):
            if record.problem is not None and record.problem.file != self.name:
                record = record._replace(problem=replace(record.problem, file=self.name))
            yield record

    def rows(self, span: Span | None = None) -> Iterator[Row | Rejected]:
        """Yield a row, or what was refused, per record. Ids have no ordinals yet."""
        parse = self.layout.parse
        for line, value, problem, raw in self.records(span):
            if value is None:
                if problem is not None:
                    yield Rejected(problem, raw)
                continue
            try:
                conversation = parse(value)
            except Refused as refused:
                text = raw or json.dumps(value, ensure_ascii=False, default=str)
                yield Rejected(Problem(self.name, line, refused.found, refused.expected), text.strip())
                continue
            ident = content_id(conversation.messages, conversation.tools)
            yield Row(ident, ident, conversation.messages, conversation.tools, value, self.name, line)


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
        """Name → content hash, for the run's key."""
        return {file.name: file.hash for file in self.files}

    def __iter__(self) -> Iterator[Row]:
        """Yield rows in file order; refuse with one report, or skip, as `on_bad` says."""
        self.rejected = []
        counter = RepeatCounter()
        for file in self.files:
            for item in file.rows():
                if isinstance(item, Rejected):
                    self.reject(item)
                elif not self.rejected or self.on_bad == "skip":
                    yield with_history(replace_id(item, counter.name(item.id)), file)
        self.raise_if_refused()

    def reject(self, item: Rejected) -> None:
        """Note a refused record; stop at once when the report is full."""
        if self.on_bad == "skip" and item.problem.found == containers.BOM_FOUND:
            return
        self.rejected.append(item)
        if self.on_bad == "refuse" and len(self.rejected) > SHOWN_PROBLEMS:
            self.raise_if_refused()

    def raise_if_refused(self) -> None:
        """Raise the report of everything refused, unless rows are being skipped."""
        if self.rejected and self.on_bad == "refuse":
            raise InputError([item.problem for item in self.rejected], SKIP_HINT)


def replace_id(row: Row, ident: str) -> Row:
    """Give a freshly read row its final id; it is its own origin."""
    return row if row.id == ident else replace(row, id=ident, origin=ident)


def with_history(row: Row, file: RowFile) -> Row:
    """Add the origin and lineage that were written beside the file."""
    known = file.history.get(row.id)
    return row if known is None else replace(row, origin=known[0], lineage=known[1])


def open_rows(
    names: Iterable[str], format: str | None = None, columns: tuple[str, ...] = (), on_bad: OnBad = "refuse"
) -> RowSet:
    """Open row files by path, glob, `-` (a pipe) or data set id, and recognise what they are.

    Raises:
        InputError: a file that is missing, empty, a directory or of no known layout.
        SettingsError: an unknown format or column word.
    """
    hints = layout.parse_hints(columns)
    paths = [path for name in names for path in _expand(name)]
    if not paths:
        raise SettingsError("no row files given; type a path, a glob, - for a pipe, or a data set id")
    return RowSet([_open(name, path, format, hints, on_bad) for name, path in paths], on_bad)


def _expand(name: str) -> list[tuple[str, Path]]:
    if name == "-":
        spool = Path(tempfile.mkdtemp(prefix="tunescope-")) / "stdin"
        with spool.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        return [("-", spool)]
    path = Path(name)
    if path.exists() or not glob.has_magic(name):
        return [(name, path)]
    found = sorted(glob.glob(name, recursive=True))
    if not found:
        raise InputError([Problem(name, None, "no file that matches", "at least one")])
    return [(item, Path(item)) for item in found]


def _open(
    name: str, path: Path, format: str | None, hints: Mapping[str, str], on_bad: OnBad
) -> RowFile:
    container = _container(name, path)
    first: Problem | None = None
    for line, value, problem, _ in islice(containers.read(path, container), 1000):
        if value is None:
            first = first or problem
            continue
        try:
            found = layout.detect(value, format, hints)
        except Refused as refused:
            first = first or Problem(name, line, refused.found, refused.expected)
            continue
        digest = containers.content_hash(path) if path.exists() else name
        return RowFile(name, path, container, found, digest, _history(path))
    if first is None:
        first = Problem(name, None, "no rows", "at least one row")
    elif first.file != name:
        first = replace(first, file=name)
    hint = "Name the format with --format or the columns with --columns, for example --columns instruction=question,output=reply."
    raise InputError([first], hint if "columns" in first.found else "")


def _container(name: str, path: Path) -> str:
    if path.is_dir():
        if any((path / mark).exists() for mark in ("dataset_info.json", "dataset_dict.json", "state.json")):
            return "hub"
        raise InputError(
            [Problem(name, None, "a directory", "a file, a glob or a data set id")],
            f"Type the files instead, for example '{name.rstrip('/')}/*.jsonl'.",
        )
    if not path.exists():
        if HUB_ID.fullmatch(name) and not Path(name).parent.exists():
            return "hub"
        raise InputError([Problem(name, None, "no such file", "a file, a glob, - or a data set id")])
    return containers.recognise(path)


def lineage_path(path: Path) -> Path:
    """Return `NAME.lineage.jsonl` for a row file `NAME.json`, `NAME.jsonl.gz` …"""
    stem = path.name
    for suffix in sorted(SUFFIXES.values(), key=len, reverse=True):
        if stem.endswith(suffix):
            stem = stem.removesuffix(suffix)
            break
    return path.with_name(stem + ".lineage.jsonl")


def _history(path: Path) -> dict[str, tuple[str, tuple[Step, ...]]]:
    beside = lineage_path(path)
    if not beside.is_file():
        return {}
    history = {}
    with beside.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                steps = tuple(Step.from_json(step) for step in record["lineage"])
                history[record["row_id"]] = (record["origin"], steps)
            except (ValueError, KeyError, TypeError) as error:
                problem = Problem(str(beside), number, f"no lineage record ({error!r})", "row_id, origin, lineage")
                raise InputError([problem], "Delete the file to read the rows without their history.") from error
    return history
