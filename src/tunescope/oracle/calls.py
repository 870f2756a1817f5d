"""One item's calls, one after the other: a request in the format that the model can reply in, answered and parsed."""

from __future__ import annotations

import asyncio
import re
from functools import partial

from tunescope.errors import ItemFailed, RejectedRequest
from tunescope.oracle.call import Call, make_call
from tunescope.oracle.caller import Caller, rejected_item
from tunescope.oracle.journal import rejection
from tunescope.oracle.replies import ParsedReply
from tunescope.oracle.reply_format import FORMAT_WORDS, ReplyFormat
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.oracle.request import Request
from tunescope.oracle.retry import ItemClock, OutOfTime
from tunescope.progress import say

_ID_DIGITS = 16
"""Hex digits of a call's key that name it in a row's lineage."""
PROBE = Request(
    ReplySchema(
        "colour", (Field("name", "a colour"), Field("letters", "how many letters its name has", maximum=float("inf")))
    ),
    lambda instructions: "Say in JSON which colour a ripe tomato has.",
)
"""Asked once, with a schema whose fields the prompt doesn't name: only a server that holds the model to it gets them.

The prompt says JSON, since small models that aren't told fill what a schema lets them with white space."""
NON_SCHEMA_ERRORS = re.compile(r"4(?!00|22)\d\d:")
"""Rejections of that call that say nothing about schemas (an unknown model), and so aren't kept."""


class Calls:
    """One item's calls.

    Attributes:
        ids: of the calls answered so far.
        clock: the item's time, from its first call on.
    """

    def __init__(self, caller: Caller) -> None:
        """Begin with none."""
        self._caller = caller
        self.ids: list[str] = []
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
        reply_format = await self.reply_format() if request.schema.fields else "tags"
        call = make_call(request.render(reply_format), caller.model, caller.decoding, sample)
        async with caller.locks.setdefault(call.key, asyncio.Lock()):  # two items alike are one call
            reply = caller.cached_reply(call)
            if reply is None:
                number = caller.count_missing()
                try:
                    reply = await caller.retries.until_answered(partial(caller.attempt, call, self.clock), self.clock)
                except RejectedRequest as error:
                    caller.require_parameters(error)
                    caller.note_failure(number, str(error))
                    raise rejected_item(error, call) from error
                except OutOfTime:
                    raise
                except ItemFailed as error:
                    caller.note_failure(number, str(error))
                    raise
        self.ids.append(call.key[:_ID_DIGITS])
        return request.parse(reply, reply_format)

    async def reply_format(self) -> ReplyFormat:
        """Return how replies are asked for: as the settings say, or as one small call finds out. Raises as `ask`."""
        caller = self._caller
        if caller.reply_format is None:
            async with caller.detecting:
                if caller.reply_format is None:
                    caller.reply_format = await detect_reply_format(caller)
        return caller.reply_format


def probe_call(caller: Caller) -> Call:
    """Return the small call that finds out whether the server holds the model to a schema."""
    return make_call(PROBE.render("json"), caller.model, caller.decoding)


async def detect_reply_format(caller: Caller) -> ReplyFormat:
    """Find out with one small call, from the journal or made now, whether the server holds the model to a schema.

    What comes of it is kept in the journal, so whoever goes on does alike. Where the journal doesn't have it and no
    calls are made, replies are asked for as text.
    """
    call, clock = probe_call(caller), ItemClock(caller.deadline)
    try:
        reply = None if caller.journal is None else caller.journal.reply(call.key)
    except RejectedRequest:
        return "tags"
    if reply is None and caller.export is not None:
        return "tags"
    if reply is None:
        try:
            reply = await caller.retries.until_answered(partial(caller.attempt, call, clock), clock)
        except (RejectedRequest, ItemFailed) as error:
            if isinstance(error, RejectedRequest) and error.parameter != "response_format":
                caller.require_parameters(error)
            if caller.journal is not None and NON_SCHEMA_ERRORS.match(str(error)) is None:
                await caller.journal.add(call.key, 0, rejection(str(error)), 0.0)
    follows_schema = reply is not None and PROBE.parse(reply, "json").status == "ok"
    detected: ReplyFormat = "json" if follows_schema else "tags"
    say(f"replies are asked for {FORMAT_WORDS[detected]}")
    return detected
