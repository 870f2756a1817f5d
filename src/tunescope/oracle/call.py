"""One call as it is sent and cached: its key, messages and options."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from tunescope.oracle.budget import TEMPLATE_TOKENS, estimate_tokens
from tunescope.oracle.journal import call_key
from tunescope.oracle.request import RenderedPrompt


class Call(NamedTuple):
    """One call.

    Attributes:
        key: its name in the journal.
        messages: the conversation that the model goes on with.
        options: what the server is told beside it: how to decode, the reply's schema, tools.
        n_characters: of the prompt with its schema, which servers put into it.
    """

    key: str
    messages: tuple[Mapping[str, Any], ...]
    options: Mapping[str, Any]
    n_characters: int

    @property
    def max_usage(self) -> tuple[int, int]:
        """The most tokens that the call may use, in its prompt and its reply."""
        return estimate_tokens(self.n_characters, "high") + TEMPLATE_TOKENS, int(self.options["max_tokens"])


def make_call(rendered: RenderedPrompt, model: str, decoding: Mapping[str, Any], sample: int = 0) -> Call:
    """Make the call for a prompt; each sample is a call of its own, with its own seed where one is sent."""
    seed = {"seed": decoding["seed"] + sample} if "seed" in decoding else {}
    options = {**decoding, **seed, **rendered.options}
    key = call_key(rendered.messages, model, options, rendered.schema, sample)
    n_characters = sum(len(str(message["content"])) for message in rendered.messages)
    if rendered.schema is not None:
        n_characters += len(json.dumps(rendered.schema))
        options["response_format"] = {"type": "json_schema", "json_schema": rendered.schema}
    return Call(key, rendered.messages, options, n_characters)
