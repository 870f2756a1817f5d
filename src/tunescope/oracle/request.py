"""One request to a model: what its reply must hold, the prompt, how the reply is parsed, and how long it usually is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tunescope.oracle.replies import ParsedReply, Reply
from tunescope.oracle.reply_format import ReplyFormat
from tunescope.oracle.reply_schema import ReplySchema

_FREE_TEXT = ReplySchema("text", ())
"""Of a reply that is text as it stands."""


class RenderedPrompt(NamedTuple):
    """A request written for one reply format.

    Attributes:
        messages: the conversation that the model goes on with.
        schema: the JSON schema that goes with the call; None where none does.
        options: what else this call alone says (tools, a seed).
    """

    messages: tuple[Mapping[str, Any], ...]
    schema: dict[str, Any] | None = None
    options: Mapping[str, Any] = {}

    @property
    def prompt(self) -> str:
        """The text of the last message."""
        return str(self.messages[-1]["content"])


@dataclass(frozen=True)
class Request:
    """What a model is asked, before it is known in which format it can reply.

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
        return cls(_FREE_TEXT, lambda instructions: prompt, (), expected_tokens)

    def render(self, reply_format: ReplyFormat) -> RenderedPrompt:
        """Write the prompt; raises `SettingsError` where the template can't be filled in."""
        schema = self.schema.json_schema() if reply_format == "json" and self.schema.fields else None
        message = {"role": "user", "content": self.fill(self.instructions(reply_format))}
        return RenderedPrompt((message,), schema)

    def instructions(self, reply_format: ReplyFormat) -> str:
        """Return what the prompt says about how to reply."""
        if not self.schema.fields:
            return ""
        if reply_format == "json":
            return self.schema.json_instructions()
        return self.schema.tag_instructions(self.schema.tags(*self.shown))

    def parse(self, reply: Reply, reply_format: ReplyFormat) -> ParsedReply:
        """Parse the reply to the prompt that `render` wrote for this format."""
        if reply_format == "json" and self.schema.fields:
            parsed = self.schema.parse_json(reply)
        else:
            parsed = self.schema.parse_tags(reply, self.schema.tags(*self.shown))
        return parsed._replace(reply_format=reply_format)


@dataclass(frozen=True)
class ChatRequest(Request):
    """A conversation to go on with; the reply is text as it stands.

    Attributes:
        messages: the conversation so far, in the API's form.
        options: what this call alone says (tools, a seed).
    """

    messages: tuple[Mapping[str, Any], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, messages: tuple[Mapping[str, Any], ...], options: Mapping[str, Any]) -> ChatRequest:
        """Return the request for the next message."""
        return cls(_FREE_TEXT, str, messages=messages, options=options)

    def render(self, reply_format: ReplyFormat) -> RenderedPrompt:
        """Return the conversation as it stands."""
        return RenderedPrompt(self.messages, None, self.options)
