"""The journal: every reply as it came, in the file before anything reads it; it answers the same call for free.

One SQLite file in WAL mode. A reply that was added outlives the process, however that ends; a power cut may cost those
of the last second. Rows are only ever added: the number of the reply, the call's key, the characters of its prompt, the
body's bytes, and how long it took (NULL in both where a batch's file brought it). What a reply says is worked out from
its bytes each time, which costs nothing. A call that is refused for good may have a body of ours (`rejection`).
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from typing import Any

from tunescope.errors import RejectedRequest, RetryableError, RunError, WorkError
from tunescope.oracle.api import parse_reply
from tunescope.oracle.replies import Reply

_FORMAT = 1
_SYNC_EVERY = 1.0
"""Seconds between syncs with the disk. One for each reply would cost a third of our CPU, and 1 to 3 ms of each call."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, characters INTEGER, body BLOB NOT NULL,
    seconds REAL, at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_key ON replies (key);
"""


def call_key(
    messages: Sequence[Mapping[str, Any]],
    model: str,
    decoding: Mapping[str, Any],
    schema: Mapping[str, Any] | None = None,
    sample: int = 0,
) -> str:
    """Name a call by all that decides its reply, but for the server's address: 32 hex digits."""
    text = json.dumps([_FORMAT, list(messages), model, dict(decoding), schema, sample], sort_keys=True)
    return blake2b(text.encode(), digest_size=16).hexdigest()


def rejection(reason: str) -> bytes:
    """Return the body that stands for a call that fails each time."""
    return json.dumps({"refused": reason}).encode()


class Journal:
    """The replies in a file; used as `with Journal(path) as journal`."""

    def __init__(self, path: Path) -> None:
        """Open the file, or begin it.

        Raises:
            RunError: it is something else, or can't be written.
        """
        try:
            self._file = sqlite3.connect(path, check_same_thread=False, timeout=60.0)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")
            self._file.execute("PRAGMA wal_autocheckpoint = 0")  # `_sync` does it, where it holds up nobody
            self._file.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise RunError(f"{path}: found no journal ({error}); expected a file that tunescope wrote") from error
        self._path = path
        self._waiting: list[tuple[str, int, bytes, float, str]] = []
        self._writing = asyncio.Lock()
        self._synced_at = monotonic()

    def __enter__(self) -> Journal:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file; SQLite then folds what is beside it into it."""
        self._file.close()

    def bodies(self, key: str) -> list[bytes]:
        """Return the replies to a call, the oldest first; none where it was never made."""
        rows = self._file.execute("SELECT body FROM replies WHERE key = ? ORDER BY number", (key,))
        return [body for (body,) in rows]

    def reply(self, key: str) -> Reply | None:
        """Return the reply to a call; None where the journal has none that can be read.

        Raises:
            RejectedRequest: all that it has is that the call fails each time.
        """
        rejected: RejectedRequest | None = None
        for body in self.bodies(key):
            try:
                return parse_reply(body)
            except RetryableError:  # what came was no reply
                continue
            except RejectedRequest as error:
                rejected = rejected or error
        if rejected is not None:
            raise rejected
        return None

    def __len__(self) -> int:
        """Count the replies."""
        return int(self._file.execute("SELECT count(*) FROM replies").fetchone()[0])

    def __iter__(self) -> Iterator[tuple[int | None, bytes]]:
        """Yield every prompt's length in characters, where it is known, with its reply, the oldest first."""
        yield from self._file.execute("SELECT characters, body FROM replies ORDER BY number")

    async def add(self, key: str, characters: int, body: bytes, seconds: float) -> None:
        """Keep a reply; it is in the file when this returns.

        Raises:
            WorkError: the disk is full, or the file can't be written.
        """
        self._waiting.append((key, characters, body, seconds, datetime.now(UTC).isoformat(timespec="milliseconds")))
        async with self._writing:
            if self._waiting:  # else who held the lock before wrote this one too
                self._commit(self._waiting)  # some 0.05 ms; a thread would take longer
                self._waiting = []  # only now: where it fails, whoever else waits is told so too
            if monotonic() - self._synced_at >= _SYNC_EVERY:
                await asyncio.to_thread(self._sync)
                self._synced_at = monotonic()

    def add_all(self, replies: Iterable[tuple[str, bytes]]) -> int:
        """Keep replies that came in files, but for those that are there already; return how many were kept.

        All of them are kept, or none where `replies` raises.

        Raises:
            WorkError: the disk is full, or the file can't be written.
        """
        at, kept = datetime.now(UTC).isoformat(timespec="milliseconds"), 0
        duplicate = "SELECT 1 FROM replies WHERE key = ? AND body = ?"
        try:
            with self._file:
                for key, body in replies:
                    if self._file.execute(duplicate, (key, body)).fetchone() is None:
                        self._file.execute("INSERT INTO replies (key, body, at) VALUES (?, ?, ?)", (key, body, at))
                        kept += 1
        except sqlite3.Error as error:
            raise WorkError(f"{self._path}: replies can't be kept ({error})") from error
        return kept

    def _commit(self, batch: list[tuple[str, int, bytes, float, str]]) -> None:
        values = "(key, characters, body, seconds, at) VALUES (?, ?, ?, ?, ?)"
        try:
            with self._file:
                self._file.executemany(f"INSERT INTO replies {values}", batch)
        except sqlite3.Error as error:
            raise WorkError(f"{self._path}: replies can't be kept ({error})") from error

    def _sync(self) -> None:
        """Sync what was added with the disk, and move it into the main file."""
        try:
            self._file.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            raise WorkError(f"{self._path}: replies can't be kept ({error})") from error
