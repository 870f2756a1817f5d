"""Calls under way, in the journal: before a call is made its key is reserved, so no other process makes it too.

A reservation has the most tokens that its call may use, which all processes count into their budgets. It goes with the
reply. Where its process is gone, another may make the call; the tokens stay counted, since they may have been paid for.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress

from tunescope.oracle.holders import BEAT_SECONDS, Holders


class Reservations:
    """The reservations in an open journal; who calls holds the transaction.

    Attributes:
        holder: this process's number in the journal; 0 before it makes its first call.
    """

    def __init__(self, file: sqlite3.Connection) -> None:
        """Take the open journal."""
        self._file, self._holders = file, Holders(file)
        self.holder = 0
        self._beating: asyncio.Task[None] | None = None

    def is_taken(self, key: str) -> bool:
        """Tell whether another process makes this call."""
        rows = self._file.execute("SELECT holder FROM reservations WHERE key = ?", (key,)).fetchall()
        return any(holder != self.holder and self._holders.is_there(holder) for (holder,) in rows)

    def are_others_at_work(self) -> bool:
        """Tell whether another process makes any call, which may give back some of what it reserved."""
        rows = self._file.execute("SELECT DISTINCT holder FROM reservations WHERE holder IS NOT ?", (self.holder,))
        return any(self._holders.is_there(holder) for (holder,) in rows.fetchall())

    def sum_of_others(self) -> tuple[int, int]:
        """Return the most tokens that others' calls may use, in prompts and replies; those of lost calls too."""
        total = "SELECT coalesce(sum(prompt), 0), coalesce(sum(completion), 0) FROM reservations WHERE holder IS NOT ?"
        prompt, completion = self._file.execute(total, (self.holder,)).fetchone()
        return int(prompt), int(completion)

    def add(self, key: str, prompt: int, completion: int) -> None:
        """Reserve a call, with the most tokens that it may use."""
        if not self.holder:
            self.holder = self._holders.enter()
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat(self.holder))
        values = (key, self.holder, prompt, completion)
        self._file.execute("INSERT INTO reservations (key, holder, prompt, completion) VALUES (?, ?, ?, ?)", values)

    def remove(self, key: str) -> None:
        """Give a call's reservation back."""
        self._file.execute("DELETE FROM reservations WHERE key = ? AND holder IS ?", (key, self.holder))

    def lose(self, key: str) -> None:
        """Give a call up whose reply will never be known: others may make it; its tokens stay counted."""
        self._file.execute("UPDATE reservations SET holder = NULL WHERE key = ? AND holder IS ?", (key, self.holder))

    def leave(self) -> None:
        """Take this process out of the journal."""
        if self.holder:
            self._holders.leave(self.holder)

    async def _beat(self, number: int) -> None:
        """Show that this process is there, as long as its loop runs."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            with suppress(sqlite3.Error):  # the next call says so
                self._holders.beat(number)
