"""One call as it is sent and cached: its key, messages and options."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from tunescope.oracle.journal import call_key
from tunescope.oracle.request import RenderedPrompt
from tunescope.oracle.usage import MESSAGE_BYTES, CallSize, count_bytes


class Call(NamedTuple):
    """One call.

    Attributes:
        key: its name in the journal.
        messages: the conversation that the model goes on with.
        options: what the server is told beside it: how to decode, the reply's schema, tools.
        n_bytes: of the prompt with its tools and schema, which servers put into it, in UTF-8.
    """

    key: str
    messages: tuple[Mapping[str, Any], ...]
    options: Mapping[str, Any]
    n_bytes: int

    @property
    def size(self) -> CallSize:
        """What bounds the tokens that the call may use."""
        return CallSize(self.n_bytes, int(self.options["max_tokens"]))


def make_call(rendered: RenderedPrompt, model: str, decoding: Mapping[str, Any], sample: int = 0) -> Call:
    """Make the call for a prompt; each sample is a call of its own, with its own seed where one is sent."""
    seed = {"seed": decoding["seed"] + sample} if "seed" in decoding else {}
    options = {**decoding, **seed, **rendered.options}
    key = call_key(rendered.messages, model, options, rendered.schema, sample)
    n_bytes = sum(map(_message_bytes, rendered.messages)) + MESSAGE_BYTES * (len(rendered.messages) - 1)
    if "tools" in options:
        n_bytes += len(json.dumps(options["tools"], indent=4))
    if rendered.schema is not None:
        n_bytes += len(json.dumps(rendered.schema))
        options["response_format"] = {"type": "json_schema", "json_schema": rendered.schema}
    return Call(key, rendered.messages, options, n_bytes)


def _message_bytes(message: Mapping[str, Any]) -> int:
    """Count the bytes of a message; of one with more than a text, as the widest of templates writes it."""
    if len(message) == 2 and isinstance(message["content"], str):
        return count_bytes(message["content"])
    return count_bytes(json.dumps(dict(message), indent=4))
