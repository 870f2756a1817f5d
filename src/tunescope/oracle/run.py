"""Ask about many items: progress on stderr, items that fail alone, and a run that stops so that it can go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

from tunescope.errors import TunescopeError, WorkError
from tunescope.oracle.ask import Calls, Failed, Later, Oracle
from tunescope.oracle.batch import URL, BatchFiles, Taken, take
from tunescope.oracle.client import is_url
from tunescope.oracle.connect import model_of, transport_of
from tunescope.oracle.journal import Journal
from tunescope.oracle.reply_format import ReplyFormat
from tunescope.oracle.settings import OracleSettings
from tunescope.progress import progress, say
from tunescope.runs import run_location
from tunescope.views import counted

K = TypeVar("K")
T = TypeVar("T")
R = TypeVar("R")
JOURNAL = "journal.sqlite"


@dataclass(frozen=True, slots=True)
class ItemResult(Generic[R]):
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
) -> tuple[Oracle, dict[K, ItemResult[R]]]:
    """Work on every item, side by side; return the oracle, which knows what was used, and what came of each item.

    Replies are in the journal in `folder`, or in the one that the settings name, so whoever calls again with the
    same settings goes on.

    With `settings.batch`, calls that the journal doesn't have are written into files instead.

    Raises:
        WorkError: the server went away, the budget is used up, or calls wait in a batch; the same command goes on.
        InputError: batches' replies that can't be read.
        TunescopeError: no call can succeed, or none did.
    """
    found: dict[K, ItemResult[R]] = {}
    start, failed = monotonic(), 0

    async def ask(key: K, calls: Calls) -> tuple[K, ItemResult[R]]:
        try:
            return key, ItemResult(await work(items[key], calls), None, tuple(calls.ids))
        except Failed as error:
            return key, ItemResult(None, str(error), tuple(calls.ids))

    path = folder / JOURNAL if settings.journal is None else Path(settings.journal)
    taken: Taken | None = None
    with (
        Journal(path) as journal,
        BatchFiles(Path(settings.batch)) if settings.batch is not None else nullcontext() as files,
        progress(what, len(items)) as update,
    ):
        if settings.batch_replies:
            taken = take(journal, settings.batch_replies)
            say(_told(taken))

        async def run() -> Oracle:
            leave = None if files is None else files.add
            oracle = Oracle(transport_of(settings, model), model, settings, journal, leave=leave)

            def done(came: tuple[K, ItemResult[R]]) -> None:
                nonlocal failed
                key, found[key] = came
                failed += found[key].failed is not None
                update(len(found), _pace(oracle, failed, len(found), len(items), monotonic() - start))

            if files is not None:
                await oracle.settle()
            await oracle.each(list(items), ask, done)
            if files is not None and oracle.stopped is not None:
                files.discard()
            return oracle

        oracle = asyncio.run(run())
    if taken is not None and oracle.stopped is None and taken.keys - oracle.wanted:
        say(f"{len(taken.keys - oracle.wanted):,} of the batches' replies are to calls that these {what} don't need")
    say(f"{oracle.made:,} calls, {oracle.replayed:,} replies from the journal; {oracle.budget.spent()} in all")
    if isinstance(oracle.stopped, WorkError):
        raise WorkError(
            f"{settings.oracle}: {oracle.stopped}; {len(found):,} {what} are done and {len(items) - len(found):,} are "
            "left; type the same command to go on"
        )
    if oracle.stopped is not None:
        raise oracle.stopped
    if files is not None and (oracle.left or oracle.unfit):
        raise WorkError(_waiting(files, oracle.unfit, len(found), len(items), what))
    if items and all(asked.failed is not None and not asked.call_ids for asked in found.values()):
        first = next(asked.failed for asked in found.values())
        raise TunescopeError(f"{settings.oracle} answered for none of {len(items):,} {what}: {first}")
    return oracle, found


def _told(taken: Taken) -> str:
    """Say what batches' files brought."""
    return (
        f"{taken.kept:,} replies from batches are new in the journal; {counted(taken.refused, 'call')} refused for "
        f"good, {taken.later:,} to be made again (expired, no room, a server's error), {taken.unknown:,} with a "
        "custom_id that isn't ours"
    )


def _waiting(files: BatchFiles, unfit: int, done: int, total: int, what: str) -> str:
    """Say which calls wait, and what to do."""
    room = f"; the budget has no room for {counted(unfit, 'more call')}" if unfit else ""
    state = f"{room}; {done:,} of {total:,} {what} are done"
    if not files.paths:
        return f"no call was written{state}; raise --max-tokens-total or --max-cost"
    return (
        f"written for a batch: {counted(files.lines, 'call')} that the journal doesn't have, in "
        f"{', '.join(map(str, files.paths))}{state}. Have each file answered (endpoint {URL}), then type the same "
        "command with --batch-replies and the output and error files to go on"
    )


def _pace(oracle: Oracle, failed: int, done: int, total: int, seconds: float) -> str:
    """Say how the work stands: failed, used, what it comes to, and the time left."""
    cost = oracle.budget.cost
    whole = f"{oracle.budget.tokens * total / done:,.0f} tokens" if cost is None else f"{cost * total / done:.4f}"
    left = seconds * (total - done) / done
    return f"{failed:,} failed, {oracle.budget.spent()}, projected {whole}, {left:.0f} s left"


class Known(NamedTuple):
    """A journal that a plan can count on: the file, how many replies it has, and the model that is asked."""

    journal: Path
    replies: int
    model: str

    @property
    def inputs(self) -> dict[str, str]:
        """Return what a plan's key knows of it: with more replies it is another plan."""
        return {str(self.journal): f"{self.journal}: {self.replies} replies for {self.model}"}


def known_journal(
    name: str, version: int, settings: OracleSettings, inputs: Callable[[str], Mapping[str, str]]
) -> Known | None:
    """Return the journal that a verb's work would go on with; None where there is none, or the model isn't known.

    `inputs` gives what the work's key knows beside its settings, by the model that is asked.
    """
    if is_url(settings.oracle) and settings.oracle_model is None:
        return None  # only the server could say
    model = model_of(settings)
    folder, _ = run_location(name, version, settings, inputs(model))
    path = folder / JOURNAL if settings.journal is None else Path(settings.journal)
    if not path.is_file():
        return None
    with Journal(path) as journal:
        return Known(path, len(journal), model)


class Replayed(NamedTuple, Generic[K]):
    """What a journal has of some items' calls.

    Attributes:
        way: how replies are asked for.
        calls: of each item, how many of its calls are there; None where nothing needs to be asked any more.
        free: replies that are there, each counted once.
    """

    way: ReplyFormat
    calls: dict[K, int | None]
    free: int


def replayed(
    settings: OracleSettings, model: str, path: Path, items: Mapping[K, T], work: Callable[[T, Calls], Awaitable[R]]
) -> Replayed[K]:
    """Work on every item as far as a journal's replies go; nothing is asked.

    Raises:
        RunError: the file is no journal.
    """
    calls: dict[K, int | None] = {}
    ids: set[str] = set()

    async def count(key: K, asked: Calls) -> None:
        calls[key] = None
        try:
            await work(items[key], asked)
        except Later:
            calls[key] = len(asked.ids)
        except Failed:
            pass
        ids.update(asked.ids)

    async def run(journal: Journal) -> Oracle:
        oracle = Oracle(transport_of(settings, model), model, settings, journal, leave=lambda key, body: None)
        await oracle.way()
        await oracle.each(list(items), count, lambda nothing: None)
        return oracle

    with Journal(path) as journal:
        oracle = asyncio.run(run(journal))
    if oracle.stopped is not None:
        raise oracle.stopped
    return Replayed(oracle.used or "tags", calls, len(ids))
