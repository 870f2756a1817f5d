"""Ask an oracle about many rows: through the journal, at the server's pace, within the budget.

A row's calls are asked one after the other, as `Calls`; rows are asked side by side by `each`. A call whose reply
is in the journal isn't made. What asking again can't mend fails its row (`Failed`); what no row can get past
stops the work (`Stopped`), after the calls at work have been kept.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any, Protocol, TypeVar

from tunescope.errors import SettingsError, TunescopeError, WorkError
from tunescope.oracle.budget import Budget, Price, tokens_of
from tunescope.oracle.client import LONGEST_ASKED, TRIES, Again, Client, Raw, Refused, Reply, backoff, is_url
from tunescope.oracle.fake import PREFIX, Fake, read_fake
from tunescope.oracle.journal import Journal, key_of
from tunescope.oracle.pacing import Pace
from tunescope.oracle.settings import OracleSettings

T = TypeVar("T")
R = TypeVar("R")
HOPELESS = 20
"""Calls that fail alike, with none answered, after which no more are made."""
APART = 0.002
"""Seconds between the first calls of all; made in one moment, they would come back in one, round after round."""
PATIENCE = 8
"""Tries beyond `TRIES` while no call at all is answered: some four minutes, for a server that starts again."""
LATELY = 4
"""Tries in a row during which no call at all is answered, after which a server counts as away."""
LONG = re.compile(r"context|too (?:long|large|many)|length|maximum", re.IGNORECASE)
"""What servers say of a prompt that they have no room for; the row's reason then has its length."""
TEMPLATE = 16
"""Tokens that a server's chat template may add to a prompt."""
CALL_ID = 16
"""Hex digits of a call's key that name it in a row's lineage."""


class Failed(Exception):
    """This row can't be asked about; the text is the reason."""


class Stopped(Exception):
    """Nothing more is asked; `Oracle.stopped` says why."""


class Transport(Protocol):
    """What makes one call: a server's client, or the fake."""

    async def __aenter__(self) -> Any:
        """Open."""

    async def __aexit__(self, *error: Any) -> None:
        """Close."""

    async def once(self, messages: Sequence[Mapping[str, Any]], decoding: Mapping[str, Any]) -> Raw:
        """Call once."""

    async def answers(self) -> bool:
        """Tell whether anybody is there."""

    def read(self, body: bytes) -> Reply:
        """Read a reply."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply, and the name of the call that it came from."""

    call_id: str
    text: str
    finish_reason: str | None


def transport_of(settings: OracleSettings, model: str) -> Transport:
    """Return what makes the calls; raises `InputError` for a fake that can't be read."""
    if is_url(settings.oracle):
        options = ("--oracle", "--oracle-model")
        return Client(settings.oracle, model, settings.timeout, options=options)
    return Fake(read_fake(Path(settings.oracle.removeprefix(PREFIX))))


def model_of(settings: OracleSettings) -> str:
    """Return what the oracle's model is called: what was typed, or the only one the server has.

    Raises:
        SettingsError: it has several, or none.
        TunescopeError: it isn't there, or refuses the key.
    """
    if settings.oracle_model is not None or not is_url(settings.oracle):
        return settings.oracle_model or "fake"

    async def names() -> list[str]:
        async with Client(settings.oracle, timeout=settings.timeout, options=("--oracle", "--oracle-model")) as client:
            return await client.models()

    found = asyncio.run(names())
    if len(found) != 1:
        listed = ", ".join(found[:20]) or "none"
        raise SettingsError(f"{settings.oracle} has {len(found)} models ({listed}); choose one with --oracle-model")
    return found[0]


def characters_of(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return how long a prompt is."""
    return sum(len(str(message["content"])) for message in messages)


def budget_of(settings: OracleSettings) -> Budget:
    """Return the budget, with nothing used yet."""
    price = None if settings.price is None else Price.parse(settings.price)
    return Budget(settings.max_tokens_total, settings.max_cost, price)


class Oracle:
    """Where all rows' calls meet.

    Attributes:
        stopped: why nothing more is asked; None while it is.
        asked: replies wanted now that the journal doesn't have; `made`: calls made for them, those that failed
            included; `replayed`: replies from the journal.
    """

    def __init__(
        self,
        transport: Transport,
        model: str,
        settings: OracleSettings,
        journal: Journal,
        sleep: Callable[[float], Coroutine[Any, Any, Any]] = asyncio.sleep,
        jitter: Random | None = None,
    ) -> None:
        """Count what the journal's replies used; `sleep` and `jitter` are the waits' between calls."""
        self.transport, self.model, self.journal = transport, model, journal
        self.decoding: dict[str, Any] = {"temperature": settings.temperature, "max_tokens": settings.max_new_tokens}
        if settings.temperature > 0:
            self.decoding["seed"] = settings.seed
        self.concurrency, self.deadline = settings.concurrency, settings.deadline
        self.jitter = jitter or Random()
        self.pace = Pace(settings.concurrency, sleep=sleep, jitter=self.jitter)
        self.budget = budget_of(settings)
        self.stopped: TunescopeError | None = None
        self.asked = self.made = self.replayed = 0
        self.heard_at = float("-inf")
        self._asking: dict[str, asyncio.Lock] = {}
        self._first: dict[int, str] = {}
        self._unheard = 0
        for characters, body in journal:
            self._count(characters, body)
        self._is_known = self.budget.tokens > 0

    def _count(self, characters: int, body: bytes) -> None:
        """Count what a call used: the server's count, else an estimate by the prompt's and the reply's characters."""
        try:
            reply = self.transport.read(body)
        except (Again, Refused):
            return
        usage = reply.usage or {
            "prompt_tokens": tokens_of(characters) + TEMPLATE,
            "completion_tokens": tokens_of(len(reply.text)),
        }
        self.budget.use(usage["prompt_tokens"], usage["completion_tokens"])

    def stop(self, error: TunescopeError) -> Stopped:
        """Ask nothing more, for this reason unless there is one already."""
        self.stopped = self.stopped or error
        self.pace.halt()
        return Stopped()

    def note_refused(self, number: int, reason: str) -> None:
        """Stop once the first calls of all have failed alike; `number` counts them from 0."""
        if self._is_known or number >= HOPELESS:
            return
        self._first[number] = reason
        if len(self._first) == HOPELESS and len({*self._first.values()}) == 1:
            self.stop(TunescopeError(f"the oracle refuses the first {HOPELESS} calls alike: {reason}"))

    def kept(self, key: str) -> Reply | None:
        """Return the journal's reply to a call; None where there is none that can be read."""
        for body in self.journal.bodies(key):
            try:
                return self.transport.read(body)
            except Again:  # what came was no reply
                continue
        return None

    async def ask(self, calls: Calls, messages: Sequence[Mapping[str, Any]], sample: int) -> Answered:
        """Return the reply to a call, from the journal or from the oracle; see `Calls.ask`."""
        key = key_of(messages, self.model, self.decoding, None, sample)
        async with self._asking.setdefault(key, asyncio.Lock()):  # two rows alike are one call
            try:
                reply = self.kept(key)
            except Refused as error:
                raise Failed(str(error)) from None
            if reply is not None:
                self.replayed += 1
            else:
                reply = await self._tried(calls, key, messages)
        return Answered(key[:CALL_ID], reply.text, reply.finish_reason)

    async def _tried(self, calls: Calls, key: str, messages: Sequence[Mapping[str, Any]]) -> Reply:
        characters = characters_of(messages)
        failed, failures = Again("not tried", unreachable=False), deque[float](maxlen=LATELY)
        number, self.asked = self.asked, self.asked + 1
        allowed = TRIES
        for attempt in count():
            try:
                return await self._once(calls, key, messages)
            except Refused as error:
                self.note_refused(number, str(error))
                about = f" (about {tokens_of(characters):,} tokens in the prompt)" if LONG.search(str(error)) else ""
                raise Failed(f"{error}{about}") from None
            except TimeoutError:
                reason = "" if attempt == 0 else f"; the last try: {failed.reason}"
                raise Failed(f"not done within the row's {self.deadline:g} s{reason}") from None
            except Again as error:
                failed = error
                failures.append(monotonic())
            except TunescopeError as error:
                raise self.stop(error) from None
            if failed.after is not None and failed.after > LONGEST_ASKED:
                raise self.stop(WorkError(f"{failed.reason}; the server asks to wait {failed.after:.0f} s")) from None
            share = 1.0
            if failed.after is not None:
                self.pace.close_for(failed.after)
                share = self.jitter.random()  # beside what the server asks for, which may be 0
            reason = f"{failed.reason}, in the last of {attempt + 1} tries"
            away = failed.overloaded and self.heard_at < failures[0]  # nor was any other row answered lately
            if attempt + 1 >= TRIES and away:
                if await self._is_alone(failed):
                    break
                if attempt + 1 >= TRIES + PATIENCE:
                    raise self.stop(WorkError(reason))
                allowed = attempt + 1 + TRIES  # from when others are
            if attempt + 1 >= allowed:
                break
            try:
                async with asyncio.timeout_at(calls.ends):
                    await self.pace.nap(share * backoff(attempt, self.jitter))
            except TimeoutError:
                raise Failed(f"not done within the row's {self.deadline:g} s; the last try: {failed.reason}") from None
        self.note_refused(number, reason)
        raise Failed(reason)

    async def _is_alone(self, failed: Again) -> bool:
        """Tell whether only this row isn't answered, though nothing else was: the server still says what it has."""
        if not failed.silent or self._unheard + 1 >= HOPELESS or not await self.transport.answers():
            return False
        self._unheard += 1
        return True

    async def _once(self, calls: Calls, key: str, messages: Sequence[Mapping[str, Any]]) -> Reply:
        """Make one call and keep what came before reading it."""
        characters = characters_of(messages)
        need = (tokens_of(characters, "high") + TEMPLATE, int(self.decoding["max_tokens"]))
        async with asyncio.timeout_at(calls.ends) as limit, self.pace.slot(lambda: self.budget.fits(*need)) as since:
            if self.stopped is not None:
                raise Stopped
            if not self.budget.fits(*need):
                raise WorkError(
                    f"the budget has no room for another call ({self.budget.spent()}; a call may use "
                    f"{sum(need):,} more); raise --max-tokens-total or --max-cost"
                )
            limit.reschedule(calls.start(self.deadline))
            self.budget.reserve(*need)
            try:
                self.made += 1
                raw = await self.transport.once(messages, self.decoding)
                limit.reschedule(None)  # what was paid for is kept, however late
                await self.journal.add(key, characters, raw.body, self.pace.now() - since)
                self._count(characters, raw.body)
            except Again as error:
                if error.overloaded:
                    self.pace.badly(since)
                raise
            finally:
                self.budget.reserve(-need[0], -need[1])
            if raw.full_for:
                self.pace.close_for(raw.full_for)
            reply = self.transport.read(raw.body)
            self.heard_at, self._unheard = monotonic(), 0
            self.pace.well()
            return reply

    async def each(
        self, items: Sequence[T], work: Callable[[T, Calls], Awaitable[R]], done: Callable[[R], None]
    ) -> None:
        """Work on every item, `concurrency` of them side by side; `done` gets each result as it comes.

        Ends early, with `stopped` set, where nothing more can be asked.
        """
        todo = iter(items)

        async def worker(number: int) -> None:
            await asyncio.sleep(number * APART)
            for item in todo:
                if self.stopped is not None:
                    return
                try:
                    done(await work(item, Calls(self)))
                except Stopped:
                    return
                except TunescopeError as error:
                    self.stop(error)

        async with self.transport, asyncio.TaskGroup() as group:
            for number in range(min(self.concurrency, len(items))):
                group.create_task(worker(number))


class Calls:
    """One row's calls.

    Attributes:
        ids: of the calls answered so far.
        ends: when the row's time is up, on the event loop's clock; None before its first call.
    """

    def __init__(self, oracle: Oracle) -> None:
        """Begin with none; the row's time runs from its first call."""
        self._oracle = oracle
        self.ids: list[str] = []
        self.ends: float | None = None

    def start(self, deadline: float) -> float:
        """Return when the row's time is up; it runs from the first time that this is asked."""
        if self.ends is None:
            self.ends = asyncio.get_running_loop().time() + deadline
        return self.ends

    async def ask(self, prompt: str, sample: int = 0) -> Answered:
        """Ask one prompt.

        Raises:
            Failed: no reply can be had for this row.
            Stopped: nothing more is asked.
        """
        answered = await self._oracle.ask(self, [{"role": "user", "content": prompt}], sample)
        self.ids.append(answered.call_id)
        return answered
