"""Why no more calls are made, once that is so."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tunescope.errors import TunescopeError

MAX_FAILURES = 20
"""Calls that fail one after the other, with none answered, after which no more are made."""


class Halt:
    """The first error that no item can get past; it ends all waiting.

    Attributes:
        error: that error; None while calls are made.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.error: TunescopeError | None = None
        self._event = asyncio.Event()

    def set(self, error: TunescopeError) -> None:
        """Make no more calls, for this reason unless there is one already."""
        self.error = self.error or error
        self._event.set()

    async def cut_short(self, sleeping: Coroutine[Any, Any, Any]) -> None:
        """Wait for `sleeping` to end, unless the halt comes first."""
        ends = [asyncio.ensure_future(sleeping), asyncio.ensure_future(self._event.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()


class FirstRejections:
    """Stops the work once the first calls of all were rejected for one and the same reason."""

    def __init__(self) -> None:
        """Begin with none."""
        self._reasons: dict[int, str] = {}

    def add(self, number: int, reason: str) -> None:
        """Note why call `number` (from 0) was rejected.

        Raises:
            TunescopeError: so were the first `MAX_FAILURES` calls.
        """
        if number >= MAX_FAILURES:
            return
        self._reasons[number] = reason
        if len(self._reasons) == MAX_FAILURES and len({*self._reasons.values()}) == 1:
            raise TunescopeError(f"the first {MAX_FAILURES} calls all fail for one reason: {reason}")
