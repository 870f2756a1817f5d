"""A request for a verdict: asked for as JSON or as text, and parsed so that no answer can speak for the judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tunescope.oracle.folding import whole_characters
from tunescope.oracle.replies import ParsedReply, Reply, Status
from tunescope.oracle.reply_format import ReplyFormat
from tunescope.oracle.request import Request
from tunescope.verbs.judge.forms import VerdictForm
from tunescope.verbs.judge.reading import read_verdict

_STATUSES: dict[str, Status] = {"": "ok", "refused": "refused", "truncated": "truncated"}


@dataclass(frozen=True, kw_only=True)
class VerdictRequest(Request):
    """A request whose parsed reply holds a `forms.ParsedVerdict`; `shown` are the answers that the judge sees.

    Attributes:
        form: what the verdict looks like.
        verdict_marker: the nonce behind which the verdict stands in text.
        text_instructions: how to reply as text, from the marker.
    """

    form: VerdictForm[Any]
    verdict_marker: str
    text_instructions: Callable[[str], str]

    def instructions(self, reply_format: ReplyFormat) -> str:
        """Return what the prompt says about how to reply."""
        if reply_format == "json":
            return self.schema.json_instructions()
        return self.text_instructions(self.verdict_marker)

    def parse(self, reply: Reply, reply_format: ReplyFormat) -> ParsedReply:
        """Parse a reply."""
        reply = replace(reply, text=whole_characters(reply.text))
        verdict = read_verdict(reply, self.form, self.verdict_marker, self.shown, reply_format)
        status = _STATUSES.get(verdict.why, "unparsed")
        return ParsedReply(status, {}, {}, verdict.why, reply, reply_format, verdict)
