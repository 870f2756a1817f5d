"""A request for a verdict: asked for as JSON or as text, and parsed so that no answer can speak for the judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunescope.judgements.parsing import without_thoughts
from tunescope.oracle.endings import Ending
from tunescope.oracle.replies import ParsedReply, Reply, Status
from tunescope.oracle.reply_format import ReplyFormat
from tunescope.oracle.request import Request
from tunescope.verbs.judge.reading import ParsedVerdict, is_quoted

_STATUSES: dict[str, Status] = {"": "ok", "refused": "refused", "truncated": "truncated"}


@dataclass(frozen=True, kw_only=True)
class VerdictRequest(Request):
    """A request whose parsed reply holds a `ParsedVerdict`; `shown` are the answers that the judge sees.

    Attributes:
        verdict_marker: the nonce behind which the verdict stands in text.
        text_instructions: how to reply as text, from the marker.
        parse_text: reads a text, from how it ended, the marker and the answers.
        parse_fields: reads the fields of a reply in JSON.
    """

    verdict_marker: str
    text_instructions: Callable[[str], str]
    parse_text: Callable[[str, Ending, str, Sequence[str]], ParsedVerdict[Any]]
    parse_fields: Callable[[ParsedReply], ParsedVerdict[Any]]

    def instructions(self, reply_format: ReplyFormat) -> str:
        """Return what the prompt says about how to reply."""
        if reply_format == "json":
            return self.schema.json_instructions()
        return self.text_instructions(self.verdict_marker)

    def parse(self, reply: Reply, reply_format: ReplyFormat) -> ParsedReply:
        """Parse a reply without the thoughts that a reasoning model puts before it."""
        reply = replace(reply, text=without_thoughts(reply.text))
        if reply_format == "tags":
            verdict = self.parse_text(reply.text, reply.ending, self.verdict_marker, self.shown)
        else:
            verdict = self.parse_fields(self.schema.parse_json(reply))
            if verdict.verdict is not None and any(is_quoted(answer, reply.text, self.schema) for answer in self.shown):
                verdict = ParsedVerdict(None, "quoted")
        status = _STATUSES.get(verdict.why, "unparsed")
        return ParsedReply(status, {}, {}, verdict.why, reply, reply_format, verdict)
