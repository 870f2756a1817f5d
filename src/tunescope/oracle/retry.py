"""Which calls are made again, how often, and after how long.

A call that fails is made up to `MAX_TRIES` times. While the server answers nobody, it counts as away and gets more
tries; where it stays away, the work stops and can go on later. Where it says that it is there, and only one item gets
no reply, that item fails alone; once `MAX_FAILURES` items have, with none answered in between, the work stops too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import count
from math import isfinite
from random import Random
from time import monotonic
from typing import NamedTuple, TypeVar

from tunescope.errors import ItemFailed, RetryableError, WorkError
from tunescope.oracle.api import LONGEST_RETRY_AFTER
from tunescope.oracle.halt import MAX_FAILURES
from tunescope.oracle.rate_limit import RateLimit
from tunescope.progress import Waiting

R = TypeVar("R")
MAX_TRIES = 7
"""Calls for one reply at most."""
FIRST_WAIT = 0.5
"""Seconds before the second call; doubled before each further one, up to `LONGEST_WAIT`, with jitter."""
LONGEST_WAIT = 30.0
EXTRA_RETRIES = 8
"""Tries beyond `MAX_TRIES` while no call at all is answered: some four minutes, for a server that starts again."""
_RECENT_FAILURES = 4
"""Tries in a row during which no call at all is answered, after which a server counts as away."""


def _backoff(attempt: int, jitter: Random) -> float:
    """Return the seconds to wait after try `attempt`, from 0, failed."""
    return min(FIRST_WAIT * 2.0**attempt, LONGEST_WAIT) * (0.5 + jitter.random())


class ItemClock:
    """The time that one item has for its calls, from its first call on.

    Attributes:
        ends: when it is up, on the event loop's clock; None before the first call, and without a limit.
    """

    def __init__(self, deadline: float) -> None:
        """Give an item `deadline` seconds; infinity is no limit."""
        self.deadline = deadline
        self.ends: float | None = None

    def start(self) -> float | None:
        """Return when the time is up; it runs from the first time that this is called."""
        if self.ends is None and isfinite(self.deadline):
            self.ends = asyncio.get_running_loop().time() + self.deadline
        return self.ends

    async def off_the_clock(self, work: Awaitable[R]) -> R:
        """Wait for other work on the item, which takes nothing of its time."""
        now = asyncio.get_running_loop().time
        began = now()
        try:
            return await work
        finally:
            if self.ends is not None:
                self.ends += now() - began


class _Failure(NamedTuple):
    """A failed try: its number from 1, when it began, why, and when the last `_RECENT_FAILURES` of the call failed."""

    n_tries: int
    began: float
    error: RetryableError
    times: deque[float]


class Retries:
    """The retry loop, and what all items' retries know of their server.

    Attributes:
        last_reply_at: when any call was last answered, on the monotonic clock.
        waiting: says that the server is waited for.
    """

    def __init__(
        self,
        rate_limit: RateLimit,
        is_answering: Callable[[], Awaitable[bool]],
        jitter: Random | None = None,
        extra_retries: int = EXTRA_RETRIES,
    ) -> None:
        """Begin with no call answered."""
        self._rate_limit, self._is_answering = rate_limit, is_answering
        self._jitter, self._extra_retries = jitter or Random(), extra_retries
        self.last_reply_at = float("-inf")
        self.waiting = Waiting()
        self._n_failed_items = 0

    async def until_answered(self, attempt: Callable[[], Awaitable[R]], clock: ItemClock) -> R:
        """Make a call until it is answered.

        Raises:
            ItemFailed: it isn't, in all its tries or in the item's time.
            WorkError: the server is away, or answers none of many items.
        """
        allowed, failure, times = MAX_TRIES, "", deque[float](maxlen=_RECENT_FAILURES)
        for n_tries in count(1):
            began = monotonic()
            try:
                result = await attempt()
            except TimeoutError:
                raise self._failed(_out_of_time(clock, failure)) from None
            except RetryableError as error:
                failure = error.reason
                times.append(monotonic())
                failed = _Failure(n_tries, began, error, times)
            else:
                self.last_reply_at, self._n_failed_items = monotonic(), 0
                self.waiting.end()
                return result
            self._heed_retry_after(failed.error)
            allowed = await self._allowed_tries(failed, allowed)
            if n_tries >= allowed:
                raise self._failed(ItemFailed(f"{failure}, in the last of {n_tries} tries"))
            try:
                async with asyncio.timeout_at(clock.ends):
                    await self._rate_limit.sleep(self._wait(failed))
            except TimeoutError:
                raise self._failed(_out_of_time(clock, failure)) from None
        raise AssertionError("unreachable")

    def _failed(self, failure: ItemFailed) -> ItemFailed:
        """Count an item without a reply; raises `WorkError` where no item was answered since many of them."""
        self._n_failed_items += 1
        if self._n_failed_items < MAX_FAILURES:
            return failure
        raise WorkError(f"{MAX_FAILURES} in a row aren't answered: {failure}")

    def _heed_retry_after(self, error: RetryableError) -> None:
        """Let no call begin before the time that the server asks for; raises `WorkError` where that is too long."""
        if error.retry_after is None:
            return
        if error.retry_after > LONGEST_RETRY_AFTER:
            raise WorkError(f"{error.reason}; the server asks to wait {error.retry_after:.0f} s")
        self._rate_limit.pause(error.retry_after)

    async def _allowed_tries(self, failed: _Failure, allowed: int) -> int:
        """Return how many tries a call may have; raises `WorkError` where the server stays away."""
        error, n_tries = failed.error, failed.n_tries
        is_away = error.overloaded and self.last_reply_at < failed.times[0]  # no other item was answered lately either
        if n_tries < MAX_TRIES or not is_away:
            return allowed
        if await self._is_alone(error):
            return n_tries
        if n_tries >= MAX_TRIES + self._extra_retries:
            raise WorkError(f"{error.reason}, in the last of {n_tries} tries")
        return n_tries + MAX_TRIES  # from when others are answered

    async def _is_alone(self, error: RetryableError) -> bool:
        """Tell whether only this item isn't answered, though nothing else was: the server still lists its models."""
        return error.silent and self._n_failed_items + 1 < MAX_FAILURES and await self._is_answering()

    def _wait(self, failed: _Failure) -> float:
        """Return the seconds to wait; where the server asks for a time, this comes on top of the rate limit's pause."""
        seconds = _backoff(failed.n_tries - 1, self._jitter)
        if failed.error.retry_after is not None:
            seconds *= self._jitter.random()  # it may ask for 0
        self.waiting.note(failed.error.reason, max(seconds, self._rate_limit.pause_left), failed.began)
        return seconds


def _out_of_time(clock: ItemClock, failure: str) -> ItemFailed:
    last = f"; the last try: {failure}" if failure else ""
    return ItemFailed(f"not done within the row's {clock.deadline:g} s{last}")
