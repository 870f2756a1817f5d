"""What a row's content is: the one rule that ids, duplicates, questions and answers, and masks go by.

The content of a row is its messages (role, text, thinking, tool calls, name, call id, loss flag), its tool
declarations, its media and, of a preference row, the rejected conversation. All other columns are beside it.

Arguments of a call may be an object or JSON text of one: a model sees the same. A null in an object of a call or a
declaration isn't content, since Arrow fills the columns that other rows have with nulls (TRL leaves them out alike).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol

from tunescope.rows.message import Json, Message


class Content(Protocol):
    """What has content: a row, or what a format reads out of a record."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation; of a preference row, the one with the chosen response."""

    @property
    def tools(self) -> tuple[Json, ...]:
        """Tool declarations."""

    @property
    def media(self) -> tuple[Json, ...]:
        """Images, audio and video, as (column, value) pairs."""

    @property
    def rejected(self) -> tuple[Message, ...]:
        """The conversation with the rejected response."""


def content_id(
    messages: tuple[Message, ...],
    tools: tuple[Json, ...] = (),
    media: tuple[Json, ...] = (),
    rejected: tuple[Message, ...] = (),
) -> str:
    """Hash what a model would see: 64 bits of BLAKE2b as 16 hex digits.

    At a million different rows two ids meet with probability 3e-8.
    """
    if not (tools or media or rejected or any(map(_is_more_than_text, messages))):
        # lengths keep the parts apart
        text = "".join([f"{len(m.role)}:{m.role}{len(m.content or '')}:{m.content or ''}" for m in messages])
        return blake2b(text.encode(), digest_size=8).hexdigest()
    parts: list[Json] = [list(map(_canonical, messages)), tools]
    if media or rejected:
        parts += [media, list(map(_canonical, rejected))]
    return blake2b(_dump(parts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _is_more_than_text(message: Message) -> bool:
    return bool(
        message.tool_calls
        or message.tool_call_id is not None
        or message.name is not None
        or message.thinking is not None
        or message.train is not None
    )


def _canonical(message: Message) -> list[Json]:
    """List what a model would see of a message."""
    return [
        message.role,
        message.content,
        [parse_arguments(call) for call in message.tool_calls],
        message.tool_call_id,
        message.name,
        message.thinking,
        message.train,
    ]


def parse_arguments(call: Mapping[str, Json]) -> dict[str, Json]:
    """Return a tool call with its arguments as an object, where they are JSON text of one."""
    function = call.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return dict(call)
    try:
        arguments = json.loads(function["arguments"])
    except (ValueError, RecursionError):
        return dict(call)
    return {**call, "function": {**function, "arguments": arguments}} if isinstance(arguments, dict) else dict(call)


def without_nulls(value: Json) -> Json:
    """Return a value without the keys, at any depth, that hold null."""
    if isinstance(value, Mapping):
        return {key: without_nulls(part) for key, part in value.items() if part is not None}
    return [without_nulls(part) for part in value] if isinstance(value, list) else value


def _call_text(call: Mapping[str, Json]) -> str:
    """Return a call as words: its name and its arguments."""
    parsed = parse_arguments(call)
    function = parsed.get("function", parsed)
    if not isinstance(function, Mapping):
        return _dump(function)
    arguments = function.get("arguments", function.get("parameters", {}))
    return f"{function.get('name', '')} {arguments if isinstance(arguments, str) else _dump(arguments)}"


def message_text(message: Message) -> str:
    """Return all words of a message: its thinking, its text, its calls."""
    if not message.tool_calls and not message.thinking:
        return message.content or ""
    return "\n".join(text for text in (message.thinking, reply_text(message)) if text)


def reply_text(message: Message) -> str:
    """Return what a message says or calls, without its thinking."""
    if not message.tool_calls:
        return message.content or ""
    return "\n".join(text for text in (message.content, *map(_call_text, message.tool_calls)) if text)


def last_reply(messages: Sequence[Message]) -> str:
    """Return what the last assistant message says or calls; "" where there is none."""
    return next((reply_text(message) for message in reversed(messages) if message.role == "assistant"), "")


def all_text(content: Content) -> str:
    """Return the words of all messages; of a preference row, with those of the rejected response behind them."""
    messages = content.messages
    if content.rejected:
        messages += content.rejected[n_shared(messages, content.rejected) :]
    return "\n".join([text for message in messages if (text := message_text(message))])


def n_shared(chosen: Sequence[Message], rejected: Sequence[Message]) -> int:
    """Return how many messages two conversations begin with alike; the last one of each is its own."""
    most = max(0, min(len(chosen), len(rejected)) - 1)
    return next((i for i in range(most) if chosen[i] != rejected[i]), most)


def structure_key(content: Content) -> int:
    """Hash what isn't words, so that duplicates share it: tools, media and each message's calls. 0 where there is none.

    The order of the tools doesn't count.
    """
    messages = content.messages + content.rejected
    if not content.tools and not content.media and not any(message.tool_calls for message in messages):
        return 0
    calls = [list(map(_call_text, message.tool_calls)) for message in messages if message.tool_calls]
    return _hash(_dump([sorted(map(_dump, content.tools)), content.media, calls])) or 1


def exchange_keys(content: Content, fold: Callable[[str], str]) -> tuple[int, int]:
    """Hash the question (all that stands before the first answer, the tools, the media), and that answer.

    Texts count as `fold` returns them, with single blanks. The thinking before an answer doesn't count. The question of
    a preference row is which of its two responses is better: its answer is the chosen one.
    """
    messages, rejected = content.messages, content.rejected
    if rejected:
        end = n_shared(messages, rejected)
        sides = [_squash(fold("\n".join(map(reply_text, side[end:])))) for side in (messages, rejected)]
    else:
        end = next((i for i, message in enumerate(messages) if message.role == "assistant"), len(messages))
        sides = [_squash(fold(reply_text(message))) for message in messages[end : end + 1]]
    parts = [f"{message.role}\n{_squash(fold(reply_text(message)))}" for message in messages[:end]]
    if content.tools or content.media:
        parts.append(_dump([sorted(map(_dump, content.tools)), content.media]))
    if rejected:
        parts += sorted(sides)
    return _hash("\n".join(parts)), _hash(sides[0] if sides else "")


def _squash(text: str) -> str:
    """Return a text by which two are the same whatever their blanks."""
    return " ".join(text.split())


def _dump(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=_describe)


def _describe(value: Any) -> str:
    """Return what JSON can't hold: bytes of an image by their hash, anything else as text."""
    return blake2b(value, digest_size=16).hexdigest() if isinstance(value, bytes) else str(value)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
