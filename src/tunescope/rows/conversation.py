"""Messages: from a file's names for roles and keys to ours, and back unchanged.

Shared by the formats that hold lists of messages. Names understood are those of TRL,
axolotl, LLaMA-Factory, ShareGPT dumps and OpenAI's fine-tuning files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from tunescope.rows.content import without_nulls
from tunescope.rows.json_text import FormatError as FormatError
from tunescope.rows.json_text import abbreviate, decode_embedded, decode_holder, kind, list_columns
from tunescope.rows.loss_flags import MASKED_KEYS, TRAIN_KEYS, flag_key, read_flag
from tunescope.rows.media import read_media
from tunescope.rows.message import ROLES, Json, Message
from tunescope.rows.roles import TAG_SEPARATOR, TAG_WORDS, is_call_tag, our_role

_TAGGED_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
"""A call as many models write it."""
_OLD_CALL_KEY = "function_call"
"""OpenAI's older key of a message with one call."""
_THINKING_KEYS = ("thinking", "reasoning_content", "reasoning")


class Conversation(NamedTuple):
    """What a format reads out of a record: the row's content."""

    messages: tuple[Message, ...]
    tools: tuple[Json, ...] = ()
    media: tuple[Json, ...] = ()
    rejected: tuple[Message, ...] = ()


class MessageKeys(NamedTuple):
    """What a file calls the parts of a message.

    `tags` are the roles that the user named, as (the file's, ours) pairs; `calls` those of them
    whose messages are tool calls, written as JSON in their content.
    """

    role: str
    content: str
    thinking: tuple[str, ...] = _THINKING_KEYS
    train: tuple[str, ...] = TRAIN_KEYS
    tags: tuple[tuple[str, str], ...] = ()
    calls: tuple[str, ...] = ()

    def role_of(self, tag: str, where: str) -> str:
        """Return our name for a role; raise `FormatError` for an unknown one."""
        return next((ours for theirs, ours in self.tags if theirs == tag), None) or our_role(tag, where)

    def is_call(self, tag: str) -> bool:
        """Tell whether messages with this role are tool calls."""
        return tag in self.calls or (is_call_tag(tag) and all(tag != theirs for theirs, _ in self.tags))


@cache
def message_keys(role: str, content: str, **words: str) -> MessageKeys:
    """Return the keys of a layout's messages; `words` are further ones that the user gave with `--columns`."""
    keys = MessageKeys(role, content)
    tags = {word: theirs.split(TAG_SEPARATOR) for word, theirs in words.items() if word in TAG_WORDS}
    return keys._replace(
        thinking=(words["thinking"],) if "thinking" in words else keys.thinking,
        train=(words["train"],) if "train" in words else keys.train,
        tags=tuple((tag, TAG_WORDS[word]) for word, theirs in tags.items() for tag in theirs),
        calls=tuple(tags.get("function_tag", ())),
    )


def text_of(value: Json, where: str) -> str:
    """Return a text, or the joined parts of a list of text parts.

    Raises:
        FormatError: anything else, such as an image; `where` names the place.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(part, Mapping) for part in value):
        texts = [part.get("text", part.get("value")) for part in value]
        for part, text in zip(value, texts, strict=True):
            if part.get("type") != "text" or not isinstance(text, str):
                raise FormatError(f"{where} with a part of type {abbreviate(part.get('type'))}", "text only")
        return "\n".join(texts)
    raise FormatError(f"{where}: {kind(value)}", "text")


def parse_tools(value: Json) -> tuple[Json, ...]:
    """Read tool declarations: a list, or a string that holds one in JSON."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    if isinstance(value, str):
        try:
            tools = decode_embedded(value)
        except ValueError as error:
            raise FormatError("tools: a string that isn't JSON", "a list of tool declarations") from error
    else:
        tools = value
    if not isinstance(tools, list):
        raise FormatError(f"tools: {kind(tools)}", "a list of tool declarations")
    return tuple(_holders(tools, filled=tools is value))


def _holders(values: Iterable[Json], filled: bool) -> list[Json]:
    """Return objects that may be JSON text. Those that aren't lose the nulls that Arrow may have `filled` them with."""
    return [without_nulls(value) if filled and not isinstance(value, str) else decode_holder(value) for value in values]


def render_tools(record: dict[str, Json], column: str, tools: tuple[Json, ...]) -> None:
    """Put changed tool declarations into a record, in the form that it has them in."""
    if parse_tools(record.get(column)) != tools:
        as_text = isinstance(record.get(column), str)
        record[column] = json.dumps(tools, ensure_ascii=False) if as_text else list(tools)


def _parse_message(record: Json, keys: MessageKeys, position: int) -> Message:
    """Read one message; `position` counts from 1 and is only for the error."""
    record = decode_holder(record)
    if not isinstance(record, Mapping):
        raise FormatError(f"message {position}: {kind(record)}", f"an object with {keys.role!r} and {keys.content!r}")
    tag, value = record.get(keys.role), record.get(keys.content)
    if not isinstance(tag, str) or not tag:
        raise FormatError(f"message {position}, {keys.role!r}: {kind(tag)}", "a role name")
    role = tag if tag in ROLES and not keys.tags else keys.role_of(tag, f"message {position}")
    if len(record) == 2 and isinstance(value, str) and not keys.is_call(tag):
        return Message(role, value)
    return _parse_full_message(record, keys, f"message {position}", tag, role)


def _parse_full_message(record: Mapping[str, Json], keys: MessageKeys, where: str, tag: str, role: str) -> Message:
    value, content = record.get(keys.content), None
    media = read_media(record)
    if media:
        raise FormatError(f"{where} with {media[0][0]!r}", "text only")
    if keys.is_call(tag):
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
        train=read_flag(record, keys.train, where),
    )


def _tool_calls(record: Mapping[str, Json], where: str) -> tuple[Mapping[str, Json], ...]:
    value = record.get("tool_calls")
    calls = decode_holder(value) or ()
    if isinstance(calls, list | tuple):
        calls = _holders(calls, filled=calls is value)
    if not isinstance(calls, list | tuple) or not all(isinstance(call, Mapping) for call in calls):
        raise FormatError(f"{where}, 'tool_calls': {kind(calls)}", "a list of objects")
    single = record.get(_OLD_CALL_KEY)
    if not calls and isinstance(single, Mapping):
        return ({"type": "function", "function": without_nulls(single)},)
    return tuple(calls)


def _function_calls(value: Json, where: str) -> tuple[Mapping[str, Json], ...]:
    texts = _TAGGED_CALL.findall(value) if isinstance(value, str) else []
    decoded = list(map(decode_holder, texts)) or decode_holder(value)
    calls = decoded if isinstance(decoded, list) else [decoded]
    if not calls or not all(isinstance(call, Mapping) for call in calls):
        raise FormatError(f"{where}: a function_call that isn't a JSON object", 'an object such as {"name": …}')
    return tuple(map(_function_call, calls if isinstance(value, str) else _holders(calls, filled=True)))


def _function_call(call: Mapping[str, Json]) -> dict[str, Json]:
    """Return a call in OpenAI's form; it may have that form, or be the function alone."""
    return dict(call) if isinstance(call.get("function"), Mapping) else {"type": "function", "function": dict(call)}


def _optional_text(record: Mapping[str, Json], key: str, where: str) -> str | None:
    value = record.get(key)
    if value is None or isinstance(value, str):
        return value
    raise FormatError(f"{where}, {key!r}: {kind(value)}", "text")


def parse_messages(value: Json, keys: MessageKeys, column: str) -> tuple[Message, ...]:
    """Read a list of messages, or JSON text of one; refuse an empty one."""
    value = decode_holder(value)
    if not isinstance(value, list) or not value:
        found = "an empty list" if value == [] else kind(value)
        raise FormatError(f"{found} in column {abbreviate(column)}", "a list of messages")
    messages = [_parse_message(item, keys, i) for i, item in enumerate(value, 1)]
    if any(message.tool_calls for message in messages):
        messages = _join_calls(messages, [_is_call(decode_holder(item), keys) for item in value])
    return tuple(messages)


def _join_calls(messages: Sequence[Message], are_calls: Sequence[bool]) -> list[Message]:
    """Join messages that are a call each, one behind the other: a model makes such calls in one turn."""
    joined: list[Message] = []
    for i, message in enumerate(messages):
        last = joined[-1] if i and are_calls[i] and are_calls[i - 1] else None
        if last is not None and replace(last, tool_calls=()) == replace(message, tool_calls=()):
            joined[-1] = replace(last, tool_calls=last.tool_calls + message.tool_calls)
        else:
            joined.append(message)
    return joined


def decode_messages(value: Json) -> Json:
    """Return the messages that a JSON text holds (`datasets` writes such columns); else the value itself."""
    decoded = decode_holder(value)
    is_messages = isinstance(decoded, list) and decoded and all(_has_role(decode_holder(item)) for item in decoded)
    return decoded if is_messages else value


def _has_role(item: Json) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("role"), str)


def require_answer(messages: Iterable[Message]) -> None:
    """Refuse a conversation in which the assistant never speaks."""
    for message in messages:
        if message.role == "assistant":
            return
    raise FormatError("no answer (no assistant message)", "at least one assistant message")


def render_messages(messages: Sequence[Message], original: Json, keys: MessageKeys, tags: Mapping[str, str]) -> Json:
    """Write messages with the file's own names for roles and keys.

    An unchanged message is given back as it was, with its unknown keys. `tags` are the role names
    to use where the record has no example of its own.
    """
    decoded = decode_holder(original)
    source = list(map(decode_holder, decoded)) if isinstance(decoded, list) else []
    parsed = [_parse_message(record, keys, i) for i, record in enumerate(source, 1)]
    named = {ours: theirs for theirs, ours in reversed(keys.tags) if theirs not in keys.calls}
    used = {
        message.role: record[keys.role]
        for record, message in zip(source, parsed, strict=True)
        if not _is_call(record, keys)
    }
    tags = {**tags, **named, **used}
    rendered = [
        _render_message(message, {} if place is None else source[place], keys, tags.get(message.role, message.role))
        for message, place in zip(messages, _align(messages, parsed), strict=True)
    ]
    return _encode_like(original, rendered)


def _encode_like(original: Json, rendered: list[dict[str, Any]]) -> Json:
    """Return messages in the form of the original: a list, JSON text of one, or a list of JSON texts."""
    if isinstance(original, str):
        return json.dumps(rendered, ensure_ascii=False)
    if isinstance(original, list) and any(isinstance(record, str) for record in original):
        return [json.dumps(record, ensure_ascii=False) for record in rendered]
    return rendered


def _is_call(record: Mapping[str, Json], keys: MessageKeys) -> bool:
    return keys.is_call(record.get(keys.role, ""))


def _align(messages: Sequence[Message], before: Sequence[Message]) -> list[int | None]:
    """Return for each message the position of the earlier one that it is, or None for a new one."""
    head = 0
    while head < min(len(messages), len(before)) and messages[head] == before[head]:
        head += 1
    tail = 0
    while tail < min(len(messages), len(before)) - head and messages[-1 - tail] == before[-1 - tail]:
        tail += 1
    unmatched = list(range(head, len(before) - tail))
    changed = messages[head : len(messages) - tail]
    places: list[int | None]
    if len(changed) == len(unmatched):
        places = [i if before[i].role == message.role else None for i, message in zip(unmatched, changed, strict=True)]
    else:
        places = []
        for message in changed:
            places.append(next((i for i in unmatched if before[i] == message), None))
            unmatched = [i for i in unmatched if i != places[-1]]
    return [*range(head), *places, *range(len(before) - tail, len(before))]


def _render_message(message: Message, record: Mapping[str, Json], keys: MessageKeys, tag: str) -> dict[str, Any]:
    """Write a message over the record that it was, or anew; keys of what didn't change stay as they were."""
    old = _parse_message(record, keys, 0) if record else None
    rendered = dict(record)
    if old is None or old.role != message.role:
        rendered[keys.role] = tag
    if old is None or old.content != message.content or old.tool_calls != message.tool_calls:
        _put_content(rendered, message, keys, tag, was_call=_is_call(record, keys))
    train_key, train = flag_key(record, keys.train), message.train
    is_number = train is not None and type(record.get(train_key)) is int
    if train is not None and train_key in MASKED_KEYS:
        train = not train
    for key, value, old_value in (
        ("tool_call_id", message.tool_call_id, old and old.tool_call_id),
        ("name", message.name, old and old.name),
        (_key_in_use(record, keys.thinking), message.thinking, old and old.thinking),
        (train_key, int(bool(train)) if is_number else train, old and old.train),
    ):
        if value != old_value:
            _put(rendered, key, value)
    return rendered


def _put_content(rendered: dict[str, Any], message: Message, keys: MessageKeys, tag: str, was_call: bool) -> None:
    """Write a message's text and tool calls; in a `function_call` record they stay one, where it can hold them."""
    rendered.pop(_OLD_CALL_KEY, None)
    call = _call_text(message) if was_call else None
    if call is not None:
        rendered[keys.content] = call
        return
    rendered[keys.content] = message.content
    if was_call:
        rendered[keys.role] = tag
    calls: Json = [dict(call) for call in message.tool_calls] or None
    is_text = isinstance(rendered.get("tool_calls"), str)
    _put(rendered, "tool_calls", json.dumps(calls, ensure_ascii=False) if calls and is_text else calls)


def _call_text(message: Message) -> str | None:
    """Write tool calls as the content of a `function_call` message, if that can hold them."""
    functions = [call.get("function") for call in message.tool_calls if call.keys() == {"type", "function"}]
    if message.content is not None or not functions or len(functions) != len(message.tool_calls):
        return None
    return json.dumps(functions[0] if len(functions) == 1 else functions, ensure_ascii=False)


def _key_in_use(record: Mapping[str, Json], names: Sequence[str]) -> str:
    """Return the one of several names that a record uses: that has a value, or is there, or comes first."""
    with_value = [name for name in names if record.get(name) not in (None, "")]
    return next(iter(with_value or [name for name in names if name in record]), names[0])


def _put(record: dict[str, Any], key: str, value: Any) -> None:
    """Set a key, or delete it; a key that holds null stays."""
    if value is not None:
        record[key] = value
    elif record.get(key) is not None:
        del record[key]
