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
        elsewhere: the most tokens that others' calls may use, in prompts and in replies; those of lost calls too.
    """

    def __init__(self, file: sqlite3.Connection) -> None:
        """Take the open journal."""
        self._file, self._holders = file, Holders(file)
        self.holder, self.elsewhere = 0, (0, 0)
        self._numbers: dict[str, int] = {}
        self._others: dict[str, list[int | None]] = {}
        self._beating: asyncio.Task[None] | None = None

    def refresh(self) -> None:
        """Read what others have reserved."""
        rows = "SELECT key, holder, prompt, completion FROM reservations WHERE holder IS NOT ?"
        self._others, prompts, completions = {}, 0, 0
        for key, holder, prompt, completion in self._file.execute(rows, (self.holder,)):
            self._others.setdefault(key, []).append(holder)
            prompts, completions = prompts + prompt, completions + completion
        self.elsewhere = prompts, completions

    def is_taken(self, key: str) -> bool:
        """Tell whether another process makes this call."""
        return any(map(self._holders.is_there, self._others.get(key, ())))

    def are_others_at_work(self) -> bool:
        """Tell whether another process makes any call, which may give back some of what it reserved."""
        return any(map(self._holders.is_there, {holder for holders in self._others.values() for holder in holders}))

    def add(self, key: str, prompt: int, completion: int) -> None:
        """Reserve a call, with the most tokens that it may use."""
        if not self.holder:
            self.holder = self._holders.enter()
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat(self.holder))
        values = (key, self.holder, prompt, completion)
        row = "INSERT INTO reservations (key, holder, prompt, completion) VALUES (?, ?, ?, ?)"
        self._numbers[key] = int(self._file.execute(row, values).lastrowid or 0)

    def remove(self, key: str) -> None:
        """Give a call's reservation back."""
        if key in self._numbers:
            self._file.execute("DELETE FROM reservations WHERE number = ?", (self._numbers.pop(key),))

    def lose(self, key: str) -> None:
        """Give a call up whose reply will never be known: others may make it; its tokens stay counted."""
        self._file.execute("UPDATE reservations SET holder = NULL WHERE number = ?", (self._numbers.pop(key),))
        self.refresh()

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
