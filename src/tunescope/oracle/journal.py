"""The journal: every reply as it came, in the file before anything reads it; it answers the same call for free.

One SQLite file. A reply that was added outlives the process, however that ends; a power cut may cost those of the last
second. Replies are only ever added: the number of the reply, the call's key, the bytes of its prompt and its longest
reply (NULL in both where a batch's file brought it; characters and NULL in format 1), the body's bytes, how long it
took, and whose it is. What a reply says is worked out from its bytes each time, which costs nothing. A call that is
refused for good may have a body of ours (`rejection`). Several processes may share a journal: see `reservations`.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from typing import Any

from tunescope.errors import RejectedRequest, RetryableError, WorkError
from tunescope.oracle.api import parse_reply
from tunescope.oracle.body import Body
from tunescope.oracle.journal_file import has_log, open_file, transaction
from tunescope.oracle.journal_rescue import digest_of
from tunescope.oracle.replies import Reply
from tunescope.oracle.reservations import Reservations
from tunescope.oracle.usage import CallSize
from tunescope.runs import disk

_KEY_FORMAT = 1
_SYNC_EVERY = 1.0
"""Seconds between syncs with the disk. One for each reply would cost a third of our CPU, and 1 to 3 ms of each call."""


def call_key(
    messages: Sequence[Mapping[str, Any]],
    model: str,
    decoding: Mapping[str, Any],
    schema: Mapping[str, Any] | None = None,
    sample: int = 0,
) -> str:
    """Name a call by all that decides its reply, but for the server's address: 32 hex digits."""
    text = json.dumps([_KEY_FORMAT, list(messages), model, dict(decoding), schema, sample], sort_keys=True)
    return blake2b(text.encode(), digest_size=16).hexdigest()


def rejection(reason: str) -> bytes:
    """Return the body that stands for a call that fails each time."""
    return json.dumps({"refused": reason}).encode()


class Journal:
    """The replies in a file; used as `with Journal(path) as journal`.

    Attributes:
        reservations: the calls under way.
        writing: held by who changes the file, since a sync would hold all up in the middle of it.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or begin it.

        Raises:
            RunError: it is something else, of a newer version, or can't be written.
        """
        self._path, self._file = path, open_file(path)
        self.reservations = Reservations(self._file)
        self._has_log = has_log(self._file)
        self.writing = asyncio.Lock()
        self._synced_at = monotonic()
        self._version: int | None = None
        self._last_number = 0

    def __enter__(self) -> Journal:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file; SQLite then folds what is beside it into it."""
        with suppress(sqlite3.Error):  # whoever is in it and gone is seen to be gone
            self.reservations.leave()
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
                return parse_reply(Body(body))
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

    def __iter__(self) -> Iterator[tuple[CallSize, bytes]]:
        """Yield every call's size, with its reply, the oldest first."""
        for number, size, body in self._replies_after(0, 0):
            self._last_number = number
            yield size, body

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change the file as a whole or not at all; raises `WorkError` where it can't be written."""
        try:
            with transaction(self._file):
                yield
        except sqlite3.Error as error:
            raise self._cannot_write(error) from error

    def is_changed(self) -> bool:
        """Tell whether another process wrote into the file since this was last asked."""
        before, self._version = self._version, self._data_version()
        return before != self._version

    def _data_version(self) -> int:
        """Return SQLite's number of others' changes."""
        return int(self._file.execute("PRAGMA data_version").fetchone()[0])

    def replies_of_others(self) -> list[tuple[CallSize, bytes]]:
        """Return what others added since the replies were last read."""
        replies = list(self._replies_after(self._last_number, self.reservations.holder))
        if replies:
            self._last_number = replies[-1][0]
        return [(size, body) for _, size, body in replies]

    def _replies_after(self, number: int, holder: int) -> Iterator[tuple[int, CallSize, bytes]]:
        """Yield replies but for a holder's own, the oldest first."""
        rows = (
            "SELECT number, characters, max_tokens, body FROM replies WHERE number > ? AND holder IS NOT ? ORDER BY 1"
        )
        for each, n_bytes, max_tokens, body in self._file.execute(rows, (number, holder)):
            yield each, CallSize(n_bytes or 0, max_tokens), body

    async def add(self, key: str, size: CallSize, body: bytes, seconds: float) -> None:
        """Keep a reply, in place of the call's reservation; it is in the file when this returns.

        Raises:
            WorkError: the disk is full, or the file can't be written.
        """
        columns, at = "(key, characters, max_tokens, body, seconds, at, holder, digest)", _now()
        async with self.writing:
            with self.changing():  # some 0.05 ms; a thread would take longer
                values = (key, *size, body, seconds, at, self.reservations.holder, digest_of(key, body))
                self._file.execute(f"INSERT INTO replies {columns} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
                self.reservations.remove(key)
            if self._has_log and monotonic() - self._synced_at >= _SYNC_EVERY:
                await asyncio.to_thread(self._sync)
                self._synced_at = monotonic()

    def add_all(self, replies: Iterable[tuple[str, bytes]]) -> int:
        """Keep replies that came in files, but for those that are there already; return how many were kept.

        All of them are kept, or none where `replies` raises.

        Raises:
            WorkError: the disk is full, or the file can't be written.
        """
        at, kept = _now(), 0
        duplicate = "SELECT 1 FROM replies WHERE key = ? AND body = ?"
        with self.changing():
            for key, body in replies:
                if self._file.execute(duplicate, (key, body)).fetchone() is None:
                    values = (key, body, at, digest_of(key, body))
                    self._file.execute("INSERT INTO replies (key, body, at, digest) VALUES (?, ?, ?, ?)", values)
                    kept += 1
        return kept

    def _sync(self) -> None:
        """Sync what was added with the disk, and move it into the main file; in a thread, and so by its own way in."""
        try:
            with closing(sqlite3.connect(self._path, timeout=60.0)) as file:
                file.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: sqlite3.Error) -> WorkError:
        return WorkError(disk.describe(error, self._path) or f"{self._path}: replies can't be kept ({error})")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
