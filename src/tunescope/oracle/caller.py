"""One model, and what all calls to it share: the journal, the budget, the rate limit, and why no more are made."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from random import Random
from time import monotonic
from typing import Any, Literal

from tunescope.errors import (
    ForbiddenRequest,
    ItemFailed,
    NotCached,
    RejectedRequest,
    RetryableError,
    TunescopeError,
)
from tunescope.oracle.api import parse_reply
from tunescope.oracle.blame import is_about_content
from tunescope.oracle.body import Body
from tunescope.oracle.budget import Budget
from tunescope.oracle.call import Call
from tunescope.oracle.call_export import CallExport
from tunescope.oracle.gate import CallGate
from tunescope.oracle.halt import MAX_FAILURES, FirstRejections, Halt
from tunescope.oracle.journal import Journal, rejection
from tunescope.oracle.rate_limit import RateLimit, Sleep
from tunescope.oracle.replies import Reply
from tunescope.oracle.reply_format import FORMAT_WORDS, ReplyFormat
from tunescope.oracle.retry import EXTRA_RETRIES, ItemClock, Retries
from tunescope.oracle.transport import Transport
from tunescope.oracle.usage import estimate_tokens, measure_usage

_TOO_LONG = re.compile(r"\d{3}: .*(?:context|too (?:long|large|many)|length|maximum)", re.IGNORECASE)
"""What servers say of a prompt that they have no room for; the item's reason then has its length."""


class Caller:
    """One model, and what all calls to it share.

    Attributes:
        reply_format: how replies are asked for; None where it has to be found out.
        halt: whether calls are made, and why not.
        locks: one for each call that was wanted, by key: two that are alike are made once.
        rejected: keys of calls that were rejected in this run.
        n_made: calls made, those that failed included.
        n_replayed: replies from the journal.
    """

    def __init__(
        self,
        model: str,
        transport: Transport,
        decoding: Mapping[str, Any],
        concurrency: int,
        deadline: float = float("inf"),
        budget: Budget | None = None,
        journal: Journal | None = None,
        export: CallExport | None = None,
        reply_format: Literal["auto", "json", "tags"] = "tags",
        extra_retries: int = EXTRA_RETRIES,
        was_answered: bool = False,
        asks_again: bool = False,
        parameter_hints: Mapping[str | None, str] | None = None,
        sleep: Sleep = asyncio.sleep,
        jitter: Random | None = None,
    ) -> None:
        """Count what the journal's replies used.

        With an `export`, calls are written down instead of made. `was_answered` says that the model answered in an
        earlier run, where no journal does. `asks_again` makes calls again that were rejected in earlier runs.
        `parameter_hints` say what to type where a server refuses a parameter.
        """
        self.model, self.transport, self.decoding = model, transport, decoding
        self.concurrency, self.deadline = transport.max_concurrency or concurrency, deadline
        self.budget, self.journal, self.export = budget or Budget(), journal, export
        self.reply_format: ReplyFormat | None = None if reply_format == "auto" else reply_format
        self.halt = Halt()
        self.rate_limit = RateLimit(self.concurrency, self.halt, sleep, jitter)
        self.retries = Retries(self.rate_limit, transport.is_answering, jitter, extra_retries)
        self.locks: dict[str, asyncio.Lock] = {}
        self.n_made = self.n_replayed = self._n_missing = 0
        self._first_rejections = FirstRejections()
        self._gate = CallGate(self.budget, journal, self.rate_limit, self.halt)
        self._was_answered = was_answered or self.budget.n_replies > 0
        self._n_forbidden = 0
        self._parameter_hints = parameter_hints or {}
        self._asks_again, self.rejected = asks_again, set[str]()
        self._rejections: list[tuple[str, bytes]] = []

    def cached_reply(self, call: Call) -> Reply | None:
        """Return the journal's reply; None where the call is to be made.

        Raises:
            ItemFailed: the call was rejected before, and isn't made again.
            NotCached: there is none, and the call is written down instead of made.
        """
        try:
            reply = None if self.journal is None else self.journal.reply(call.key)
        except RejectedRequest as error:
            if not self._asks_again or call.key in self.rejected:
                raise ItemFailed(str(error), is_for_good=True) from None
            self._gate.again.add(call.key)
            reply = None
        if reply is not None:
            self.n_replayed += 1
        elif self.export is not None:
            self.export.export_call(call, self.budget)
            raise NotCached
        return reply

    async def attempt(self, call: Call, clock: ItemClock) -> Reply:
        """Make one call as soon as the rate limit lets it, and keep what came before reading it.

        A server may forbid a call without a word why. Then it is the row's fault where any call was answered, once
        those under way are back, and else the key's; so are `MAX_FAILURES` in a row.

        Raises:
            RetryableError, RejectedRequest: it failed.
            WorkError: the budget has no room for it, or the server answers no call at all.
            TimeoutError: the item's time is up.
        """
        try:
            async with (
                asyncio.timeout_at(clock.ends) as limit,
                self.rate_limit.slot(lambda: self.budget.fits(*self.budget.most(call.size))) as began,
            ):
                reply = await self._gate.enter(call)
                if reply is not None:
                    self._was_answered = True
                    self.n_replayed += 1
                    return reply
                limit.reschedule(clock.start())
                with self._gate.entered(call):
                    self.n_made += 1
                    raw = await self.transport.send(call.messages, call.options)
                    limit.reschedule(None)  # what was paid for is kept, however late
                    if self.journal is not None:
                        await self.journal.add(call.key, call.size, raw.body, monotonic() - began)
                    body = Body(raw.body)
                    self.budget.use(measure_usage(call.size, body), call.size)
                self._pause(raw.pause_seconds)
                reply = parse_reply(body)
                self._was_answered, self._n_forbidden = True, 0
                self.rate_limit.speed_up()
                return reply
        except RetryableError as error:
            if error.overloaded:
                self.rate_limit.slow_down(began)
            raise
        except ForbiddenRequest as error:
            await self.rate_limit.drain()
            self._n_forbidden += 1
            if self._was_answered and self._n_forbidden < MAX_FAILURES:
                raise
            raise error.refusal from None

    def _pause(self, seconds: float) -> None:
        """Leave a server alone that has no room for so long."""
        if seconds > 0:
            self.rate_limit.pause(seconds)
            self.retries.waiting.note("the server's rate limit", seconds)

    def count_missing(self) -> int:
        """Count a call that the journal can't answer; return its number, from 0."""
        self._n_missing += 1
        return self._n_missing - 1

    def note_rejection(self, number: int, reason: str) -> None:
        """Note why a call was rejected; raises `TunescopeError` where the first ones all are for one reason.

        What was rejected for what a row holds, such as its length, says nothing about other rows.
        """
        if not self._was_answered and not is_about_content(reason):
            self._first_rejections.add(number, reason)

    def require_parameters(self, error: RejectedRequest) -> None:
        """Raise `TunescopeError` with what to type, where a server that never answered refuses a parameter."""
        if error.parameter in self._parameter_hints and not self._was_answered:
            raise TunescopeError(f"{error}; {self._parameter_hints[error.parameter]}")

    def rejected_item(self, error: RejectedRequest, call: Call) -> ItemFailed:
        """Return why an item fails whose call was rejected, and keep it; of a prompt that is too long, with its length.

        It is kept once a call was answered: before, all calls may be rejected alike.
        """
        length = f" (about {estimate_tokens(call.n_bytes):,} tokens in the prompt)"
        failed = ItemFailed(f"{error}{length if _TOO_LONG.match(str(error)) else ''}", is_for_good=True)
        self.rejected.add(call.key)
        if self.journal is not None and not self.journal.bodies(call.key):
            self._rejections.append((call.key, rejection(str(failed))))
            self.keep_rejections()
        return failed

    def keep_rejections(self) -> None:
        """Keep in the journal which calls were rejected for their own sake, if any call was answered."""
        if self.journal is not None and self._was_answered:
            self.journal.add_all(self._rejections)
            self._rejections = []


def describe_usage(caller: Caller, is_journal_shared: bool) -> str:
    """Say what the journal's replies used, and how they were asked for."""
    among = " in all the runs that share its journal" if is_journal_shared else ""
    asked = "" if caller.reply_format is None else f", asked for {FORMAT_WORDS[caller.reply_format]}"
    return f"{caller.model} used {caller.budget.describe()}{among}{asked}"
