"""Which processes work with a journal, and which of them are still there.

A process writes its host, its number and its start into the journal, and counts up a beat while it makes calls. On the
same host the system is asked for it; of another host (or container) the beat tells, by our own clock.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from platform import node
from time import monotonic

SCHEMA = """
CREATE TABLE IF NOT EXISTS holders (
    number INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL,
    beat INTEGER NOT NULL
);
"""
BEAT_SECONDS = 10.0
"""Seconds between the beats of a process that makes calls."""
_SILENT_SECONDS = {True: 600.0, False: 60.0}
"""Seconds without a beat after which a process counts as gone: one that the system still has (it may be stopped), and
one that we can't ask for."""


class Holders:
    """The processes in a journal; its owner holds the transactions."""

    def __init__(self, file: sqlite3.Connection, clock: Callable[[], float] = monotonic) -> None:
        """Take the open journal."""
        self._file, self._clock = file, clock
        self._beats: dict[int, tuple[int, float]] = {}

    def enter(self) -> int:
        """Write this process down; return its number, which no other one has had."""
        values = (_host(), os.getpid(), started_at(os.getpid()))
        cursor = self._file.execute("INSERT INTO holders (host, pid, started, beat) VALUES (?, ?, ?, 0)", values)
        return int(cursor.lastrowid or 0)

    def beat(self, number: int) -> None:
        """Show that a process is there."""
        self._file.execute("UPDATE holders SET beat = beat + 1 WHERE number = ?", (number,))

    def leave(self, number: int) -> None:
        """Take a process out."""
        self._file.execute("DELETE FROM holders WHERE number = ?", (number,))

    def is_there(self, number: int | None) -> bool:
        """Tell whether a process is still at work; None is one that gave its call up."""
        row = self._file.execute("SELECT host, pid, started, beat FROM holders WHERE number = ?", (number,)).fetchone()
        if row is None or number is None:
            return False
        host, pid, started, beat = row
        is_here = host == _host()
        if is_here and (started != started_at(pid) or not _is_running(pid)):
            return False
        now = self._clock()
        seen, since = self._beats.get(number, (None, now))
        if seen != beat:
            since = now
        self._beats[number] = beat, since
        return now - since < _SILENT_SECONDS[is_here]


def _host() -> str:
    """Name the machine since it was started, and the space in which its process numbers hold."""
    boot = space = ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        space = str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:  # not Linux
        pass
    return f"{node()} {boot} {space}"


def started_at(pid: int) -> str:
    """Return when a process started, in the system's ticks; "" where that can't be known, or only its end is."""
    try:
        state, *more = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return "" if state in ("Z", "X") else more[18]
    except (OSError, IndexError):
        return ""


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
