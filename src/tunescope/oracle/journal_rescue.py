"""A damaged journal: what is sound in it is kept, and the rest is asked for again.

Each reply has a digest of itself. SQLite looks at its own pages (`integrity_check`). Where one of them isn't what was
written, the replies that can be read are moved into a new file. The damaged one stays beside it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tunescope.progress import say

_HEADER = 100
"""Bytes of SQLite's header (https://www.sqlite.org/fileformat.html, section 1.3)."""
_FIXED = (*range(24), *range(44, 72))
"""Those that are the same in all journals of one format."""
_APPLICATION = range(68, 72)
_LOG = (18, 19)
"""2 with a write-ahead log, 1 without one."""
_VARYING = (*_LOG, *range(60, 64))
"""Of the fixed ones, those that differ between journals: the log, and the number of the format."""
_SHARE, _LEAST = 0.9, 24
"""A header is ours where this share of its fixed bytes, and at least so many, are."""
_COLUMNS = ("key", "characters", "max_tokens", "body", "seconds", "at", "holder", "digest")
_LARGEST_GAP = 1_000
"""Replies in a row that can't be read, after which no more are looked for."""


def digest_of(key: str, body: bytes) -> str:
    """Return what stands beside a reply, to see later that it is the one that came: 16 hex digits."""
    return blake2b(key.encode() + b"\0" + body, digest_size=8).hexdigest()


def rescue(path: Path, connect: Callable[[Path, str], sqlite3.Connection], begin: Callable[[Path], Any]) -> None:
    """Where a journal is damaged, put one with its sound replies in its place; other files stay as they are.

    Args:
        path: a file.
        connect: opens a file in a mode of SQLite's.
        begin: makes a new journal, open.
    """
    if not _is_damaged(path, connect, begin):
        return
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if os.fstat(held.fileno()).st_ino != path.stat().st_ino or not _is_damaged(path, connect, begin):
            return  # another process was faster
        with tempfile.TemporaryDirectory(prefix="tunescope-rescue-") as folder:
            copy = Path(folder) / "damaged"
            for ending in ("", "-wal"):
                with suppress(FileNotFoundError):
                    shutil.copy(f"{path}{ending}", f"{copy}{ending}")
            with closing(begin(Path(folder) / "sound")) as sound:
                n_sound = _move(copy, sound, connect, begin)
            part = path.with_name(f".{path.name}.part")
            shutil.copy(Path(folder) / "sound", part)
        aside = path.with_name(f".{path.name}.damaged")
        os.replace(path, aside)
        for ending in ("-wal", "-shm"):
            Path(f"{path}{ending}").unlink(missing_ok=True)
        os.replace(part, path)
    say(
        f"{path}: found a damaged journal; {n_sound} sound replies are used, others asked for again; it lies in {aside}"
    )


def _is_damaged(path: Path, connect: Callable[[Path, str], sqlite3.Connection], begin: Callable[[Path], Any]) -> bool:
    """Tell whether a file is a journal of ours that isn't as it was written."""
    with path.open("rb") as opened:
        header = opened.read(_HEADER)
    fresh = _first_page(begin)
    if not _looks_like_ours(header, fresh):
        return False
    if len(header) < _HEADER or any(header[at] != fresh[at] for at in _FIXED if at not in _VARYING):
        return True
    if any(header[at] not in (1, 2) for at in _LOG):
        return True
    try:
        with closing(connect(path, "rw")) as file:  # it is ours, and what a killed process left may have to go back
            if file.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
                return True
            columns = {str(row[1]) for row in file.execute("PRAGMA table_info(replies)")}
            if "digest" not in columns:
                return not {"key", "body"} <= columns
            rows = file.execute("SELECT key, body, digest FROM replies WHERE digest IS NOT NULL")
            return any(not _is_sound(key, body, digest) for key, body, digest in rows)
    except sqlite3.OperationalError as error:  # in use, or in a folder that can't be written
        return "decode" in str(error)
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return True


def _looks_like_ours(header: bytes, fresh: bytes) -> bool:
    """Tell whether a file begins as a journal does, but for a few bytes."""
    there = [at for at in _FIXED if at < len(header)]
    same = [at for at in there if header[at] == fresh[at]]
    marked = [at for at in _APPLICATION if at < len(header)]
    is_marked = not marked or sum(at in same for at in marked) >= len(marked) - 1
    return is_marked and len(same) >= max(_LEAST, _SHARE * len(there))


@cache
def _first_page(begin: Callable[[Path], Any]) -> bytes:
    """Return the first page of a new journal: the header and the tables' definitions."""
    with tempfile.TemporaryDirectory(prefix="tunescope-rescue-") as folder:
        path = Path(folder) / "new"
        with closing(begin(path)):
            pass
        data = path.read_bytes()
        return data[: int.from_bytes(data[16:18], "big")]


def _move(
    damaged: Path,
    sound: sqlite3.Connection,
    connect: Callable[[Path, str], sqlite3.Connection],
    begin: Callable[[Path], Any],
) -> int:
    """Move what can be read into a new journal; return how many replies that are."""
    rows: dict[int, tuple[Any, ...]] = {}
    for page in (None, _first_page(begin)):
        if page is not None:
            _replace_first_page(damaged, page)
        with suppress(sqlite3.DatabaseError), closing(connect(damaged, "rw")) as file:
            rows |= dict(_readable(file))
    names, places = ", ".join(_COLUMNS), ", ".join("?" * len(_COLUMNS))
    sound.execute("BEGIN IMMEDIATE")
    for _, row in sorted(rows.items()):
        sound.execute(f"INSERT INTO replies ({names}) VALUES ({places})", row)
    sound.execute("COMMIT")
    return len(rows)


def _replace_first_page(path: Path, page: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[: len(page)] = page
    data[28:32] = (len(data) // len(page)).to_bytes(4, "big")
    data[32:40] = bytes(8)  # no list of free pages
    path.write_bytes(data)


def _readable(file: sqlite3.Connection) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield the sound replies by their numbers, past those that can't be read."""
    known = {str(row[1]) for row in file.execute("PRAGMA table_info(replies)")}
    columns = ", ".join(name if name in known else f"NULL AS {name}" for name in _COLUMNS)
    query = f"SELECT number, {columns} FROM replies WHERE number > ? ORDER BY number LIMIT 1"
    number = gap = 0
    while gap < _LARGEST_GAP:
        try:
            row = file.execute(query, (number,)).fetchone()
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            number, gap = number + 1, gap + 1
            continue
        if row is None:
            return
        if row[0] <= number:  # the tree leads back
            number, gap = number + 1, gap + 1
            continue
        number, gap = row[0], 0
        values = dict(zip(_COLUMNS, row[1:], strict=True))
        if _is_sound(values["key"], values["body"], values["digest"]) and isinstance(values["at"], str):
            yield number, row[1:]


def _is_sound(key: Any, body: Any, digest: Any) -> bool:
    """Tell whether a reply is the one that came; one of an older version has no digest."""
    if not isinstance(key, str) or not isinstance(body, bytes):
        return False
    return digest is None or digest == digest_of(key, body)
