"""One model, and what all calls to it share: the journal, the budget, the rate limit, and why no more are made."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from random import Random
from time import monotonic
from typing import Any, Literal

from tunescope.errors import ItemFailed, NotCached, RejectedRequest, RetryableError, TunescopeError
from tunescope.oracle.api import parse_reply
from tunescope.oracle.budget import Budget
from tunescope.oracle.call import Call
from tunescope.oracle.call_export import CallExport
from tunescope.oracle.gate import CallGate
from tunescope.oracle.halt import FirstFailures, Halt
from tunescope.oracle.journal import Journal
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
        parameter_hints: Mapping[str | None, str] | None = None,
        sleep: Sleep = asyncio.sleep,
        jitter: Random | None = None,
    ) -> None:
        """Count what the journal's replies used.

        With an `export`, calls are written down instead of made. `was_answered` says that the model answered in an
        earlier run, where no journal does. `parameter_hints` say what to type where a server refuses a parameter.
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
        self._first_failures = FirstFailures(model)
        self._gate = CallGate(self.budget, journal, self.rate_limit, self.halt)
        self._was_answered_before = was_answered or self.budget.n_replies > 0
        self._parameter_hints = parameter_hints or {}

    def cached_reply(self, call: Call) -> Reply | None:
        """Return the journal's reply; None where the call is to be made.

        Raises:
            ItemFailed: the call was rejected before.
            NotCached: there is none, and the call is written down instead of made.
        """
        try:
            reply = None if self.journal is None else self.journal.reply(call.key)
        except RejectedRequest as error:
            raise ItemFailed(str(error), is_for_good=True) from None
        if reply is not None:
            self.n_replayed += 1
        elif self.export is not None:
            self.export.export_call(call, self.budget)
            raise NotCached
        return reply

    async def attempt(self, call: Call, clock: ItemClock) -> Reply:
        """Make one call as soon as the rate limit lets it, and keep what came before reading it.

        Raises:
            RetryableError, RejectedRequest: it failed.
            WorkError: the budget has no room for it.
            TimeoutError: the item's time is up.
        """
        async with (
            asyncio.timeout_at(clock.ends) as limit,
            self.rate_limit.slot(lambda: self.budget.fits(*self.budget.most(call.size))) as began,
        ):
            reply = await self._gate.enter(call)
            if reply is not None:
                self.n_replayed += 1
                return reply
            limit.reschedule(clock.start())
            with self._gate.entered(call):
                self.n_made += 1
                try:
                    raw = await self.transport.send(call.messages, call.options)
                except RetryableError as error:
                    if error.overloaded:
                        self.rate_limit.slow_down(began)
                    raise
                limit.reschedule(None)  # what was paid for is kept, however late
                if self.journal is not None:
                    await self.journal.add(call.key, call.size, raw.body, monotonic() - began)
                self.budget.use(measure_usage(call.size, raw.body), call.size)
            if raw.pause_seconds:
                self.rate_limit.pause(raw.pause_seconds)
            reply = parse_reply(raw.body)
            self.rate_limit.speed_up()
            return reply

    def count_missing(self) -> int:
        """Count a call that the journal can't answer; return its number, from 0."""
        self._n_missing += 1
        return self._n_missing - 1

    def note_failure(self, number: int, reason: str) -> None:
        """Note why a call has no reply; raises `TunescopeError` where the first ones all fail for one reason."""
        if not self._was_answered_before:
            self._first_failures.add(number, reason)

    def require_parameters(self, error: RejectedRequest) -> None:
        """Raise `TunescopeError` with what to type, where a server that never answered refuses a parameter."""
        was_answered = self._was_answered_before or self.retries.last_reply_at > float("-inf")
        if error.parameter in self._parameter_hints and not was_answered:
            raise TunescopeError(f"{error}; {self._parameter_hints[error.parameter]}")


def rejected_item(error: RejectedRequest, call: Call) -> ItemFailed:
    """Return why an item fails whose call was rejected; of a prompt that is too long, with its length."""
    length = f" (about {estimate_tokens(call.n_bytes):,} tokens in the prompt)" if _TOO_LONG.match(str(error)) else ""
    return ItemFailed(f"{error}{length}", is_for_good=True)


def describe_usage(caller: Caller, is_journal_shared: bool) -> str:
    """Say what the journal's replies used, and how they were asked for."""
    among = " in all the runs that share its journal" if is_journal_shared else ""
    asked = "" if caller.reply_format is None else f", asked for {FORMAT_WORDS[caller.reply_format]}"
    return f"{caller.model} used {caller.budget.describe()}{among}{asked}"
