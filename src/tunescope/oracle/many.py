"""Ask about many items: progress on stderr, items that fail alone, and a run that stops so that it can go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Generic, TypeVar

from tunescope.errors import TunescopeError, WorkError
from tunescope.oracle.ask import Calls, Failed, Oracle
from tunescope.oracle.journal import Journal
from tunescope.oracle.settings import OracleSettings
from tunescope.oracle.whom import transport_of
from tunescope.progress import progress, say

K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")
JOURNAL = "journal.sqlite"


@dataclass(frozen=True, slots=True)
class Asked(Generic[R]):
    """What came of one item.

    Attributes:
        value: what its work returned; None where no reply could be had, and `failed` then says why.
        call_ids: of the calls that were answered.
    """

    value: R | None
    failed: str | None
    call_ids: tuple[str, ...]


def ask_all(
    settings: OracleSettings,
    model: str,
    folder: Path,
    items: Mapping[K, T],
    work: Callable[[T, Calls], Awaitable[R]],
    what: str = "rows",
) -> tuple[Oracle, dict[K, Asked[R]]]:
    """Work on every item, side by side; return the oracle, which knows what was used, and what came of each item.

    Replies are in the journal in `folder`, or in the one that the settings name, so whoever calls again with the
    same settings goes on.

    Raises:
        WorkError: the server went away, or the budget is used up; the same command goes on.
        TunescopeError: no call can succeed, or none did.
    """
    found: dict[K, Asked[R]] = {}
    start, failed = monotonic(), 0

    async def ask(key: K, calls: Calls) -> tuple[K, Asked[R]]:
        try:
            return key, Asked(await work(items[key], calls), None, tuple(calls.ids))
        except Failed as error:
            return key, Asked(None, str(error), tuple(calls.ids))

    path = folder / JOURNAL if settings.journal is None else Path(settings.journal)
    with Journal(path) as journal, progress(what, len(items)) as update:

        async def run() -> Oracle:
            oracle = Oracle(transport_of(settings, model), model, settings, journal)

            def done(came: tuple[K, Asked[R]]) -> None:
                nonlocal failed
                key, found[key] = came
                failed += found[key].failed is not None
                update(len(found), _pace(oracle, failed, len(found), len(items), monotonic() - start))

            await oracle.each(list(items), ask, done)
            return oracle

        oracle = asyncio.run(run())
    say(f"{oracle.made:,} calls, {oracle.replayed:,} replies from the journal; {oracle.budget.spent()} in all")
    if isinstance(oracle.stopped, WorkError):
        raise WorkError(
            f"{settings.oracle}: {oracle.stopped}; {len(found):,} {what} are done and {len(items) - len(found):,} are "
            "left; type the same command to go on"
        )
    if oracle.stopped is not None:
        raise oracle.stopped
    if items and not any(asked.call_ids for asked in found.values()):
        first = next(asked.failed for asked in found.values())
        raise TunescopeError(f"{settings.oracle} answered for none of {len(items):,} {what}: {first}")
    return oracle, found


def _pace(oracle: Oracle, failed: int, done: int, total: int, seconds: float) -> str:
    """Say how the work stands: failed, used, what it comes to, and the time left."""
    cost = oracle.budget.cost
    whole = f"{oracle.budget.tokens * total / done:,.0f} tokens" if cost is None else f"{cost * total / done:.4f}"
    left = seconds * (total - done) / done
    return f"{failed:,} failed, {oracle.budget.spent()}, projected {whole}, {left:.0f} s left"
