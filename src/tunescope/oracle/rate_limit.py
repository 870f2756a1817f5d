"""How many calls are made at a time: one more for each round that went well, half after one that didn't.

Additive increase, multiplicative decrease (Chiu & Jain 1989), for one server and model. A server that says
when it has room again (Retry-After, rate-limit headers) is left alone until then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from random import Random
from time import monotonic
from typing import Any

SPREAD = 0.5
"""Seconds over which calls are spread at random once a server has room again."""


class Pace:
    """Lets calls begin: at most `limit` at a time, at most `most` ever."""

    def __init__(
        self,
        most: int,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Coroutine[Any, Any, Any]] = asyncio.sleep,
        jitter: Random | None = None,
    ) -> None:
        """Begin with all that is allowed; a server that can't take it says so."""
        self.most, self.limit, self.at_work = most, float(most), 0
        self._clock, self._sleep, self._jitter = clock, sleep, jitter or Random()
        self._changed = asyncio.Condition()
        self._halted = asyncio.Event()
        self._closed_until = self._cut_at = clock()

    @asynccontextmanager
    async def slot(self, fits: Callable[[], bool] = lambda: True) -> AsyncIterator[float]:
        """Hold a place among the calls at work; yields when it was given, which `well` and `badly` want to know.

        `fits` tells whether a budget has room. Where it has none and nothing is at work that could give some
        back, the place is given all the same, as it is after `halt`; the caller looks.
        """
        async with self._changed:
            while True:
                wait = self._closed_until - self._clock()
                if self._halted.is_set():
                    break
                if wait <= 0 and self.at_work < max(1, int(self.limit)) and (self.at_work == 0 or fits()):
                    break
                if wait <= 0:
                    await self._changed.wait()
                else:
                    self._changed.release()
                    try:
                        await self.nap(wait + self._jitter.random() * min(SPREAD, wait))
                    finally:
                        await self._changed.acquire()
            self.at_work += 1
        try:
            yield self._clock()
        finally:
            self.at_work -= 1
            async with self._changed:
                self._changed.notify_all()

    def now(self) -> float:
        """Return the clock's time in seconds."""
        return self._clock()

    async def nap(self, seconds: float) -> None:
        """Wait, unless `halt` comes first."""
        ends = [asyncio.ensure_future(self._sleep(seconds)), asyncio.ensure_future(self._halted.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()

    def halt(self) -> None:
        """End all waiting; whoever gets a place from now on must look whether it still wants to call."""
        self._halted.set()

    def well(self) -> None:
        """Note a call that went well: one more at a time once as many have as there are."""
        self.limit = min(float(self.most), self.limit + 1 / max(self.limit, 1.0))

    def badly(self, since: float) -> None:
        """Note a call, begun at `since`, that was too much: half as many, once for all that were at work together."""
        if since >= self._cut_at:
            self.limit = max(1.0, self.limit / 2)
            self._cut_at = self._clock()

    def close_for(self, seconds: float) -> None:
        """Let no call begin for so long."""
        self._closed_until = max(self._closed_until, self._clock() + seconds)
