"""From a file's words for a message to ours, and back unchanged.

Shared by the formats that hold lists of messages. Names understood are those of TRL,
axolotl, LLaMA-Factory, ShareGPT dumps and OpenAI's fine-tuning files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from tunescope.rows.json_text import abbreviate, decode_embedded, kind, list_columns
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
    "function_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
    "function_response": "tool",
    "ipython": "tool",
}
CALL_TAG = "function_call"
"""The role of a message that is a tool call, written as JSON in its content (LLaMA-Factory)."""
THINKING_KEYS = ("thinking", "reasoning_content", "reasoning")
TRAIN_KEYS = ("train", "training", "weight", "loss")
TAG_WORDS = {
    "system_tag": "system",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "assistant",
}
"""LLaMA-Factory's words for what a file calls its roles."""


class FormatError(Exception):
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
    """The file's names for what is in a message.

    `tags` are the roles that the user named, as (the file's, ours) pairs; `call` is the role of a
    message that is a tool call.
    """

    role: str
    content: str
    thinking: tuple[str, ...] = THINKING_KEYS
    train: tuple[str, ...] = TRAIN_KEYS
    tags: tuple[tuple[str, str], ...] = ()
    call: str = CALL_TAG

    def role_of(self, tag: str) -> str:
        """Return our name for a role; a name that nobody knows stays as it is."""
        return dict(self.tags).get(tag) or ROLE_NAMES.get(tag.lower(), tag)


@cache
def message_keys(role: str, content: str, **words: str) -> MessageKeys:
    """Return the keys of a layout's messages; `words` are those of HINTS that the user gave."""
    keys = MessageKeys(role, content)
    return keys._replace(
        thinking=(words["thinking"],) if "thinking" in words else keys.thinking,
        train=(words["train"],) if "train" in words else keys.train,
        tags=tuple((theirs, TAG_WORDS[word]) for word, theirs in words.items() if word in TAG_WORDS),
        call=words.get("function_tag", keys.call),
    )


def text_of(value: Json, where: str) -> str:
    """Return `value` if it is text (or a list of text parts), else refuse it by name."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(part, Mapping) for part in value):
        for part in value:
            if part.get("type") != "text" or not isinstance(part.get("text"), str):
                raise FormatError(f"{where} with a part of type {abbreviate(part.get('type'))}", "text only")
        return "\n".join(part["text"] for part in value)
    raise FormatError(f"{where}: {kind(value)}", "text")


def parse_tools(value: Json) -> tuple[Json, ...]:
    """Read tool declarations: a list, or a string that holds one in JSON."""
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        try:
            value = decode_embedded(value)
        except ValueError as error:
            raise FormatError("tools: a string that isn't JSON", "a list of tool declarations") from error
    if not isinstance(value, list):
        raise FormatError(f"tools: {kind(value)}", "a list of tool declarations")
    return tuple(value)


def render_tools(record: dict[str, Json], column: str, tools: tuple[Json, ...]) -> None:
    """Put changed tool declarations into a record, in the form that it has them in."""
    if parse_tools(record.get(column)) != tools:
        as_text = isinstance(record.get(column), str)
        record[column] = json.dumps(tools, ensure_ascii=False) if as_text else list(tools)


def parse_message(record: Json, keys: MessageKeys, position: int) -> Message:
    """Read one message; `position` counts from 1 and is only for the error."""
    if not isinstance(record, Mapping):
        raise FormatError(f"message {position}: {kind(record)}", f"an object with {keys.role!r} and {keys.content!r}")
    tag, value = record.get(keys.role), record.get(keys.content)
    if not isinstance(tag, str) or not tag:
        raise FormatError(f"message {position}, {keys.role!r}: {kind(tag)}", "a role name")
    role = (None if keys.tags else ROLE_NAMES.get(tag)) or keys.role_of(tag)
    if len(record) == 2 and isinstance(value, str) and tag != keys.call:
        return Message(role, value)
    return _parse_message(record, keys, f"message {position}", tag, role)


def _parse_message(record: Mapping[str, Json], keys: MessageKeys, where: str, tag: str, role: str) -> Message:
    value, content = record.get(keys.content), None
    if tag == keys.call:
        calls = _function_calls(value, where)
    else:
        calls = _tool_calls(record, where)
        if not calls and keys.content not in record:
            raise FormatError(f"{where} without {keys.content!r} (it has {list_columns(record)})", "text")
        if value is not None or not calls:
            content = text_of(value, f"{where}, {keys.content!r}")
    return Message(
        role=role,
        content=content,
        tool_calls=calls,
        tool_call_id=_optional_text(record, "tool_call_id", where),
        name=_optional_text(record, "name", where),
        thinking=next((t for key in keys.thinking if (t := _optional_text(record, key, where))), None),
        train=next((_flag(record[key], key, where) for key in keys.train if record.get(key) is not None), None),
    )


def _tool_calls(record: Mapping[str, Json], where: str) -> tuple[Mapping[str, Json], ...]:
    calls = record.get("tool_calls") or ()
    if not isinstance(calls, list | tuple) or not all(isinstance(call, Mapping) for call in calls):
        raise FormatError(f"{where}, 'tool_calls': {kind(calls)}", "a list of objects")
    single = record.get(CALL_TAG)  # OpenAI's older form
    if not calls and isinstance(single, Mapping):
        return ({"type": "function", "function": dict(single)},)
    return tuple(calls)


def _function_calls(value: Json, where: str) -> tuple[Mapping[str, Json], ...]:
    try:
        read = decode_embedded(value) if isinstance(value, str) else value
    except ValueError:
        read = None
    calls = read if isinstance(read, list) else [read]
    if not calls or not all(isinstance(call, Mapping) for call in calls):
        raise FormatError(f"{where}: a function_call that isn't a JSON object", 'an object such as {"name": …}')
    return tuple({"type": "function", "function": dict(call)} for call in calls)


def _optional_text(record: Mapping[str, Json], key: str, where: str) -> str | None:
    value = record.get(key)
    if value is None or isinstance(value, str):
        return value
    raise FormatError(f"{where}, {key!r}: {kind(value)}", "text")


def _flag(value: Json, key: str, where: str) -> bool:
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    raise FormatError(f"{where}, {key!r}: {abbreviate(value)}", "true, false, 0 or 1")


def parse_messages(value: Json, keys: MessageKeys, column: str) -> tuple[Message, ...]:
    """Read a list of messages; refuse an empty one."""
    if not isinstance(value, list) or not value:
        found = "an empty list" if value == [] else kind(value)
        raise FormatError(f"{found} in column {abbreviate(column)}", "a list of messages")
    return tuple([parse_message(item, keys, i) for i, item in enumerate(value, 1)])


def require_answer(messages: Iterable[Message]) -> None:
    """Refuse a conversation in which the assistant never speaks."""
    for message in messages:
        if message.role == "assistant":
            return
    raise FormatError("no answer (no assistant message)", "at least one assistant message")


def render_messages(
    messages: Sequence[Message], original: Json, keys: MessageKeys, tags: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Write messages in the file's own words.

    A message that still says what the record said is given back as it stood, unknown keys and
    all. `tags` are the role names to use where the record has no example of its own.
    """
    source = original if isinstance(original, list) else []
    parsed = [parse_message(record, keys, i) for i, record in enumerate(source, 1)]
    named = {ours: theirs for theirs, ours in keys.tags if theirs != keys.call}
    used = {
        was.role: record[keys.role] for record, was in zip(source, parsed, strict=True) if not _is_call(record, keys)
    }
    tags = {**tags, **named, **used}
    return [
        _render_message(message, {} if place is None else source[place], keys, tags.get(message.role, message.role))
        for message, place in zip(messages, _align(messages, parsed), strict=True)
    ]


def _is_call(record: Mapping[str, Json], keys: MessageKeys) -> bool:
    return bool(record.get(keys.role) == keys.call)


def _align(messages: Sequence[Message], before: Sequence[Message]) -> list[int | None]:
    """Tell for each message which earlier one it is, or None for a new one."""
    head = 0
    while head < min(len(messages), len(before)) and messages[head] == before[head]:
        head += 1
    tail = 0
    while tail < min(len(messages), len(before)) - head and messages[-1 - tail] == before[-1 - tail]:
        tail += 1
    left = list(range(head, len(before) - tail))
    changed = messages[head : len(messages) - tail]
    places: list[int | None]
    if len(changed) == len(left):
        places = [i if before[i].role == message.role else None for i, message in zip(left, changed, strict=True)]
    else:
        places = []
        for message in changed:
            places.append(next((i for i in left if before[i] == message), None))
            left = [i for i in left if i != places[-1]]
    return [*range(head), *places, *range(len(before) - tail, len(before))]


def _render_message(message: Message, before: Mapping[str, Json], keys: MessageKeys, tag: str) -> dict[str, Any]:
    """Write a message over the record that it was; what it doesn't say anew stays as it stood."""
    was = parse_message(before, keys, 0) if before else None
    record = dict(before)
    if was is None or was.role != message.role:
        record[keys.role] = tag
    if was is None or was.content != message.content or was.tool_calls != message.tool_calls:
        record.pop(CALL_TAG, None)
        call = _call_text(message) if _is_call(before, keys) else None
        record[keys.content] = message.content if call is None else call
        if call is None:
            record[keys.role] = tag if _is_call(before, keys) else record[keys.role]
            _put(record, "tool_calls", [dict(call) for call in message.tool_calls] or None)
    flag, train = _in_use(before, keys.train), message.train
    as_number = train is not None and type(before.get(flag)) is int
    for key, value, old in (
        ("tool_call_id", message.tool_call_id, was and was.tool_call_id),
        ("name", message.name, was and was.name),
        (_in_use(before, keys.thinking), message.thinking, was and was.thinking),
        (flag, int(bool(train)) if as_number else train, was and was.train),
    ):
        if value != old:
            _put(record, key, value)
    return record


def _call_text(message: Message) -> str | None:
    """Write tool calls as the content of a `function_call` message, if that can hold them."""
    functions = [call.get("function") for call in message.tool_calls if call.keys() == {"type", "function"}]
    if message.content is not None or not functions or len(functions) != len(message.tool_calls):
        return None
    return json.dumps(functions[0] if len(functions) == 1 else functions, ensure_ascii=False)


def _in_use(record: Mapping[str, Json], names: Sequence[str]) -> str:
    """Return the one of several names that says something in a record, or is at least there."""
    told = [name for name in names if record.get(name) not in (None, "")]
    return next(iter(told or [name for name in names if name in record]), names[0])


def _put(record: dict[str, Any], key: str, value: Any) -> None:
    """Set a key, or take it away; a key that is there with null stays."""
    if value is not None:
        record[key] = value
    elif record.get(key) is not None:
        del record[key]
