"""The journal's file: what is taken for one, what it holds, and how SQLite keeps it.

A journal has our application id and the number of its format; those of format 1 have neither, and are known by their
one table. Nothing is written into any other file.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from tunescope.errors import RunError
from tunescope.oracle import holders
from tunescope.oracle.journal_rescue import rescue
from tunescope.progress import say

_APPLICATION_ID = int.from_bytes(b"tsjn")
_FORMAT = 2
"""Format 1 had the table of replies alone, without the columns `max_tokens` and `holder`. It can still be read by who
knows format 1, and is by us."""
_COLUMNS = frozenset({"number", "key", "characters", "body", "seconds", "at"})
_NEW_COLUMNS = {"max_tokens": "INTEGER", "holder": "INTEGER"}
_DIGEST = "digest"
"""Of the reply, since 2026-12; journals of format 2 from before lack it, and who knows format 2 alone can use it."""
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS replies (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, characters INTEGER, body BLOB NOT NULL,
    seconds REAL, at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_key ON replies (key);
CREATE TABLE IF NOT EXISTS reservations (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, holder INTEGER, prompt INTEGER NOT NULL, completion INTEGER NOT NULL
);
{holders.SCHEMA}
"""
_EXPECTED = "expected a file that tunescope wrote, or a new one; name another with --journal"
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs"})
"""File systems whose files several machines may have open, for which SQLite's write-ahead log isn't made."""


def open_file(path: Path, vfs: str | None = None) -> sqlite3.Connection:
    """Open a journal, or begin one, in autocommit mode; `vfs` is SQLite's way to the file where not the usual one.

    Raises:
        RunError: it is something else, of a newer version, or can't be written; nothing was written then.
    """
    try:
        if path.is_file() and path.stat().st_size > 0:
            rescue(path, _connect, open_file)
        _require_place(path)
        if path.is_file() and path.stat().st_size > 0:
            # a rollback file is of a process that was killed in its first moments; who rolls back has to write
            as_it_is = "&immutable=1" if Path(f"{path}-journal").exists() else ""
            with closing(_connect(path, f"ro{as_it_is}", vfs)) as file:
                _require_journal(path, file)
        file = _connect(path, "rwc", vfs)
        try:
            _use_log(path, file)
            with transaction(file):
                _require_journal(path, file)
                is_new = _complete(file)
            if is_new and not has_log(file):
                say(f"{path}: its file system takes no write-ahead log, so each reply waits for the disk")
        except BaseException:
            file.close()
            raise
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: found no journal that can be written ({error}); {_EXPECTED}") from error
    return file


@contextmanager
def transaction(file: sqlite3.Connection) -> Iterator[None]:
    """Change the file as a whole or not at all; others wait until it ends."""
    file.execute("BEGIN IMMEDIATE")
    try:
        yield
        file.execute("COMMIT")
    except BaseException:
        if file.in_transaction:
            file.execute("ROLLBACK")
        raise


def _connect(path: Path, mode: str, vfs: str | None = None) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}{'' if vfs is None else f'&vfs={vfs}'}"
    return sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=60.0, isolation_level=None)


def _require_place(path: Path) -> None:
    """Raise `RunError` where no database can be."""
    if path.is_dir():
        raise RunError(f"{path}: found a folder, no journal; {_EXPECTED}")
    if not path.parent.is_dir():
        raise RunError(f"{path}: found no folder {path.parent}; make it, or name another journal with --journal")
    if path.exists():
        if not path.is_file():
            raise RunError(f"{path}: found something that is no file; {_EXPECTED}")
        with path.open("rb") as file:
            start = file.read(16)
        if start and start != b"SQLite format 3\0":
            raise RunError(f"{path}: found no journal, but something that begins with {start[:16]!r}; {_EXPECTED}")
        if not os.access(path, os.W_OK):
            raise RunError(f"{path}: found a journal that can't be written; change its permissions, or copy it")


def _require_journal(path: Path, file: sqlite3.Connection) -> None:
    """Raise `RunError` for another program's database, and for a journal of a newer version."""
    application, version = (int(_pragma(file, name)) for name in ("application_id", "user_version"))
    if application == _APPLICATION_ID:
        if version > _FORMAT:
            raise RunError(
                f"{path}: found a journal of format {version}; this tunescope knows formats up to {_FORMAT}; update "
                "it, or name another journal with --journal"
            )
        if _COLUMNS | _NEW_COLUMNS.keys() <= _columns(file):
            return
    names = file.execute("SELECT name FROM sqlite_master WHERE type != 'index' AND name NOT LIKE 'sqlite_%'")
    tables = sorted(str(name) for (name,) in names)
    if application == version == 0 and (not tables or (tables == ["replies"] and _columns(file) == _COLUMNS)):
        return
    held = f"with the tables {', '.join(tables[:5])}" if tables else "of another program"
    raise RunError(f"{path}: found no journal, but a database {held}; {_EXPECTED}")


def _complete(file: sqlite3.Connection) -> bool:
    """Make what format 2 has and the file lacks; tell whether it was another."""
    if int(_pragma(file, "user_version")) == _FORMAT:
        if _DIGEST not in _columns(file):
            file.execute(f"ALTER TABLE replies ADD COLUMN {_DIGEST} TEXT")
        return False
    for statement in _SCHEMA.split(";"):
        file.execute(statement)
    for name, kind in {**_NEW_COLUMNS, _DIGEST: "TEXT"}.items():
        file.execute(f"ALTER TABLE replies ADD COLUMN {name} {kind}")
    file.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    file.execute(f"PRAGMA user_version = {_FORMAT}")
    return True


def has_log(file: sqlite3.Connection) -> bool:
    """Tell whether SQLite writes a log ahead, which is moved into the file later."""
    return _pragma(file, "journal_mode") == "wal"


def _use_log(path: Path, file: sqlite3.Connection) -> None:
    """Have SQLite write a log ahead, where the file system can.

    Without one each transaction is written to the disk before the next, which is slower and no less safe.
    """
    with suppress(sqlite3.OperationalError):
        _pragma(file, f"journal_mode = {'DELETE' if _file_system(path) in _NETWORK else 'WAL'}")
    file.execute(f"PRAGMA synchronous = {'NORMAL' if has_log(file) else 'FULL'}")
    file.execute("PRAGMA wal_autocheckpoint = 0")  # the journal does it, where it holds up nobody


def _file_system(path: Path) -> str:
    """Return the kind of file system that a file is on; "" where that can't be known."""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines()
    except OSError:  # not Linux
        return ""
    folder, best, kind = path.absolute().parent.resolve(), -1, ""
    for line in mounts:
        _, place, found, *_ = line.split(" ")
        mount = Path(place.encode().decode("unicode_escape"))
        if folder.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), found
    return kind


def _pragma(file: sqlite3.Connection, text: str) -> str:
    return str(file.execute(f"PRAGMA {text}").fetchone()[0])


def _columns(file: sqlite3.Connection) -> set[str]:
    return {str(row[1]) for row in file.execute("PRAGMA table_info(replies)")}
