"""One request to a model: what its reply must hold, the prompt, how the reply is parsed, and how long it usually is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from tunescope.oracle.replies import ParsedReply
from tunescope.oracle.reply_format import ReplyFormat
from tunescope.oracle.reply_schema import ReplySchema

FREE_TEXT = ReplySchema("text", ())
"""Of a reply that is text as it stands."""


class RenderedPrompt(NamedTuple):
    """A request for one reply format: its prompt, and the JSON schema that goes with the call (None: none does)."""

    prompt: str
    schema: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Request:
    """What an oracle is asked, before it is known in which format it can reply.

    Attributes:
        schema: what the reply must hold.
        fill: puts the instructions for the reply into the prompt.
        shown: texts in the prompt, which tags mustn't occur in.
        expected_tokens: length of a usual reply.
    """

    schema: ReplySchema
    fill: Callable[[str], str]
    shown: tuple[str, ...] = ()
    expected_tokens: int = 0

    @classmethod
    def plain(cls, prompt: str, expected_tokens: int = 0) -> Request:
        """Return a request whose reply is text as it stands, `ParsedReply.text`."""
        return cls(FREE_TEXT, lambda instructions: prompt, (), expected_tokens)

    def render(self, reply_format: ReplyFormat) -> RenderedPrompt:
        """Write the prompt; raises `SettingsError` where the template can't be filled in."""
        if not self.schema.fields:
            return RenderedPrompt(self.fill(""), None)
        if reply_format == "json":
            return RenderedPrompt(self.fill(self.schema.json_instructions()), self.schema.json_schema())
        return RenderedPrompt(self.fill(self.schema.tag_instructions(self.schema.tags(*self.shown))), None)

    def parse(self, text: str, finish_reason: str | None, reply_format: ReplyFormat) -> ParsedReply:
        """Parse the reply to the prompt that `render` wrote for this format."""
        if reply_format == "json" and self.schema.fields:
            return self.schema.parse_json(text, finish_reason)
        return self.schema.parse_tags(text, finish_reason, self.schema.tags(*self.shown))
