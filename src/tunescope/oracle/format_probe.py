"""How replies are asked for where the settings don't say: one small call finds out whether JSON can be had."""

from __future__ import annotations

import re
from functools import partial

from tunescope.errors import ItemFailed, RejectedRequest, WorkError
from tunescope.oracle.call import Call, make_call
from tunescope.oracle.caller import Caller
from tunescope.oracle.journal import rejection
from tunescope.oracle.reply_format import FORMAT_WORDS, ReplyFormat
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.oracle.request import Request
from tunescope.oracle.retry import ItemClock
from tunescope.oracle.usage import CallSize
from tunescope.progress import say

PROBE = Request(
    ReplySchema(
        "colour", (Field("name", "a colour"), Field("letters", "how many letters its name has", maximum=float("inf")))
    ),
    lambda instructions: "Say in JSON which colour a ripe tomato has.",
)
"""Asked once, with a schema whose fields the prompt doesn't name: only a server that holds the model to it gets them.

The prompt says JSON, since small models that aren't told fill what a schema lets them with white space."""
_PASSING_ERRORS = re.compile(r"\b(?:4\d\d|50[234]|5[2-9]\d): ")
"""Errors of a server that has no room, or isn't there: they say nothing about schemas either."""
_NON_SCHEMA_ERRORS = re.compile(r"4(?!00|22)\d\d:")
"""Rejections of that call that say nothing about schemas (an unknown model), and so aren't kept."""


def probe_call(caller: Caller) -> Call:
    """Return the small call that finds out whether the server holds the model to a schema."""
    return make_call(PROBE.render("json"), caller.model, caller.decoding)


async def detect_reply_format(caller: Caller) -> ReplyFormat:
    """Return how replies are asked for: as `caller` says already, or as it finds out.

    It finds out with one small call, from the journal or made now, whether the server holds the model to a schema. What
    comes of it is kept in the journal, so whoever goes on does alike. Where the journal doesn't have it and no
    calls are made, replies are asked for as text.

    Raises:
        WorkError: the server has no room, or isn't there.
        TunescopeError: no call can succeed.
    """
    if caller.reply_format is not None:
        return caller.reply_format
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
            if isinstance(error, ItemFailed) and _PASSING_ERRORS.search(str(error)) is not None:
                raise WorkError(str(error)) from error
            if isinstance(error, RejectedRequest) and error.parameter != "response_format":
                caller.require_parameters(error)
            if caller.journal is not None and _NON_SCHEMA_ERRORS.match(str(error)) is None:
                await caller.journal.add(call.key, CallSize(0), rejection(str(error)), 0.0)
    follows_schema = reply is not None and PROBE.parse(reply, "json").status == "ok"
    detected: ReplyFormat = "json" if follows_schema else "tags"
    say(f"replies are asked for {FORMAT_WORDS[detected]}")
    return detected
