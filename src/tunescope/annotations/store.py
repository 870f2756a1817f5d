"""The marks of a study: an SQLite file in its run folder, to which versions are added and from which nothing is taken.

A mark is a series of versions. Changing it adds one, and so do deleting it and a reviewer's correction. A change says
which version it was made from, so that of two tabs with the same mark only the first changes it. A version that was
added is on the disk when `write` returns, whatever becomes of the process.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from tunescope.errors import MarkConflict, RunError, WorkError
from tunescope.foreign import dump_json
from tunescope.oracle.journal_file import transaction
from tunescope.results.annotate import Mark

MARKS_FILE = "marks.db"
"""The file's name in the study's run folder."""
_APPLICATION_ID = int.from_bytes(b"tsma")
_FORMAT = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS marks (
    mark_id TEXT NOT NULL, version INTEGER NOT NULL, item_id TEXT NOT NULL, annotator TEXT NOT NULL,
    kind TEXT NOT NULL, phase TEXT NOT NULL, value TEXT NOT NULL, note TEXT NOT NULL, sources TEXT NOT NULL,
    reviewer TEXT, deleted INTEGER NOT NULL, at TEXT NOT NULL, PRIMARY KEY (mark_id, version)
);
CREATE INDEX IF NOT EXISTS by_item ON marks (item_id, annotator);
CREATE TABLE IF NOT EXISTS finished (item_id TEXT NOT NULL, annotator TEXT NOT NULL, is_finished INTEGER NOT NULL,
    at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS links (hash TEXT PRIMARY KEY, name TEXT NOT NULL, at TEXT NOT NULL, revoked TEXT);
CREATE TABLE IF NOT EXISTS sessions (hash TEXT PRIMARY KEY, link TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS asked_prompts (try_id TEXT PRIMARY KEY, item_id TEXT NOT NULL, annotator TEXT NOT NULL,
    prompt TEXT NOT NULL, at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS prompts_of ON asked_prompts (item_id, annotator);
CREATE TABLE IF NOT EXISTS prompt_answers (try_id TEXT PRIMARY KEY, model TEXT NOT NULL, answer TEXT, failure TEXT,
    at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS comments (item_id TEXT NOT NULL, annotator TEXT NOT NULL, version INTEGER NOT NULL,
    text TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (item_id, annotator, version));
CREATE TABLE IF NOT EXISTS returned_pilots (annotator TEXT NOT NULL, at TEXT NOT NULL)
"""
_COLUMNS = "mark_id, version, item_id, annotator, kind, phase, value, note, sources, reviewer, deleted, at"


class MarkVersion(NamedTuple):
    """A version of a mark.

    Attributes:
        mark: what it says; `original` is the annotator's last value where a reviewer corrected it.
        version: its number, from 1.
        deleted: the mark was taken back with this version.
    """

    mark: Mark
    version: int
    deleted: bool


class MarkStore:
    """The marks in a study's folder; used as `with MarkStore(folder) as store`, from several threads if need be."""

    def __init__(self, folder: Path) -> None:
        """Open the file, or begin it.

        Raises:
            RunError: it is something else, of a newer version, or can't be written.
        """
        self._path, self._lock = folder / MARKS_FILE, Lock()
        try:
            self._file = _connect(self._path, "rwc")
            try:
                _require_marks(self._path, self._file, is_new=True)
                self._file.execute("PRAGMA journal_mode = WAL")
                self._file.execute("PRAGMA synchronous = FULL")  # a mark takes a person seconds, and this 1 to 10 ms
                with transaction(self._file):
                    for statement in _SCHEMA.split(";"):
                        self._file.execute(statement)
                    self._file.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                    self._file.execute(f"PRAGMA user_version = {_FORMAT}")
            except BaseException:
                self._file.close()
                raise
        except sqlite3.Error as error:
            raise RunError(f"{self._path}: found no file of marks that can be written ({error})") from error

    def __enter__(self) -> MarkStore:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Change the file as a whole or not at all; raises `WorkError` where it can't be written."""
        with self._lock:
            try:
                with transaction(self._file):
                    yield self._file
            except sqlite3.Error as error:
                raise WorkError(f"{self._path}: marks can't be kept ({error})") from error

    def write(self, mark: Mark, base: int, deleted: bool = False) -> int:
        """Add a version of a mark and return its number; the version is on the disk then.

        The same version sent twice is added once: the second time its number is returned. `mark.original` isn't kept,
        since earlier versions say it.

        Args:
            mark: what it says now; `reviewer` where it is a reviewer's correction.
            base: the version that was changed; 0 for a new mark.
            deleted: take the mark back; its value stays as the version says it.

        Raises:
            MarkConflict: the mark has a newer version, or is another's.
            WorkError: the disk is full, or the file can't be written.
        """
        with self.changing() as file:
            versions = _versions(file, "mark_id = ?", mark.mark_id)
            newest = versions[-1] if versions else None
            if newest is not None:
                _require_same_place(mark, newest.mark)
                if newest.version == base + 1 and newest.deleted == deleted and _says(newest.mark) == _says(mark):
                    return newest.version
            _require_base(mark, base, newest)
            values = (mark.item_id, mark.annotator, mark.kind, mark.phase, dump_json(mark.value), mark.note)
            row = (mark.mark_id, base + 1, *values, mark.sources, mark.reviewer, deleted, mark.at or utc_now())
            file.execute(f"INSERT INTO marks ({_COLUMNS}) VALUES ({', '.join('?' * 12)})", row)
        return base + 1

    def look_up(self, query: str, *values: str) -> tuple[Any, ...] | None:
        """Return the first row of a query that changes nothing; None without one."""
        return next(iter(self.look_up_all(query, *values)), None)

    def look_up_all(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query that changes nothing."""
        with self._lock:
            return self._file.execute(query, values).fetchall()

    def finish(self, item_id: str, annotator: str, is_finished: bool = True) -> None:
        """Keep that an annotator is done with an item, or isn't any more; without marks it means that none is needed.

        Raises:
            WorkError: the file can't be written.
        """
        with self.changing() as file:
            file.execute("INSERT INTO finished VALUES (?, ?, ?, ?)", (item_id, annotator, is_finished, utc_now()))

    def finished(self, annotator: str | None = None) -> set[tuple[str, str]]:
        """Return the finished items as (item id, annotator)."""
        with self._lock:
            return {pair for pair in _finished(self._file) if annotator is None or pair[1] == annotator}

    def marks(self, item_id: str | None = None, annotator: str | None = None) -> list[MarkVersion]:
        """Return the newest version of each mark that isn't deleted, in the order in which the marks were begun."""
        names = {"item_id": item_id, "annotator": annotator}
        given = {name: value for name, value in names.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in given) or "1"
        with self._lock:
            return _newest(_versions(self._file, where, *given.values()))

    def history(self, mark_id: str) -> list[MarkVersion]:
        """Return all versions of a mark, the oldest first."""
        with self._lock:
            return _versions(self._file, "mark_id = ?", mark_id)


def read_marks(folder: Path) -> list[Mark]:
    """Read the newest version of each mark of a study that isn't deleted, in the order in which they were begun.

    A mark that a reviewer corrected has the correction in `value` and the annotator's own in `original`. The study may
    be served meanwhile.

    Raises:
        RunError: there are no marks yet, or the file is something else.
    """
    with reading(folder) as file:
        return [each.mark for each in _newest(_versions(file, "1"))]


def read_finished(folder: Path) -> set[tuple[str, str]]:
    """Read which items annotators are done with, as (item id, annotator).

    An item of a study of spans that is finished and has no marks is one in which nothing is wrong.

    Raises:
        RunError: as `read_marks`.
    """
    with reading(folder) as file:
        return _finished(file)


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open a study's file for reading alone; it may be served meanwhile. Raises `RunError` as `read_marks`."""
    path = folder / MARKS_FILE
    if not path.is_file():
        raise RunError(f"{path}: found no marks; let annotators make them with: tunescope annotate serve {folder}")
    try:
        with closing(_connect(path, "ro")) as file:
            _require_marks(path, file, is_new=False)
            yield file
    except sqlite3.Error as error:
        raise RunError(f"{path}: found no marks that can be read ({error})") from error


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=60.0, isolation_level=None)


def _require_marks(path: Path, file: sqlite3.Connection, is_new: bool) -> None:
    """Raise `RunError` for another program's database, and for marks of a newer version."""
    application, version = (
        int(file.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("application_id", "user_version")
    )
    is_empty = file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if application != _APPLICATION_ID and not (is_new and is_empty):
        raise RunError(f"{path}: found a database of another program; expected marks that tunescope wrote")
    if version > _FORMAT:
        raise RunError(f"{path}: found marks of format {version}; this tunescope knows formats up to {_FORMAT}")


def _versions(file: sqlite3.Connection, where: str, *values: Any) -> list[MarkVersion]:
    """Return versions of marks in the order of `rowid`, each with the annotator's own value where it was corrected."""
    found: list[MarkVersion] = []
    own: dict[str, Any] = {}
    for row in file.execute(f"SELECT {_COLUMNS} FROM marks WHERE {where} ORDER BY rowid", values):
        mark_id, version, item_id, annotator, kind, phase, text, note, sources, reviewer, deleted, at = row
        value = json.loads(text)
        if reviewer is None:
            own[mark_id] = value
        original = None if reviewer is None else own.get(mark_id)
        mark = Mark(
            mark_id=mark_id,
            item_id=item_id,
            annotator=annotator,
            kind=kind,
            phase=phase,
            value=value,
            note=note,
            sources=sources,
            reviewer=reviewer,
            original=original,
            at=at,
        )
        found.append(MarkVersion(mark, version, bool(deleted)))
    return found


def _newest(versions: list[MarkVersion]) -> list[MarkVersion]:
    newest = {each.mark.mark_id: each for each in versions}
    return [each for each in newest.values() if not each.deleted]


def _finished(file: sqlite3.Connection) -> set[tuple[str, str]]:
    rows = file.execute("SELECT item_id, annotator, is_finished FROM finished ORDER BY rowid")
    last = {(item_id, annotator): is_finished for item_id, annotator, is_finished in rows}
    return {pair for pair, is_finished in last.items() if is_finished}


def _says(mark: Mark) -> Mark:
    """Return a mark without what differs between two tries to send it."""
    return replace(mark, value=json.loads(json.dumps(mark.value)), original=None, at="")


def _require_same_place(mark: Mark, before: Mark) -> None:
    """Raise `MarkConflict` where a mark would move to another item or annotator."""
    if (mark.item_id, mark.annotator, mark.kind) != (before.item_id, before.annotator, before.kind):
        raise MarkConflict("this mark is of another item or another annotator; reload the page")


def _require_base(mark: Mark, base: int, newest: MarkVersion | None) -> None:
    """Raise `MarkConflict` where a change wasn't made from the newest version, or would undo a reviewer's."""
    if newest is None:
        if base:
            raise MarkConflict(f"this mark has no version {base}; reload the page")
    elif newest.version != base:
        who = "a reviewer" if newest.mark.reviewer is not None else "another tab"
        raise MarkConflict(f"{who} changed this mark (version {newest.version}, yours was {base}); reload the page")
    elif newest.mark.reviewer is not None and mark.reviewer is None:
        raise MarkConflict("a reviewer corrected this mark, so it can't be changed any more")


def utc_now() -> str:
    """Return the time as the file keeps it: UTC, ISO 8601, in milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
