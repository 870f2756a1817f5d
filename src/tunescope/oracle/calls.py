"""One item's calls, one after the other: a request in the format that the model can reply in, answered and parsed."""

from __future__ import annotations

import asyncio
from functools import partial

from tunescope.errors import ItemFailed, RejectedRequest
from tunescope.oracle.call import make_call
from tunescope.oracle.caller import Caller
from tunescope.oracle.replies import ParsedReply
from tunescope.oracle.request import Request
from tunescope.oracle.retry import ItemClock

_ID_DIGITS = 16
"""Hex digits of a call's key that name it in a row's lineage."""


class Calls:
    """One item's calls.

    Attributes:
        ids: of the calls answered so far.
        failed: why the last call that got no reply got none.
        clock: the item's time, from its first call on.
    """

    def __init__(self, caller: Caller) -> None:
        """Begin with none."""
        self._caller = caller
        self.ids: list[str] = []
        self.failed: ItemFailed | None = None
        self.clock = ItemClock(caller.deadline)

    async def ask(self, request: Request, sample: int = 0) -> ParsedReply:
        """Return the parsed reply to a request, from the journal or from the model.

        Another `sample` is another call, with another seed where one is sent.

        Raises:
            ItemFailed: no reply can be had for this item.
            NotCached: the journal doesn't have it, and no calls are made.
            TunescopeError, Halted: no item gets further.
        """
        caller = self._caller
        reply_format = caller.reply_format or "tags"
        call = make_call(request.render(reply_format), caller.model, caller.decoding, sample)
        try:
            async with caller.locks.setdefault(call.key, asyncio.Lock()):  # two items alike are one call
                reply = caller.cached_reply(call)
                if reply is None:
                    number = caller.count_missing()
                    try:
                        attempt = partial(caller.attempt, call, self.clock)
                        reply = await caller.retries.until_answered(attempt, self.clock)
                    except RejectedRequest as error:
                        caller.require_parameters(error)
                        caller.note_rejection(number, str(error))
                        raise caller.rejected_item(error, call) from error
        except ItemFailed as error:
            self.failed = error
            raise
        self.ids.append(call.key[:_ID_DIGITS])
        return request.parse(reply, reply_format)
