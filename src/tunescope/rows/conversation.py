"""From a file's words for a message to ours, and back unchanged.

Shared by the formats that hold lists of messages. Names understood are those of TRL,
axolotl, LLaMA-Factory, ShareGPT dumps and OpenAI's fine-tuning files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tunescope.rows.row import Json, Message

ROLE_NAMES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
    "function_response": "tool",
    "ipython": "tool",
}
THINKING_KEYS = ("thinking", "reasoning_content", "reasoning")
TRAIN_KEYS = ("train", "training", "weight", "loss")


class Refused(Exception):
    """A record that can't become a row: what was found and what was expected."""

    def __init__(self, found: str, expected: str) -> None:
        """Keep both halves of the sentence apart."""
        super().__init__(f"found {found}; expected {expected}")
        self.found = found
        self.expected = expected


class Conversation(NamedTuple):
    """What a format reads out of a record."""

    messages: tuple[Message, ...]
    tools: tuple[Json, ...] = ()


class MessageKeys(NamedTuple):
    """The file's names for a message's role and content."""

    role: str
    content: str


def kind(value: Json) -> str:
    """Name a JSON value's type, with its article, for an error."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), f"a value of type {type(value).__name__}")


def text_of(value: Json, where: str) -> str:
    """Return `value` if it is text (or a list of text parts), else refuse it by name."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(part, Mapping) for part in value):
        for part in value:
            if part.get("type") != "text" or not isinstance(part.get("text"), str):
                raise Refused(f"{where} with a part of type {part.get('type')!r}", "text only")
        return "\n".join(part["text"] for part in value)
    raise Refused(f"{where}: {kind(value)}", "text")


def parse_tools(value: Json) -> tuple[Json, ...]:
    """Read tool declarations: a list, or a string that holds one in JSON."""
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise Refused("tools: a string that isn't JSON", "a list of tool declarations") from error
    if not isinstance(value, list):
        raise Refused(f"tools: {kind(value)}", "a list of tool declarations")
    return tuple(value)


def parse_message(record: Json, keys: MessageKeys, position: int) -> Message:
    """Read one message; `position` counts from 1 and is only for the error."""
    where = f"message {position}"
    if not isinstance(record, Mapping):
        raise Refused(f"{where}: {kind(record)}", f"an object with {keys.role!r} and {keys.content!r}")
    tag = record.get(keys.role)
    if not isinstance(tag, str) or not tag:
        raise Refused(f"{where}, {keys.role!r}: {kind(tag)}", "a role name")
    value = record.get(keys.content)
    if tag == "function_call":
        return Message("assistant", None, tool_calls=(_function_call(value, where),))
    calls = record.get("tool_calls") or ()
    if not isinstance(calls, list | tuple) or not all(isinstance(call, Mapping) for call in calls):
        raise Refused(f"{where}, 'tool_calls': {kind(calls)}", "a list of objects")
    content = None if value is None and calls else text_of(value, f"{where}, {keys.content!r}")
    return Message(
        role=ROLE_NAMES.get(tag.lower(), tag),
        content=content,
        tool_calls=tuple(calls),
        tool_call_id=_optional_text(record, "tool_call_id", where),
        name=_optional_text(record, "name", where),
        thinking=next((t for key in THINKING_KEYS if (t := _optional_text(record, key, where))), None),
        train=next((_flag(record[key], key, where) for key in TRAIN_KEYS if record.get(key) is not None), None),
    )


def _function_call(value: Json, where: str) -> Mapping[str, Json]:
    try:
        call = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        call = None
    if not isinstance(call, Mapping):
        raise Refused(f"{where}: a function_call that isn't a JSON object", 'an object such as {"name": …}')
    return {"type": "function", "function": dict(call)}


def _optional_text(record: Mapping[str, Json], key: str, where: str) -> str | None:
    value = record.get(key)
    if value is None or isinstance(value, str):
        return value
    raise Refused(f"{where}, {key!r}: {kind(value)}", "text")


def _flag(value: Json, key: str, where: str) -> bool:
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    raise Refused(f"{where}, {key!r}: {value!r}", "true, false, 0 or 1")


def parse_messages(value: Json, keys: MessageKeys, column: str) -> tuple[Message, ...]:
    """Read a list of messages; refuse an empty one."""
    if not isinstance(value, list) or not value:
        found = "an empty list" if value == [] else kind(value)
        raise Refused(f"{found} in column {column!r}", "a list of messages")
    return tuple(parse_message(item, keys, i) for i, item in enumerate(value, 1))


def require_answer(messages: Sequence[Message]) -> None:
    """Refuse a conversation in which the assistant never speaks."""
    if not any(message.role == "assistant" for message in messages):
        raise Refused("no answer (no assistant message)", "at least one assistant message")


def render_messages(
    messages: Sequence[Message], original: Json, keys: MessageKeys, tags: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Write messages in the file's own words.

    A message that still says what the record said is given back as it stood, unknown keys and
    all. `tags` are the role names to use where the record has no example of its own.
    """
    source = original if isinstance(original, list) else []
    used = {ROLE_NAMES.get(str(m[keys.role]).lower()): m[keys.role] for m in source if keys.role in m}
    out: list[dict[str, Any]] = []
    for position, message in enumerate(messages):
        before = source[position] if position < len(source) else None
        if before is not None and parse_message(before, keys, position + 1) == message:
            out.append(before)
        else:
            tag = used.get(message.role) or tags.get(message.role, message.role)
            out.append(_render_message(message, before or {}, keys, tag))
    return out


def _render_message(message: Message, before: Mapping[str, Json], keys: MessageKeys, tag: str) -> dict[str, Any]:
    thinking_key = next((key for key in THINKING_KEYS if key in before), THINKING_KEYS[0])
    train_key = next((key for key in TRAIN_KEYS if key in before), TRAIN_KEYS[0])
    record: dict[str, Any] = {**before, keys.role: tag, keys.content: message.content}
    optional = {
        "tool_calls": [dict(call) for call in message.tool_calls] or None,
        "tool_call_id": message.tool_call_id,
        "name": message.name,
        thinking_key: message.thinking,
        train_key: message.train,
    }
    for key, value in optional.items():
        if value is not None:
            record[key] = value
        elif record.get(key) is not None:
            del record[key]
    return record
