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

from tunescope.oracle.halt import Halt

_SPREAD_SECONDS = 0.5
"""Seconds over which calls are spread at random once a server has room again."""
Sleep = Callable[[float], Coroutine[Any, Any, Any]]


class RateLimit:
    """Lets calls begin: at most `limit` at a time, which is never above `max_concurrency`."""

    def __init__(
        self,
        max_concurrency: int,
        halt: Halt,
        sleep: Sleep = asyncio.sleep,
        jitter: Random | None = None,
    ) -> None:
        """Begin with all that is allowed; a server that can't take it says so."""
        self.max_concurrency, self.limit, self.n_active = max_concurrency, float(max_concurrency), 0
        self._n_draining = 0
        self._halt, self._sleep, self._jitter = halt, sleep, jitter or Random()
        self._changed = asyncio.Condition()
        self._closed_until = self._slowed_at = monotonic()

    @asynccontextmanager
    async def slot(self, fits: Callable[[], bool]) -> AsyncIterator[float]:
        """Hold a place among the active calls; yields the time at which it was given.

        `fits` tells whether a budget has room. Where it has none and no active call could give some back, the place
        is given all the same, as it is after a halt; the caller looks.
        """
        async with self._changed:
            while True:
                wait = self._closed_until - monotonic()
                if self._halt.error is not None:
                    break
                is_free = self._n_draining == 0 and self.n_active < max(1, int(self.limit))
                if wait <= 0 and is_free and (self.n_active == 0 or fits()):
                    break
                if wait <= 0:
                    await self._changed.wait()
                else:
                    self._changed.release()
                    try:
                        await self.sleep(wait + self._jitter.random() * min(_SPREAD_SECONDS, wait))
                    finally:
                        await self._changed.acquire()
            self.n_active += 1
        try:
            yield monotonic()
        finally:
            self.n_active -= 1
            async with self._changed:
                self._changed.notify_all()

    async def drain(self) -> None:
        """Wait until no call is active; none begins before that."""
        async with self._changed:
            self._n_draining += 1
            try:
                await self._changed.wait_for(lambda: self.n_active == 0)
            finally:
                self._n_draining -= 1
                self._changed.notify_all()

    async def sleep(self, seconds: float) -> None:
        """Wait, unless a halt comes first."""
        await self._halt.cut_short(self._sleep(seconds))

    def speed_up(self) -> None:
        """Note a call that went well: one more at a time once as many have as there are."""
        self.limit = min(float(self.max_concurrency), self.limit + 1 / max(self.limit, 1.0))

    def slow_down(self, began: float) -> None:
        """Note a call, begun at `began`, that was too much: half as many, once for all that were active together."""
        if began >= self._slowed_at:
            self.limit = max(1.0, self.limit / 2)
            self._slowed_at = monotonic()

    @property
    def pause_left(self) -> float:
        """The seconds for which no call begins."""
        return max(0.0, self._closed_until - monotonic())

    def pause(self, seconds: float) -> None:
        """Let no call begin for so long."""
        self._closed_until = max(self._closed_until, monotonic() + seconds)
