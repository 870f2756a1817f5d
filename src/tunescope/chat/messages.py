"""Messages in the form that chat templates take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunescope.rows import Message
from tunescope.rows.content import parse_arguments
from tunescope.rows.row import Json


def to_template_message(message: Message) -> dict[str, Any]:
    """Return a message as chat templates take it, without the fields that it doesn't have."""
    converted: dict[str, Any] = {"role": message.role, "content": message.content or ""}
    if message.tool_calls:
        converted["tool_calls"] = [parse_arguments(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        converted["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        converted["name"] = message.name
    if message.thinking is not None:
        converted["reasoning_content"] = message.thinking
    return converted


def split_alpaca_message(message: Mapping[str, Any], fields: Mapping[str, Json]) -> dict[str, str]:
    """Return Alpaca's two columns where the user message is made of both, as `rows.formats.alpaca` joins them."""
    instruction, extra = fields.get("instruction"), fields.get("input")
    has_both = isinstance(instruction, str) and isinstance(extra, str) and instruction and extra
    if has_both and message["role"] == "user" and message["content"] == f"{instruction}\n\n{extra}":
        return {"instruction": str(instruction), "input": str(extra)}
    return {}


def text_keys(message: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys under which a template message has its text."""
    return ("instruction", "input") if "input" in message else ("content",)
