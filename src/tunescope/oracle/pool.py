"""The worker pool: many items side by side, each with calls of its own; what fails alone, and what stops them all."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tunescope.errors import Halted, ItemFailed, NotCached, TunescopeError, WorkError
from tunescope.oracle.caller import Caller
from tunescope.oracle.calls import Calls
from tunescope.oracle.format_probe import detect_reply_format
from tunescope.progress import say
from tunescope.views import counted

K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")
_STAGGER_SECONDS = 0.002
"""Seconds between the first calls of all; made in one moment, they would come back in one, round after round."""
_LAST_SECONDS = 10.0
"""Seconds that calls under way have to come back after a Ctrl-C."""


@dataclass(frozen=True, slots=True)
class ItemResult(Generic[R]):
    """What came of one item.

    Attributes:
        value: what its work returned; None where no reply could be had, and `failure` then says why.
        call_ids: of the calls that were answered.
        is_for_good: the failure is the item's own, and would come each time.
        unanswered: why the item's last call without a reply has none, though others may have given it a value.
    """

    value: R | None
    failure: str | None
    call_ids: tuple[str, ...]
    is_for_good: bool = False
    unanswered: str | None = None


async def ask_all(
    caller: Caller,
    items: Collection[tuple[K, T]],
    work: Callable[[T, Calls], Awaitable[R]],
    on_done: Callable[[K, ItemResult[R]], None],
) -> None:
    """Work on every item, `caller.concurrency` of them at a time; `on_done` gets each result as it comes.

    Items that need a reply that isn't cached, where no calls are made, have no result. Where no item gets further, this
    ends early and `caller.halt` has the error.

    After a Ctrl-C no call begins, and those under way have `_LAST_SECONDS` to come back and be kept.

    Raises:
        KeyboardInterrupt: then, or at a second Ctrl-C.
    """
    queue = iter(items)
    async with caller.transport:
        with _interruptible(caller):
            try:
                caller.reply_format = await detect_reply_format(caller) if items else caller.reply_format
            except Halted:
                return
            except TunescopeError as error:
                caller.halt.set(error)
            async with asyncio.TaskGroup() as group:
                for number in range(min(caller.concurrency, len(items))):
                    group.create_task(_worker(caller, number, queue, work, on_done))


class _Interrupts:
    """What Ctrl-C does while calls are made: the first lets those under way come back, the second ends at once."""

    def __init__(self, caller: Caller) -> None:
        """Be ready in the task that asks."""
        self._caller, self._loop, self._task = caller, asyncio.get_running_loop(), asyncio.current_task()
        self.n, self._n_calls, self._n_lost = 0, 0, 0

    def handle(self, *_: Any) -> None:
        """Take a Ctrl-C, wherever the program is."""
        self.n += 1
        if self.n > 1:
            raise KeyboardInterrupt
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._caller.halt.set(WorkError("interrupted"))
        self._n_calls = self._caller.rate_limit.n_active
        if self._n_calls > 0:
            calls = counted(self._n_calls, "call")
            say(f"interrupted: {calls} under way may come back for {_LAST_SECONDS:.0f} s; Ctrl-C again ends at once")
        self._loop.call_later(_LAST_SECONDS, self._cut)

    def _cut(self) -> None:
        self._n_lost = self._caller.rate_limit.n_active
        if self._task is not None:
            self._task.cancel()

    def end(self) -> None:
        """Say what came back."""
        if self._n_calls > 0:
            say(f"{self._n_calls - self._n_lost:,} of {self._n_calls:,} came back; their replies are kept")


@contextmanager
def _interruptible(caller: Caller) -> Iterator[None]:
    """Let calls come back after a Ctrl-C, for a while, before it is a `KeyboardInterrupt`."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    interrupts = _Interrupts(caller)
    before = signal.signal(signal.SIGINT, interrupts.handle)
    try:
        yield
    except asyncio.CancelledError:
        if interrupts.n != 1:
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts.n > 0:
        interrupts.end()
        raise KeyboardInterrupt


async def _worker(
    caller: Caller,
    number: int,
    queue: Iterator[tuple[K, T]],
    work: Callable[[T, Calls], Awaitable[R]],
    on_done: Callable[[K, ItemResult[R]], None],
) -> None:
    """Work on one item after the other, until none is left or the work is halted."""
    await asyncio.sleep(number * _STAGGER_SECONDS)
    for key, item in queue:
        if caller.halt.error is not None:
            return
        calls = Calls(caller)
        try:
            value: R | None = None
            failure: str | None = None
            try:
                value = await work(item, calls)
            except ItemFailed as error:
                failure, calls.failed = str(error), error
            reason, is_for_good = (
                (None, False) if calls.failed is None else (str(calls.failed), calls.failed.is_for_good)
            )
            on_done(key, ItemResult(value, failure, tuple(calls.ids), is_for_good, reason))
        except (NotCached, Halted):
            continue
        except TunescopeError as error:
            caller.halt.set(error)
        except OSError as error:  # a full disk, under a batch's file, the student's decisions or the log of stderr
            caller.halt.set(WorkError(str(error)))
