"""The worker pool: many items side by side, each with calls of its own; what fails alone, and what stops them all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from tunescope.errors import Halted, ItemFailed, NotCached, TunescopeError, WorkError
from tunescope.oracle.caller import Caller
from tunescope.oracle.calls import Calls
from tunescope.oracle.format_probe import detect_reply_format

K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")
_STAGGER_SECONDS = 0.002
"""Seconds between the first calls of all; made in one moment, they would come back in one, round after round."""


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
    """
    queue = iter(items)
    async with caller.transport:
        try:
            caller.reply_format = await detect_reply_format(caller) if items else caller.reply_format
        except TunescopeError as error:
            caller.halt.set(error)
        async with asyncio.TaskGroup() as group:
            for number in range(min(caller.concurrency, len(items))):
                group.create_task(_worker(caller, number, queue, work, on_done))


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
